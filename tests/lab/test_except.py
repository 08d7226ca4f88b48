"""Enforced for everyone except named networks: who is inside still logs in in cleartext, who is
outside does not, on both families; after the last day neither does, also where the host was off.
The logins are the oracle's. The day comes by a `date` of the host's own, as its clock is
everybody's, or by its own zone, in which midnight is near.
"""

from __future__ import annotations

import datetime
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from lab import Client, Host, Lab
from lab.daemons import DAEMONS, install
from lab.pop2 import INSTALLED
from tests.lab.story import (
    NAME,
    PROGRAM,
    ROOT,
    Scene,
    check_as_before,
    install_stunnel,
    mailseal,
    ran,
    scene,
    sealed,
    state,
    wait_until,
)

PYTHON = str(ROOT / ".venv/bin/python")
PAGE = ROOT / "docs/howto/let-a-network-stay.md"
PORT = 143
PROTOCOLS = {PORT: "imap", 110: "pop3", 587: "smtp", 10587: "smtp"}
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
    port: int = PORT

    @property
    def networks(self) -> tuple[str, ...]:
        return (f"{self.inside.ipv4}/32", f"{self.inside.ipv6}/128")

    def logins(self, client: Client, how: str = "clear", port: int = 0) -> list[bool | None]:
        """What the account is told at both families, by each way to log in."""
        secret = self.lab.account.password.encode() + b"\n"
        port = port or self.port
        found: list[bool | None] = []
        for address in (self.mail.ipv4, self.mail.ipv6):
            words = [PROTOCOLS[port], address, str(port), self.lab.account.user, how]
            argv = [PYTHON, "-I", str(ROOT / "lab/login.py"), *words]
            done = client.run(argv, input=secret, timeout=120)
            found += json.loads(done.stdout).values()
        return found

    def connects(self, client: Client, port: int) -> bool:
        """Whether anything takes a connection there, at either family."""
        found = set()
        for address in (self.mail.ipv4, self.mail.ipv6):
            words = "import socket, sys; socket.create_connection((sys.argv[1], sys.argv[2]), 5)"
            done = client.run([PYTHON, "-c", words, address, str(port)], check=False, timeout=30)
            found.add(done.returncode == 0)
        return True in found

    def check(self, *, excepted: bool) -> None:
        """Who is outside is never let in in cleartext; who is inside, where it is excepted."""
        assert set(self.logins(self.inside)) == {excepted}
        assert set(self.logins(self.outside)) == {False}
        assert all(self.logins(self.outside, "upgrade"))

    def on_the_day(self, day: str) -> None:
        """From now on the host's programs are told this date."""
        self.mail.write("/usr/local/bin/date", f"#!/bin/sh\necho {day}\n".encode(), mode=0o755)

    def midnight_in(self, seconds: int) -> str:
        """Gives the host a zone (RFC 8536) in which today is soon over. That day."""
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        soon = now + datetime.timedelta(seconds=seconds)
        left = datetime.timedelta(days=1) - (soon - datetime.datetime.combine(soon, _MIDNIGHT))
        east = round(left.total_seconds())
        zone = b"TZif" + bytes(16) + struct.pack(">6llBB", 0, 0, 0, 0, 1, 4, east, 0, 0) + b"LAB\0"
        self.mail.run(["rm", "-f", "/etc/localtime"])
        self.mail.write("/etc/localtime", zone)
        return soon.date().isoformat()


_MIDNIGHT = datetime.time(tzinfo=datetime.UTC)


def stage(lab: Lab, name: str, port: int = PORT) -> Stage:
    net = lab.network()
    mail = lab.host(
        "mailhost", system=DAEMONS[name].system, network=net, binds={ROOT: "/srv/mailseal"}
    )
    mail.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    install(mail, DAEMONS[name], "permitted", ("192.0.2.99", "2001:db8:1::99"))
    return Stage(lab, mail, lab.client(net, "inside"), lab.client(net, "outside"), port)


def test_the_commands_of_the_page_work_as_typed(lab: Lab) -> None:
    on = stage(lab, "dovecot-2.3")
    mail = on.mail
    names = f"{mail.ipv4} {NAME}\n{mail.ipv6} {NAME}\n".encode()
    mail.write("/etc/hosts", mail.read("/etc/hosts") + names)
    commands = re.findall(r"(?m)^\$ (.*)$", PAGE.read_text())
    assert len(commands) == 4
    listed = [None, 2, 1, 0]
    for command, networks in zip(commands, listed, strict=True):
        done = ran(mail, "sh", "-c", command)
        assert done.code == 0, (command, done.said)
        if networks is not None:
            assert mail.read(LIST).count(b"remote ") == networks
    assert on.logins(on.inside) == [False] * 6
    for _ in range(3):
        sealed(mail, "rollback")
    assert all(on.logins(on.inside))


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


def test_a_timer_ends_it_when_the_day_is_over_and_nobody_looks(lab: Lab) -> None:
    on = stage(lab, "exim", 587)
    mail = on.mail
    assert all(on.logins(on.inside) + on.logins(on.outside))
    day = on.midnight_in(35)
    files = mail.snapshot(("/etc", "/usr"))
    excepted = [word for network in on.networks for word in ("--except", network)]
    wish = ("seal", f"{mail.ipv4}:587", *excepted, "--until", day, *WHO, "--yes")
    sealed(mail, *wish)
    assert mail.run(["date", "+%F"]).stdout.decode().strip() == day
    on.check(excepted=True)
    wait_until(lambda: not any(on.logins(on.inside)), seconds=60)
    on.check(excepted=False)
    told = ran(mail, "journalctl", "-u", "mailseal-except-587.service").out
    assert "exceptions on port 587 ended" in told
    assert "ActiveState=active" in ran(mail, "systemctl", "show", "exim4").out
    sealed(mail, "rollback")
    assert mail.snapshot(("/etc", "/usr")) == files
    assert all(on.logins(on.inside) + on.logins(on.outside))


@pytest.mark.parametrize(
    ("starter", "whole"),
    [
        ("standalone", False),
        pytest.param("standalone", True, marks=pytest.mark.soak),
        pytest.param("inetd", True, marks=pytest.mark.soak),
    ],
)
def test_a_network_is_taken_past_stunnel(lab: Lab, starter: str, whole: bool) -> None:
    on = scene(lab, "bookworm", starter)
    mail, target = on.mail, f"{NAME}:109"
    install_stunnel(mail)
    outside = replace(on, client=lab.client(on.net, "outside"))
    before = state(mail)
    networks = (f"{on.client.ipv4}/32", f"{on.client.ipv6}/128")
    excepted = [word for network in networks for word in ("--except", network)]
    wish = ("seal", target, *excepted, "--until", "2035-03-31", *WHO, "--yes")
    out = sealed(mail, *wish)
    assert f"{networks[1]} until 2035-03-31, alice@example.org" in out
    on.check_cleartext()
    outside.check_sealed()
    assert "excepts just these already: nothing was changed" in sealed(mail, *wish)

    # Whatever becomes of the rules, nobody is exposed.
    mail.run(["nft", "flush", "ruleset"])
    on.check_sealed()
    mail.run(["systemctl", "reload", "mailseal-steering-109"])
    on.check_cleartext()
    if whole:
        change_by_and_by(on, outside, wish, excepted)
    sealed(mail, "rollback")
    outside.check_cleartext()
    check_as_before(before, state(mail))


def change_by_and_by(on: Scene, outside: Scene, wish: Sequence[str], nets: Sequence[str]) -> None:
    """The host's own rules are loaded anew, it boots, one network is taken away, the day of the
    other comes, and what is left is undone.
    """
    mail = on.mail
    mail.run(["systemctl", "start", "nftables"])
    mail.run(["systemctl", "reload", "nftables"])
    wait_until(lambda: on.log_in("polite") == on.answered)
    mail.run(["systemctl", "disable", "--now", "nftables"])
    mail.reboot()
    wait_until(lambda: on.log_in("polite") == on.answered, seconds=30)
    outside.check_sealed()

    sealed(mail, *wish[:2], *nets[:2], *wish[2 + len(nets) :])
    first, second = on.log_in("polite")
    assert (first, second[0][0]) == (on.answered[0], "!")
    mail.write("/usr/local/bin/date", b"#!/bin/sh\necho 20350401\n", mode=0o755)
    mail.run(["systemctl", "start", "mailseal-except-109.service"])
    wait_until(lambda: on.log_in("tls", ca=on.ca()) == on.answered)
    on.check_sealed()
    mail.run(["rm", "/usr/local/bin/date"])
    sealed(mail, "rollback")
    on.check_cleartext()


BESIDE = 10587


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_postfix_serves_a_network_at_a_port_beside(lab: Lab, whole: bool) -> None:
    on = stage(lab, "postfix", 587)
    mail, target = on.mail, f"{on.mail.ipv4}:587"
    if whole:
        mail.write("/etc/nftables.conf", DROPPING, 0o755)
        mail.run(["systemctl", "enable", "--now", "nftables"])
    assert all(on.logins(on.inside) + on.logins(on.outside))
    files, rules = mail.snapshot(("/etc", "/usr")), ran(mail, "nft", "list", "ruleset").out
    excepted = [word for network in on.networks for word in ("--except", network)]
    wish = ("seal", target, *excepted, "--until", "2035-03-31", *WHO, "--yes")
    out = sealed(mail, *wish)
    assert f"{on.networks[1]} until 2035-03-31, alice@example.org" in out
    assert ("the plan opens 10587 too" in out) == whole
    on.check(excepted=True)
    assert all(on.logins(on.inside, "upgrade"))

    # The way there is for those who are taken there, and what fails shuts them out.
    for client in (on.inside, on.outside):
        assert not on.connects(client, BESIDE)
    mail.run(["nft", "flush", "ruleset"])
    on.check(excepted=False)
    assert on.connects(on.outside, BESIDE)
    assert set(on.logins(on.outside, port=BESIDE)) == {False}
    mail.run(["systemctl", "reload", "mailseal-steering-587"])
    on.check(excepted=True)
    if whole:
        change_beside(on, wish, excepted)
    sealed(mail, "rollback")
    assert mail.snapshot(("/etc", "/usr")) == files
    assert ran(mail, "nft", "list", "ruleset").out == rules
    assert all(on.logins(on.inside) + on.logins(on.outside))
    assert not on.connects(on.inside, BESIDE)


DROPPING = b"""#!/usr/sbin/nft -f
flush ruleset
table inet filter {
\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t\tiif lo accept
\t\tct state established,related accept
\t\tmeta l4proto { icmp, ipv6-icmp } accept
\t\ttcp dport { 25, 587 } accept
\t}
}
"""


def change_beside(on: Stage, wish: Sequence[str], excepted: Sequence[str]) -> None:
    """The host's own rules are loaded anew, it boots, one network is taken away, the day of the
    other comes while the host is off, and each of these is undone.
    """
    mail = on.mail
    assert "already: nothing was changed" in sealed(mail, *wish)
    mail.run(["systemctl", "reload", "nftables"])
    wait_until(lambda: all(on.logins(on.inside)))
    mail.run(["systemctl", "restart", "nftables"])
    wait_until(lambda: all(on.logins(on.inside)))
    mail.reboot()
    wait_until(lambda: BESIDE in {each[2] for each in mail.listeners()}, seconds=30)
    on.check(excepted=True)

    sealed(mail, *wish[:2], *excepted[:2], *wish[2 + len(excepted) :])
    assert on.logins(on.inside) == [True, True, False, False]
    assert all(on.logins(on.inside, "upgrade"))
    on.on_the_day("20350401")
    mail.reboot()
    wait_until(lambda: BESIDE in {each[2] for each in mail.listeners()}, seconds=30)
    on.check(excepted=False)
    assert all(on.logins(on.inside, "upgrade"))
    mail.run(["rm", "/usr/local/bin/date"])
    sealed(mail, "rollback")
    on.check(excepted=True)
    sealed(mail, *wish[:2], "--yes")
    on.check(excepted=False)
    sealed(mail, "rollback")
    on.check(excepted=True)


OURS = ("/etc/mailseal", "/etc/systemd")
FILES = {"inetd": "/etc/inetd.conf", "xinetd": "/etc/xinetd.d"}
KINDS = [("bookworm", "inetd"), ("trixie", "xinetd")]


@pytest.mark.soak
@pytest.mark.parametrize(("system", "starter"), KINDS)
def test_a_super_server_lets_in_a_network_until_its_last_day(
    lab: Lab, system: str, starter: str
) -> None:
    on = scene(lab, system, starter)
    mail, target = on.mail, f"{NAME}:109"
    install_stunnel(mail)
    if starter == "inetd":
        mail.run(
            ["sed", "-i", f"s,{INSTALLED}\tipop2d,/usr/sbin/tcpd\t{INSTALLED},", "/etc/inetd.conf"]
        )
        mail.run(["systemctl", "reload", "inetd"])
        on.check_cleartext()
    outside = replace(on, client=lab.client(on.net, "outside"))
    networks = (f"{on.client.ipv4}/32", f"{on.client.ipv6}/128")
    excepted = [word for network in networks for word in ("--except", network)]
    wish = ("seal", target, *excepted, "--until", "2035-03-31", *WHO, "--yes")

    refused = mailseal(mail, *wish)
    assert (refused.code, "--stage offer first" in refused.err) == (6, True), refused.said
    sealed(mail, "seal", target, "--stage", "offer", "--yes")
    offered = mail.snapshot((*OURS, FILES[starter]))
    out = sealed(mail, *wish)
    assert f"{networks[1]} until 2035-03-31, alice@example.org" in out
    on.check_cleartext()
    assert outside.answered != outside.log_in("polite")
    for said in outside.log_in("polite"):
        assert said[0][0] == "!", said
    for each in (on, outside):
        assert each.log_in("tls", 1109, ca=on.ca()) == on.answered
    assert "excepts just these already: nothing was changed" in sealed(mail, *wish)

    # One network is taken away; the other stays.
    sealed(mail, *wish[:2], *excepted[:2], *wish[2 + len(excepted) :])
    assert on.log_in("polite")[0] == on.answered[0]
    assert on.log_in("polite")[1][0][0] == "!"
    sealed(mail, "rollback")
    on.check_cleartext()

    # The day comes while the host is off.
    mail.write("/usr/local/bin/date", b"#!/bin/sh\necho 20350401\n", mode=0o755)
    mail.reboot()
    wait_until(lambda: 1109 in {each[2] for each in mail.listeners()})
    for said in on.log_in("polite") + outside.log_in("polite"):
        assert said[0][0] == "!", said
    assert on.log_in("tls", 1109, ca=on.ca()) == on.answered
    mail.run(["rm", "/usr/local/bin/date"])
    sealed(mail, "rollback")
    on.check_cleartext()
    assert mail.snapshot((*OURS, FILES[starter])) == offered
