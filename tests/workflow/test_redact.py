"""What leaves the house holds no name, wherever it stood, and the same pseudonym every time."""

import ipaddress
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as some

from mailseal.model.login import JudgedLogin, Login, Meaning, TlsFailure
from mailseal.model.look import Vantage
from mailseal.report import logins as report
from mailseal.report import records
from mailseal.report.logins import Logins
from mailseal.store import Store
from mailseal.workflow import BadInput
from mailseal.workflow.redact import NOTHING, Redaction, redaction
from tests.store.make import AT, judged, login, look, moment, record

KEY = b"k" * 32
USERS = Redaction(KEY, users=True)
CLIENTS = Redaction(KEY, clients=True)
BOTH = Redaction(KEY, users=True, clients=True)

ALICE = login(
    "alice@mail.example",
    client="alice-pc.example",
    software=("Alices mutt", "mutt 2.2"),
    notes=("ALICE@mail.example was seen twice", "this log shows no TLS"),
)


def text(seen: Logins) -> str:
    return "\n".join(
        line
        for form in ("text", "json", "ndjson", "csv")
        for line in report.FORMS[form](seen)
    )  # fmt: skip


def document(*logins: Login, **more) -> Logins:
    judged = tuple(JudgedLogin(each, Meaning.CLEARTEXT) for each in logins)
    return Logins(
        "0.1.0", **{"sources": ("x",), "logins": judged, "failures": (), "counts": {}, **more}
    )


def test_a_user_has_one_pseudonym_and_nobody_else_has_it():
    again = USERS.login(replace(ALICE, client="x", count=9))
    assert USERS.login(ALICE).user == again.user
    assert again.user is not None
    assert again.user.startswith("user-")
    assert USERS.login(login("bob")).user != again.user
    assert Redaction(b"x" * 32, users=True).login(ALICE).user != again.user


def test_nothing_of_the_name_remains_and_all_else_does():
    hidden = USERS.login(ALICE)
    assert "alice" not in repr(hidden).casefold()
    assert hidden.software == ("mutt 2.2",)
    assert hidden.notes == ("left out: it holds a name", "this log shows no TLS")
    kept = ("endpoint", "protocol", "mechanism", "channel", "outcome", "count", "first", "last")
    for field in kept:
        assert getattr(hidden, field) == getattr(ALICE, field)
    assert USERS.login(login(None)) == login(None)
    assert USERS.login(login()).client == "198.51.100.7"


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        ("198.51.100.7", "198.51.100.0/24"),
        ("2001:db8:1:2:3::7", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_client_is_shown_as_its_network(client: str, shown: str):
    seen = CLIENTS.login(login(client=client))
    assert (seen.client, seen.user) == (shown, "alice")


def test_a_client_that_has_a_name_alone_gets_a_pseudonym():
    seen = CLIENTS.login(login(client="pc.example", notes=("pc.example went away",)))
    assert seen.client.startswith("client-")
    assert "pc.example" not in repr(seen)


def test_the_name_that_a_machine_greets_with_is_a_client_s():
    names = ("laptop", "pc.example", "[192.0.2.9]", "Thunderbird 91.2", "swaks/2020")
    seen = CLIENTS.login(login(protocol="smtp", software=names))
    assert seen.software == ("Thunderbird 91.2", "swaks/2020")
    assert CLIENTS.login(login(software=("Thunderbird", "pc.example"))).software == ("Thunderbird",)


def test_short_names_are_words_and_no_parts_of_them():
    seen = USERS.login(login("al", notes=("already seen", "al again")))
    assert seen.notes == ("already seen", "left out: it holds a name")


def test_in_a_document_a_name_is_found_in_what_is_said_of_others():
    failure = TlsFailure(
        AT, "pop2", "198.51.100.7", "too old", 1, moment(1), moment(2), Vantage.LOG
    )
    seen = document(
        ALICE,
        login("bob", client="alice", notes=("after alice@mail.example",), software=("alice",)),
        sources=("/logs/alice/mail.log", "/logs/mail.log"),
        failures=(failure,),
        partial=("/logs/alice/mail.log: it ends in the middle", "a packet is missing"),
        counts={"sessions": 3},
    )
    assert "alice" in text(seen).casefold()
    hidden = BOTH.document(seen)
    assert "alice" not in text(hidden).casefold()
    assert "198.51.100.7" not in text(hidden)
    assert hidden.sources == ("source 1", "/logs/mail.log")
    assert hidden.partial == ("left out: it holds a name", "a packet is missing")
    assert "alice" not in text(USERS.document(seen)).casefold()
    assert NOTHING.document(seen) == seen


def test_the_history_of_a_finding(tmp_path: Path):
    with Store.open(str(tmp_path / "store.sqlite3")) as store:
        record(store, look("exposed"))
        seen = judged(ALICE, login("bob", notes=("alice@mail.example again",)))
        store.record_logins(seen, "/logs/alicelogs")
        history = store.history(store.ids("")[0])
    assert "alice" in records.line(history).casefold()
    hidden = BOTH.history(history)
    assert "alice" not in records.line(hidden).casefold()
    assert [each.source for each in hidden.logins] == ["", ""]
    assert NOTHING.history(history) == history


NAMES = some.text(some.characters(codec="utf-8", categories=("L", "N", "P")), min_size=3)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


@given(NAMES, NAMES, some.text())
@example("0.0", "0.1", ".0")
def test_whatever_the_name_it_is_gone(user: str, before: str, behind: str):
    around = before + user + behind
    # An address is no name, whatever digits are the user's: it is shown as its network.
    assume(not _is_address(around))
    made = login(user, client=around, software=(around,), notes=(around,))
    hidden = USERS.login(made)
    assert hidden.user is not None
    assert hidden.client.startswith("client-")
    assert (hidden.software, hidden.notes) == ((), ("left out: it holds a name",))


# -- the key ---------------------------------------------------------------------------------------


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path):
    environment = {"XDG_DATA_HOME": str(tmp_path)}
    assert redaction(False, False, environment) is NOTHING
    assert list(tmp_path.iterdir()) == []
    first = redaction(True, False, environment)
    path = tmp_path / "mailseal" / "redaction.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert redaction(False, True, environment).key == first.key
    os.chmod(path, 0o644)
    assert redaction(True, True, environment).key == first.key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["redaction.key"]


def test_of_several_who_make_it_at_once_one_counts(tmp_path: Path):
    keys: list[bytes] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait(10)
        keys.append(redaction(True, False, {"XDG_DATA_HOME": str(tmp_path)}).key)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64, b"00" * 31, b"00" * 40])
def test_a_key_that_is_none_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "mailseal" / "redaction.key"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(BadInput, match="no key of pseudonyms"):
        redaction(True, False, {"XDG_DATA_HOME": str(tmp_path)})


def test_a_key_that_cannot_be_used_is_said(tmp_path: Path):
    (tmp_path / "mailseal").touch()
    with pytest.raises(BadInput, match="cannot be used"):
        redaction(True, False, {"XDG_DATA_HOME": str(tmp_path)})
