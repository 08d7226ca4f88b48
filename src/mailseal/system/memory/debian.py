"""What a fresh Debian 12 host holds, and what its archive offers: data alone.

As little of either as the rest of the program looks at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Tuple


@dataclass(frozen=True)
class Package:
    """What installing brings: files, users (each with a group of its name), units that are enabled
    and, unless policy-rc.d says no, started.
    """

    version: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    users: Tuple[str, ...] = ()
    units: Tuple[str, ...] = ()


_UNIT = "[Unit]\nDescription=%s\n[Service]\nExecStart=%s\nExecReload=/bin/kill -HUP $MAINPID\n"
_WANTED = "[Install]\nWantedBy=multi-user.target\n"

AVAILABLE: Mapping[str, Package] = {
    "stunnel4": Package(
        "3:5.68-2+deb12u1",
        {
            "/usr/bin/stunnel4": b"\x7fELF",
            "/etc/stunnel/README": b"",
            "/lib/systemd/system/stunnel@.service": (
                _UNIT % ("TLS tunnel", "/usr/bin/stunnel4 /etc/stunnel/%i.conf") + _WANTED
            ).encode(),
            "/lib/systemd/system/stunnel.target": (b"[Unit]\n" + _WANTED.encode()),
        },
        ("stunnel4",),
        ("stunnel.target",),
    ),
    "openbsd-inetd": Package(
        "0.20221205-1",
        {
            "/usr/sbin/inetd": b"\x7fELF",
            "/lib/systemd/system/inetd.service": (
                _UNIT % ("inetd", "/usr/sbin/inetd") + _WANTED
            ).encode(),
        },
        (),
        ("inetd.service",),
    ),
    "xinetd": Package(
        "1:2.3.15.3-1+b1",
        {
            "/usr/sbin/xinetd": b"\x7fELF",
            "/etc/xinetd.conf": b"defaults\n{\n}\nincludedir /etc/xinetd.d\n",
            "/lib/systemd/system/xinetd.service": (
                _UNIT % ("xinetd", "/usr/sbin/xinetd -dontfork") + _WANTED
            ).encode(),
        },
        (),
        ("xinetd.service",),
    ),
    "nftables": Package("1.0.6-2+deb12u2", {"/usr/sbin/nft": b"\x7fELF"}),
}

FILES: Mapping[str, bytes] = {
    "/etc/machine-id": b"0123456789abcdef0123456789abcdef\n",
    "/etc/hostname": b"mail\n",
    "/usr/lib/os-release": b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
    "/etc/services": b"smtp\t25/tcp\npop3\t110/tcp\nimap2\t143/tcp\n",
    "/usr/bin/apt-get": b"\x7fELF",
    "/usr/bin/openssl": b"\x7fELF",
    "/usr/bin/python3": b"\x7fELF",
    "/bin/kill": b"\x7fELF",
    "/bin/sh": b"\x7fELF",
}
DIRECTORIES = (
    *("/etc/systemd/system", "/lib/systemd/system", "/run/systemd/system", "/run/lock"),
    "/etc/systemd/system/multi-user.target.wants",
    *("/usr/sbin", "/usr/bin", "/var/lib", "/tmp", "/etc/xinetd.d", "/sys/class/net"),
)
# What a fresh /run has; the rest of it goes with the power.
BOOT_RUN = ("/run", "/run/lock", "/run/systemd", "/run/systemd/system")

ADDRESSES = (
    ("lo", "127.0.0.1", 8, "host"),
    ("lo", "::1", 128, "host"),
    ("eth0", "192.0.2.10", 24, "global"),
    ("eth0", "2001:db8:1::10", 64, "global"),
)

USERS: Mapping[str, int] = {"root": 0, "daemon": 1, "mail": 8, "nobody": 65534}
GROUPS: Mapping[str, int] = {"root": 0, "daemon": 1, "mail": 8, "nogroup": 65534}
