"""Logs that real daemons wrote while known clients logged in, login by login.

`recorded/` holds the lines of the lab's daemons (Debian 12; Dovecot 2.4 of Debian 13), as they were
logged while the lab's independent client went through every service in the settings `permitted` and
`required`: in cleartext, after the upgrade and in TLS from the first octet; by each of its ways;
with the right password, then with a wrong one. So how often each must be seen is a product.
stunnel (5.68) was met by clients with each of these troubles; their address is put in afterwards.
"""

from collections import Counter

import pytest

from mailseal.assess import meaning
from mailseal.model.login import LoginOutcome, Meaning
from mailseal.model.look import Channel
from tests.logs.common import RECORDED, added, failures, logins, seen

CLEAR, TLS, UNKNOWN = Channel.CLEAR, Channel.TLS, Channel.UNKNOWN
ACCEPTED, REJECTED, REFUSED = LoginOutcome.ACCEPTED, LoginOutcome.REJECTED, LoginOutcome.REFUSED

Table = dict[tuple[Channel, LoginOutcome], int]


def tried(ways: int, clear: int, implicit: int, told: int) -> Table:
    """`ways` to log in at `clear` ports and at `implicit` ones of TLS from the first octet, in two
    settings; of those that are refused, two passwords each, `told` ways leave a line.
    """
    inside = 2 * (clear + implicit) * ways
    table = {
        (CLEAR, ACCEPTED): clear * ways,
        (CLEAR, REJECTED): clear * ways,
        (CLEAR, REFUSED): 2 * clear * told,
        (TLS, ACCEPTED): inside,
        (TLS, REJECTED): inside,
    }
    return {key: count for key, count in table.items() if count}


DOVECOT = {
    "imap": tried(3, 2, 1, told=3),
    "pop3": tried(3, 2, 1, told=3),
    "managesieve": tried(2, 2, 0, told=2),
}
TOLD: dict[str, dict[str, Table]] = {
    "dovecot-2.3": DOVECOT,
    "dovecot-2.4": DOVECOT,
    # A LOGIN command or a USER that is refused leaves no line.
    "cyrus": {
        "imap": tried(3, 2, 1, told=2),
        "pop3": tried(3, 2, 1, told=2),
        "managesieve": tried(2, 2, 0, told=2),
    },
    # What is refused leaves no line. pop3d tells nothing of TLS where nobody logged in.
    "courier": {
        "imap": tried(3, 2, 1, told=0),
        "pop3": {
            (CLEAR, ACCEPTED): 6,
            (TLS, ACCEPTED): 18,
            (TLS, REJECTED): 6,
            (UNKNOWN, REJECTED): 18,
        },
    },
    "postfix": {"smtp": tried(2, 3, 1, told=2)},
    # Two sessions more brought a message each.
    "exim": {"smtp": {**tried(2, 3, 1, told=0), (TLS, ACCEPTED): 18}},
    "popa3d": {"pop3": {(UNKNOWN, ACCEPTED): 2, (UNKNOWN, REJECTED): 2}},
}


@pytest.mark.parametrize("name", TOLD)
def test_each_login_is_seen_and_none_is_made_up(name: str):
    found = logins((RECORDED / f"{name}.log").read_bytes())
    counts: dict[str, Counter[tuple[Channel, LoginOutcome]]] = {}
    for login in found:
        counts.setdefault(login.protocol, Counter())[login.channel, login.outcome] += login.count
    assert {protocol: dict(table) for protocol, table in counts.items()} == TOLD[name]
    assert all(login.complete for login in found)
    assert {login.user for login in found} <= {"alice", None}
    assert {login.daemon for login in found} == {name.partition("-")[0]}
    assert {login.client for login in found} <= {"192.0.2.11", ""}
    assert all("2026-11-21T08" < login.first <= login.last < "2026-11-21T10" for login in found)


@pytest.mark.parametrize("name", TOLD)
def test_what_cannot_be_told_is_said(name: str):
    for login in logins((RECORDED / f"{name}.log").read_bytes()):
        if login.channel is UNKNOWN:
            assert login.notes
            assert meaning(login) is Meaning.UNDECIDED


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("dovecot-2.3", {"no cipher in common", "too old a version of TLS",
                         "the connection ended in the middle of the handshake"}),
        ("dovecot-2.4", {"no cipher in common", "too old a version of TLS"}),
        ("cyrus", {"the log does not say why"}),
        ("courier", {"no cipher in common"}),
        ("postfix", {"no cipher in common"}),
        ("exim", {"no cipher in common"}),
        ("popa3d", set()),
        ("stunnel", {"no cipher in common", "too old a version of TLS", "not TLS at all",
                     "an unknown authority: one side does not trust the other's certificate",
                     "the connection ended in the middle of the handshake"}),
    ],
)  # fmt: skip
def test_clients_that_fail_at_tls(name: str, reasons: set[str]):
    found = failures((RECORDED / f"{name}.log").read_bytes())
    assert {failure.reason for failure in found} == reasons
    assert {failure.client for failure in found} <= {"192.0.2.11"}


def test_the_user_s_name_stands_where_the_log_has_it():
    named = {
        (login.mechanism, login.outcome, login.user)
        for login in logins((RECORDED / "postfix.log").read_bytes())
    }
    assert ("PLAIN", REJECTED, "alice") in named
    assert ("", ACCEPTED, None) in named


def test_what_journald_exports_is_read_alike():
    export = seen((RECORDED / "journal.export").read_bytes())
    assert sum(each.count for each in export) == 40
    assert added(export) == added(seen((RECORDED / "journal.json").read_bytes()))


def test_addresses_and_hosts():
    found = logins((RECORDED / "dovecot-2.3.log").read_bytes())
    places = {str(login.endpoint) for login in found}
    assert places == {"192.0.2.10:143", "192.0.2.10:110", "192.0.2.10:4190"}
    assert {login.host for login in found} == {"mailhost"}
    at = {str(login.endpoint) for login in logins((RECORDED / "exim.log").read_bytes())}
    assert at == {f"192.0.2.10:{port}" for port in (25, 465, 587, 10025)}
