"""Enforced for everyone except named networks: who is inside still logs in in cleartext, who is
outside does not, on both families; after the last day neither does, also where the host was off.
The logins are the oracle's. The day comes by a `date` of the host's own: its clock is everybody's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from lab import Client, Host, Lab
from lab.daemons import DAEMONS, install
from tests.lab.story import PROGRAM, ROOT, ran, sealed, wait_until

PYTHON = str(ROOT / ".venv/bin/python")
PORT = 143
LIST = "/etc/dovecot/mailseal-imap.conf"
ENDING = f"mailseal-except-{PORT}.service"
WHO = ("--owner", "alice@example.org", "--reason", "scanners on the shop floor")

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Stage:
    """A mail host, a client in the network that is excepted, and one outside it."""

    lab: Lab
    mail: Host
    inside: Client
    outside: Client

    @property
    def networks(self) -> tuple[str, ...]:
        return (f"{self.inside.ipv4}/32", f"{self.inside.ipv6}/128")

    def logins(self, client: Client, how: str = "clear", port: int = PORT) -> list[bool | None]:
        """What the account is told at both families, by each way to log in."""
        secret = self.lab.account.password.encode() + b"\n"
        protocol = "imap" if port == PORT else "pop3"
        found: list[bool | None] = []
        for address in (self.mail.ipv4, self.mail.ipv6):
            words = [protocol, address, str(port), self.lab.account.user, how]
            argv = [PYTHON, "-I", str(ROOT / "lab/login.py"), *words]
            done = client.run(argv, input=secret, timeout=120)
            found += json.loads(done.stdout).values()
        return found

    def check(self, *, excepted: bool) -> None:
        """Who is outside is never let in in cleartext; who is inside, where it is excepted."""
        assert self.logins(self.inside) == [excepted] * 6
        assert self.logins(self.outside) == [False] * 6
        assert all(self.logins(self.outside, "upgrade"))

    def on_the_day(self, day: str) -> None:
        """From now on the host's programs are told this date."""
        self.mail.write("/usr/local/bin/date", f"#!/bin/sh\necho {day}\n".encode(), mode=0o755)


def stage(lab: Lab, name: str) -> Stage:
    net = lab.network()
    mail = lab.host(
        "mailhost", system=DAEMONS[name].system, network=net, binds={ROOT: "/srv/mailseal"}
    )
    mail.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    install(mail, DAEMONS[name], "permitted", ("192.0.2.99", "2001:db8:1::99"))
    return Stage(lab, mail, lab.client(net, "inside"), lab.client(net, "outside"))


@pytest.mark.parametrize(
    "name", ["dovecot-2.3", pytest.param("dovecot-2.4", marks=pytest.mark.soak)]
)
def test_everyone_but_a_network_until_its_last_day(lab: Lab, name: str) -> None:
    on = stage(lab, name)
    mail, target = on.mail, f"{on.mail.ipv4}:{PORT}"
    assert all(on.logins(on.inside) + on.logins(on.outside))
    files = mail.snapshot(("/etc", "/usr"))
    excepted = [word for network in on.networks for word in ("--except", network)]

    out = sealed(mail, "seal", target, *excepted, "--until", "2035-03-31", *WHO, "--yes")
    assert f"{on.networks[0]} until 2035-03-31, alice@example.org: scanners on the shop" in out
    on.check(excepted=True)
    assert all(on.logins(on.outside, port=110))
    assert "2035-03-31, alice@example.org" in mail.read(LIST).decode()
    told = ran(mail, "systemctl", "show", "-P", "NextElapseUSecRealtime", ENDING[:-7] + "timer")
    assert "2035-04-01 00:00:00" in told.out
    assert "already: nothing was changed" in sealed(
        mail, "seal", target, *excepted, "--until", "2035-03-31", *WHO, "--yes"
    )

    # Nothing ends before its time, nor does anything that somebody changed meanwhile.
    mail.run(["systemctl", "start", ENDING])
    on.check(excepted=True)
    on.on_the_day("20350401")
    ours = mail.read(LIST)
    mail.write(LIST, ours + b"# mine\n")
    refused = ran(mail, "systemctl", "start", ENDING)
    assert refused.code != 0
    assert "was changed since mailseal made it" in ran(mail, "journalctl", "-u", ENDING).out
    mail.write(LIST, ours)
    mail.run(["systemctl", "reset-failed", ENDING])
    mail.run(["systemctl", "start", ENDING])
    wait_until(lambda: not any(on.logins(on.inside)))
    on.check(excepted=False)

    mail.run(["rm", "/usr/local/bin/date"])
    sealed(mail, "rollback")
    assert mail.snapshot(("/etc", "/usr")) == files
    assert all(on.logins(on.inside) + on.logins(on.outside))
