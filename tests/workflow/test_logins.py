"""Logins of a host that is to be changed, as the store knows them."""

from pathlib import Path

import pytest

from mailseal.model.look import Endpoint
from mailseal.model.moment import seconds
from mailseal.plan import Options, Seen
from mailseal.store import Store
from mailseal.workflow import BadInput, plans
from mailseal.workflow.logins import asked
from mailseal.workflow.plans import Wish
from mailseal.workflow.redact import NOTHING, Redaction
from tests.plan.hosts import facts
from tests.store.make import judged, login, moment
from tests.workflow.fakes import FakeHost

HOST = facts("inetd")
HERE = Endpoint("192.0.2.10", 109)
NOW = 60 * 24 * 40
WISH = Wish(109, Options(name="pop.example"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite3"
    seen = [
        login("alice", NOW - 2, NOW - 1, endpoint=HERE, host=""),
        login("bob", NOW - 4, NOW - 3, endpoint=Endpoint("2001:db8:1::10", 109, "lab")),
        login("carol", NOW - 6, NOW - 5, endpoint=None, host="Mail"),
        login("dave", NOW - 6, NOW - 5, endpoint=None, host="pop"),
        login("old", 1, 2, endpoint=HERE),
        login("other-port", NOW, NOW, endpoint=Endpoint("192.0.2.10", 110)),
        login("other-host", NOW, NOW, endpoint=Endpoint("192.0.2.11", 109)),
        login("other-name", NOW, NOW, endpoint=None, host="mail2"),
        login("no-name", NOW, NOW, endpoint=None, host=""),
        login("other-protocol", NOW, NOW, endpoint=None, host="mail", protocol="pop3"),
        login("loopback", NOW, NOW, endpoint=Endpoint("127.0.0.1", 109)),
    ]
    with Store.open(str(path)) as store:
        store.record_logins(judged(*seen), "x")
    return path


def seen(
    path: Path | None, since: str = "30d", redact: Redaction = NOTHING, quiet: str = ""
) -> Seen:
    option = None if path is None else str(path)
    ask = asked(
        option,
        {"MAILSEAL_STORE": "/nonexistent/x"},
        since,
        redact,
        lambda: seconds(moment(NOW)),
        quiet,
    )
    return ask(HOST, 109, "pop2", ("pop.example",))


def users(there: Seen) -> list[str]:
    return sorted(each.user or "" for each in there.logins)


def test_it_is_found_by_its_addresses_and_by_its_names(path: Path):
    there = seen(path)
    assert users(there) == ["alice", "bob", "carol", "dave"]
    assert there.ever
    assert "old" in users(seen(path, "60d"))
    assert seen(path, "2026-01-01").since == "2026-01-01T00:00:00.000Z"


def test_that_somebody_looked_is_known_when_nobody_came_lately(path: Path):
    there = seen(path, "0h")
    assert (there.logins, there.ever) == ((), True)


def test_who_came_since_it_must_be_quiet_is_asked_for(path: Path):
    there = seen(path, "1h", quiet="60d")
    assert "old" in users(there)
    assert there.since == there.quiet == moment(NOW - 60 * 24 * 60)
    there = seen(path, "60d", quiet="1h")
    assert (there.since, there.quiet) == (moment(NOW - 60 * 24 * 60), moment(NOW - 60))
    assert seen(None, quiet="1h").quiet == there.quiet


def test_where_there_is_no_store_nobody_looked():
    assert seen(None) == Seen(moment(NOW - 30 * 24 * 60))


def test_a_damaged_store_stops_no_plan_and_is_said(path: Path):
    path.write_bytes(path.read_bytes()[:5000])
    there = seen(path)
    assert "damaged" in there.unread
    assert there.logins == ()


def test_names_can_be_hidden(path: Path):
    there = seen(path, redact=Redaction(b"k", users=True))
    assert all(name.startswith("user-") for name in users(there))


def test_a_store_that_is_named_must_be_there(tmp_path: Path):
    with pytest.raises(BadInput, match="there is no store"):
        seen(tmp_path / "none")
    with pytest.raises(BadInput, match="is no time"):
        seen(None, "soon")


def test_a_plan_asks_with_what_is_known_of_the_host():
    calls = []

    def ask(facts, port, protocol, names) -> Seen:
        calls.append((facts.host, port, protocol, names))
        return Seen(moment(0), (login(),), ever=True)

    made, _ = plans.make(FakeHost(names=("mailhost",)), WISH, ask)
    assert "alice" in made.headline[-1]
    made = plans.from_facts(HOST, WISH, ask)
    assert "alice" in made.headline[-1]
    assert calls == [
        ("mail", 109, "pop2", ("pop.example", "mailhost")),
        ("mail", 109, "pop2", ("pop.example",)),
    ]
    nobody, _ = plans.make(FakeHost(), WISH)
    assert nobody.headline == made.headline[: len(nobody.headline)]
