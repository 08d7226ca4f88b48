"""How a sealed POP2 host comes undone: what administrators, packages and time do to it.

Strategy: each drift is done to a booted host by the means of whoever would do it, and taken back by
the same; what notices it is the test's own business.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab import Host
from lab.pop2 import INSTALLED
from tests.certs.make import certificate
from tests.lab.story import NAME, ran

BESIDE = {2109: "0.0.0.0:2109", 2110: "[::]:2110"}
"""The port of each address that an administrator opens beside the seal."""


def open_beside(mail: Host) -> None:
    """Serves in cleartext at `BESIDE`, one of IPv4 and one of IPv6."""
    for port, address in BESIDE.items():
        mail.run(["systemd-run", f"--unit=opened-{port}", INSTALLED, "--listen", address])
        mail.wait_listening(port)


def close_beside(mail: Host) -> None:
    mail.run(["systemctl", "stop", *(f"opened-{port}" for port in BESIDE)])


def pair(mail: Host) -> dict[str, bytes]:
    """The certificate and the key that stunnel serves, by path."""
    names = ran(mail, "sh", "-c", "ls /etc/mailseal/*.crt").out.split()
    (path,) = [name for name in names if not name.endswith("/ca.crt")]
    return {each: mail.read(each) for each in (path, path.removesuffix(".crt") + ".key")}


def ended(served: Mapping[str, bytes]) -> dict[str, bytes]:
    """In place of a pair, one whose certificate ended long ago."""
    key = ec.generate_private_key(ec.SECP256R1())
    der = certificate(NAME, key=key, since="2020-01-01", until="2021-01-01")
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return dict(zip(served, (ssl.DER_cert_to_PEM_cert(der).encode(), pem), strict=True))


def serve(mail: Host, files: Mapping[str, bytes]) -> None:
    """Puts a pair in place and has stunnel take it."""
    for path, content in files.items():
        mail.write(path, content)
    mail.run(["systemctl", "reload", "mailseal@109"])


_PACKAGE = r"""
mkdir -p /srv/ipop2d/DEBIAN
cd /srv
printf '%s\n' 'Package: ipop2d' "Version: $1" 'Architecture: all' 'Description: POP2 server' \
    'Maintainer: root <root@mail.example>' >ipop2d/DEBIAN/control
cat >ipop2d/DEBIAN/postinst <<'END'
#!/bin/sh
update-inetd --group MAIL --add '109\tstream\ttcp\tnowait\troot\t/usr/local/sbin/ipop2d\tipop2d'
END
chmod 755 ipop2d/DEBIAN/postinst
dpkg-deb --build ipop2d
DEBIAN_FRONTEND=noninteractive dpkg --install ipop2d.deb
"""


def upgrade(mail: Host, version: int) -> None:
    """Installs this version of a package of the server. As those of inetd's daemons do (see
    update-inetd(8)), it enters its service where there is none, and has inetd take it.
    """
    mail.run(["sh", "-ec", _PACKAGE, "sh", str(version)])
    said = ran(mail, "dpkg-query", "--show", "ipop2d").out
    assert said.split() == ["ipop2d", str(version)]


def put_back(mail: Host, inetd_conf: bytes) -> None:
    """An administrator puts back the inetd.conf of before an upgrade."""
    mail.write("/etc/inetd.conf", inetd_conf)
    mail.run(["systemctl", "restart", "inetd"])
