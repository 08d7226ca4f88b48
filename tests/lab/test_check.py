"""`mailseal check` from another host: a sealed service drifts in five ways; the next check tells of
each, and of its recovery.
"""

from __future__ import annotations

import json
import ssl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab import Host, Lab
from lab.pop2 import INSTALLED
from tests.certs.make import certificate
from tests.lab.story import NAME, desk, mailseal, ran, scene, sealed

POLICY = """\
targets = ["{name}:109", "{v4}:2109", "[{v6}]:2110"]
services = ["{name}:109"]
"""
Told = dict[tuple[str, str], str]
"""Rule and place to state."""


def check(home: Host, code: int) -> Told:
    """What a check tells, which must end so."""
    words = ("--policy", "/etc/mailseal/policy.toml", "--store", "/var/tmp/check.sqlite3")
    done = mailseal(
        home,
        "check",
        *words,
        "--ca",
        "/etc/mailseal/ca.crt",
        "--timeout",
        "3",
        "--format",
        "ndjson",
    )
    assert done.code == code, done.said
    found = [json.loads(line) for line in done.out.splitlines()]
    places = {
        (each["rule"], f"{each['endpoint']['address']} {each['endpoint']['port']}"): each["state"]
        for each in found
    }
    assert len(places) == len(found)
    return places


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_drift_of_a_sealed_host_is_told_by_the_next_check_and_so_is_its_recovery(lab: Lab):
    on = scene(lab, "bookworm", "inetd")
    mail, home = on.mail, desk(on)
    before = mail.read("/etc/inetd.conf")
    sealed(mail, "seal", f"{NAME}:109", "--yes")
    home.run(["mkdir", "-p", "/etc/mailseal"])
    policy = POLICY.format(name=NAME, v4=mail.ipv4, v6=mail.ipv6)
    home.write("/etc/mailseal/policy.toml", policy.encode())
    home.write("/etc/mailseal/ca.crt", mail.read("/etc/mailseal/ca.crt"))
    both = (f"{mail.ipv4} 109", f"{mail.ipv6} 109")

    def each(state: str, *rules: str) -> Told:
        return {(rule, at): state for rule in rules for at in both}

    assert check(home, 0) == {}

    # An administrator opens the server beside its seal, on IPv4 and on IPv6; nobody renewed.
    opened = {"2109": "0.0.0.0:2109", "2110": "[::]:2110"}
    for port, address in opened.items():
        mail.run(["systemd-run", f"--unit=opened-{port}", INSTALLED, "--listen", address])
        mail.wait_listening(int(port))
    ours = {path: mail.read(path) for path in _pair(mail)}
    _serve(mail, dict(zip(ours, _ended(), strict=True)))
    drift = [
        ("pop2-cleartext-login", f"{mail.ipv4} 2109"),
        ("pop2-cleartext-login", f"{mail.ipv6} 2110"),
        *each("", "tls-certificate", "certificate-days"),
    ]
    assert check(home, 1) == dict.fromkeys(drift, "new")
    assert check(home, 1) == dict.fromkeys(drift, "unchanged")
    mail.run(["systemctl", "stop", *(f"opened-{port}" for port in opened)])
    _serve(mail, ours)
    assert check(home, 0) == dict.fromkeys(drift, "fixed")

    # stunnel is stopped; then a package brings its own inetd.conf back.
    after = mail.read("/etc/inetd.conf")
    mail.run(["systemctl", "stop", "mailseal@109"])
    assert check(home, 1) == each("new", "service-gone")
    mail.write("/etc/inetd.conf", before)
    mail.run(["systemctl", "restart", "inetd"])
    assert check(home, 1) == {
        **each("fixed", "service-gone"),
        **each("new", "pop2-cleartext-login"),
    }
    mail.write("/etc/inetd.conf", after)
    mail.run(["systemctl", "restart", "inetd"])
    mail.run(["systemctl", "start", "mailseal@109"])
    assert check(home, 0) == each("fixed", "pop2-cleartext-login")
    assert check(home, 0) == {}
    on.check_sealed()


def _pair(mail: Host) -> tuple[str, str]:
    """The certificate and the key that stunnel serves."""
    names = ran(mail, "sh", "-c", "ls /etc/mailseal/*.crt").out.split()
    (path,) = [name for name in names if not name.endswith("/ca.crt")]
    return path, path.removesuffix(".crt") + ".key"


def _serve(mail: Host, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        mail.write(path, content)
    mail.run(["systemctl", "reload", "mailseal@109"])


def _ended() -> tuple[bytes, bytes]:
    """A certificate that ended long ago, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    der = certificate(NAME, key=key, since="2020-01-01", until="2021-01-01")
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return ssl.DER_cert_to_PEM_cert(der).encode(), pem
