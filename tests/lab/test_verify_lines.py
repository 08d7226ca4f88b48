"""Each line of `mailseal verify` made to fail once, on sealed booted hosts, by breaking just that
thing; noticed from another host, mended, and noticed to be mended.

Strategy: the table (`breakages`) is data, and one story is told of every row. Two hosts are sealed
once each: one whose POP2 is wrapped, with another POP2 beside it in stage offer; one whose Exim
enforces TLS itself. The host that looks asks the mail host (`--on`) where a line takes that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import Host, Lab, missing
from lab.daemons import DAEMONS, install
from lab.pop2 import INSTALLED
from mailseal.model.plan import ClaimKind as Line
from mailseal.model.plan import Result
from tests.lab import breakages
from tests.lab.breakages import INETD, ISSUE, NO_LINES, TABLE, Breakage
from tests.lab.story import (
    NAME,
    PROGRAM,
    ROOT,
    desk,
    install_stunnel,
    mailseal,
    scene,
    sealed,
    stranger,
)

PAGE = ROOT / "docs/reference/verify.md"
_PROXY = Path(__file__).with_name("oldproxy.py")
_CA = ("--ca", "/srv/ca.crt")
_TARGETS = {
    "wrapped": (f"{NAME}:109", "--closed", "10109", "--eavesdrop", "eth0"),
    "offered": ("/srv/offer.json",),
    "native": (f"{NAME}:587", "--cert", "/srv/ca.crt"),
}
_PORTS = {"wrapped": 109, "offered": 2109, "native": 587}
_WORST = (Result.PASS, Result.UNKNOWN, Result.FAIL)
_EXITS = dict(zip(_WORST, (0, 3, 1), strict=True))


@dataclass(frozen=True)
class Stage:
    """A sealed host, and one that looks at it."""

    mail: Host
    desk: Host

    def verified(self, service: str, *options: str) -> dict[Line, Result]:
        """Line to its worst result at any address."""
        account = ("--login", self.mail.account.user, "--password-file", "/srv/password")
        words = (*_TARGETS[service], *_CA, *account, "--intrusive", *options)
        done = mailseal(self.desk, "verify", *words, "--timeout", "1.5", "--format", "ndjson")
        found: dict[Line, Result] = {}
        for proof in map(json.loads, done.out.splitlines()):
            line, result = Line(proof["claim"]["kind"]), Result(proof["result"])
            found[line] = max(found.get(line, Result.PASS), result, key=_WORST.index)
        assert found, done.said
        assert done.code == _EXITS[max(found.values(), key=_WORST.index)], done.said
        return found

    def all_is_well(self, service: str, *options: str) -> None:
        found = self.verified(service, *options)
        assert set(found.values()) == {Result.PASS}, found

    def act(self, each: Breakage, command: str) -> None:
        """Runs it, and waits until the service is there again, where it is to be."""
        host = self.desk if each.where == "desk" else self.mail
        host.run(["sh", "-ec", command.replace("DESK", self.desk.ipv4)])
        self.mail.wait_listening(_PORTS[each.service])


@pytest.fixture(scope="module")
def needed() -> None:
    reasons = missing()
    if reasons:
        pytest.skip("; ".join(reasons))


@pytest.fixture(scope="module")
def wrapped(needed: None) -> Iterator[Stage]:
    """POP2 behind stunnel, and on port 2109 with TLS offered beside it."""
    with Lab() as lab:
        on = scene(lab, "bookworm", "inetd")
        home, mail = desk(on), on.mail
        mail.write("/etc/inetd.conf", mail.read("/etc/inetd.conf") + INETD)
        mail.run(["systemctl", "restart", "inetd"])
        install_stunnel(mail)
        sealed(mail, "seal", f"{NAME}:109", "--yes")
        offer = ("--protocol", "pop2", "--stage", "offer", "-o", "/srv/offer.json")
        sealed(mail, "plan", f"{NAME}:2109", *offer)
        sealed(mail, "apply", "/srv/offer.json", "--yes")
        mail.write("/srv/issue", ISSUE, 0o755)
        mail.run(["sh", "-ec", _PREPARE])
        _moved(mail, home)
        home.write("/srv/offer.json", mail.read("/srv/offer.json"))
        yield _staged(mail, home, "/etc/mailseal/ca.crt")


_PREPARE = """
cp -a /etc/mailseal /srv/kept
cd /srv
openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=other -keyout other.key -out other.crt
"""


def _moved(mail: Host, home: Host) -> None:
    """Where the mailboxes move to in one of the breakages."""
    account = mail.account
    home.write(INSTALLED, mail.read(INSTALLED), 0o755)
    home.write("/etc/pop2d.users", account.users_file, 0o600)
    home.write(f"/var/mail/{account.user}", account.mailbox, 0o660)
    serving = [INSTALLED, "--listen", f"{home.ipv4}:2109", "--bad-login-delay", "0"]
    home.run(["systemd-run", "--unit=moved", *serving])
    home.wait_listening(2109)


@pytest.fixture(scope="module")
def native(needed: None) -> Iterator[Stage]:
    """Exim, which takes no login without TLS on its ports."""
    with Lab() as lab:
        net = lab.network()
        mail = lab.host("mailhost", system="exim", network=net, binds={ROOT: "/srv/mailseal"})
        home = stranger(lab, net, mail)
        mail.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
        mail.write("/etc/hosts", mail.read("/etc/hosts") + f"{mail.ipv4} {NAME}\n".encode())
        install(mail, DAEMONS["exim"], "permitted", (home.ipv4, home.ipv6))
        mail.run(["sed", "-i", _MODERN, "/etc/exim4/exim4.conf"])
        sealed(mail, "seal", f"{NAME}:587", "--strategy", "native", "--yes")
        mail.write("/usr/local/sbin/oldproxy", _PROXY.read_bytes(), 0o755)
        mail.run(["cp", "-a", "/etc/exim4/exim4.conf", "/srv/"])
        yield _staged(mail, home, "/etc/ssl/mail.pem")


_MODERN = "1atls_require_ciphers = NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"
"""GnuTLS still takes the old versions where nobody tells it not to."""


def _staged(mail: Host, home: Host, authority: str) -> Stage:
    home.write("/srv/ca.crt", mail.read(authority))
    home.write("/srv/password", mail.account.password.encode() + b"\n", mode=0o600)
    return Stage(mail, home)


def check(on: Stage, each: Breakage, record_property: Callable[[str, str], None]) -> None:
    on.act(each, each.breaks)
    found = on.verified(each.service, *each.options)
    told = {line: result for line, result in found.items() if result is not Result.PASS}
    on.act(each, each.mends)
    assert told == each.expected
    on.all_is_well(each.service, *each.options)
    record_property("table", f"| {each.line.value} | {each.act} | {told[each.line].value} |")


def named(rows: tuple[Breakage, ...]) -> pytest.MarkDecorator:
    """Each once; of a line that was broken before, `script/soak` tells."""
    lines = [each.line for each in rows]
    params = [
        pytest.param(
            each,
            id=f"{number}-{each.line.value}",
            marks=[pytest.mark.soak] if each.line in lines[:number] else [],
        )
        for number, each in enumerate(rows)
    ]
    return pytest.mark.parametrize("each", params)


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.xdist_group("verify-wrapped")
@named((*breakages.WRAPPED, *breakages.OFFERED))
def test_what_breaks_of_a_wrapped_service_is_noticed_and_nothing_else(
    wrapped: Stage, each: Breakage, record_property: Callable[[str, str], None]
) -> None:
    check(wrapped, each, record_property)


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.xdist_group("verify-native")
@named(breakages.NATIVE)
def test_what_breaks_of_a_daemon_that_enforces_tls_is_noticed_and_nothing_else(
    native: Stage, each: Breakage, record_property: Callable[[str, str], None]
) -> None:
    check(native, each, record_property)


def test_there_is_a_breakage_for_every_line_that_verify_knows() -> None:
    assert {each.line for each in TABLE} == set(Line) - NO_LINES


def test_the_docs_have_the_table() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == [each.row for each in TABLE]
