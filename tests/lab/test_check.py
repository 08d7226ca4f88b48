"""`mailseal check` from another host: a sealed service drifts in five ways; the next check tells of
each, and of its recovery.
"""

from __future__ import annotations

import json

import pytest

from lab import Host, Lab
from tests.lab.drift import close_beside, ended, open_beside, pair, put_back, serve, upgrade
from tests.lab.story import NAME, desk, mailseal, scene, sealed

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
    upgrade(mail, 1)
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
    open_beside(mail)
    ours = pair(mail)
    serve(mail, ended(ours))
    drift = [
        ("pop2-cleartext-login", f"{mail.ipv4} 2109"),
        ("pop2-cleartext-login", f"{mail.ipv6} 2110"),
        *each("", "tls-certificate", "certificate-days"),
    ]
    assert check(home, 1) == dict.fromkeys(drift, "new")
    assert check(home, 1) == dict.fromkeys(drift, "unchanged")
    close_beside(mail)
    serve(mail, ours)
    assert check(home, 0) == dict.fromkeys(drift, "fixed")

    # stunnel is stopped; then an upgrade of the server enters it in inetd.conf again.
    after = mail.read("/etc/inetd.conf")
    mail.run(["systemctl", "stop", "mailseal@109"])
    assert check(home, 1) == each("new", "service-gone")
    upgrade(mail, 2)
    assert check(home, 1) == {
        **each("fixed", "service-gone"),
        **each("new", "pop2-cleartext-login"),
    }
    put_back(mail, after)
    mail.run(["systemctl", "start", "mailseal@109"])
    assert check(home, 0) == each("fixed", "pop2-cleartext-login")
    assert check(home, 0) == {}
    on.check_sealed()
