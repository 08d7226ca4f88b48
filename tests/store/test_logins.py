"""Who logged in: what is read twice counts once, and what is deleted is gone to the last octet."""

import dataclasses
import ipaddress
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.model.login import JudgedLogin, Login, LoginOutcome, Meaning
from mailseal.model.look import Channel, Endpoint, Vantage
from mailseal.store import Filter, LoginFilter, Store, StoreError, kept_days, logins
from tests.store.make import AT, judged, login, look, moment, record, rows

ALL = LoginFilter()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(str(path)) as opened:
        yield opened


def users(store: Store, asked: LoginFilter = ALL) -> list[str | None]:
    return [each.login.user for each in store.logins(asked)]


def one(store: Store) -> Login:
    (known,) = store.logins(ALL)
    return known.login


# -- adding up -------------------------------------------------------------------------------------


def test_a_login_is_known_as_it_was_seen(store: Store):
    seen = login(software=("mutt 2.2",), notes=("this log shows no TLS",), complete=False)
    store.record_logins(judged(seen), "mail.log")
    (known,) = store.logins(ALL)
    assert (known.login, known.meaning, known.source) == (seen, Meaning.CLEARTEXT, "mail.log")


def test_the_same_file_twice_changes_nothing_whatever_its_name(store: Store, path: Path):
    seen = judged(login(), login("bob"), login("carol", channel=Channel.TLS))
    store.record_logins(seen, "mail.log")
    before = rows(path)
    store.record_logins(seen, "mail.log")
    store.record_logins(seen, "mail.log.1")
    assert rows(path) == before


def test_a_file_that_has_grown_counts_for_what_is_new(store: Store):
    store.record_logins(judged(login(first=1, last=5, count=3)), "mail.log")
    store.record_logins(judged(login(first=1, last=9, count=7)), "mail.log")
    assert one(store) == login(first=1, last=9, count=7)


def test_what_comes_later_is_added(store: Store):
    store.record_logins(judged(login(first=1, last=5, count=3)), "mail.log.1")
    store.record_logins(judged(login(first=6, last=9, count=4)), "mail.log")
    assert one(store) == login(first=1, last=9, count=7)


def test_software_and_notes_are_added_up_and_bounded(store: Store):
    for number in range(20):
        seen = login(first=number, last=number, software=(str(number),), complete=number != 3)
        store.record_logins(judged(seen), "x")
    assert one(store).software == tuple(map(str, range(logins.FEW)))
    assert not one(store).complete


def test_another_outcome_client_or_server_is_another_login(store: Store):
    seen = [
        login(),
        login(client="198.51.100.8"),
        login(outcome=LoginOutcome.REJECTED),
        login(endpoint=Endpoint("192.0.2.7", 109, "lab")),
        login(endpoint=None),
        login(None),
    ]
    store.record_logins(judged(*seen), "x")
    assert len(list(store.logins(ALL))) == len(seen)


CHANGES: dict[str, Any] = {
    "endpoint": Endpoint("192.0.2.9", 1), "protocol": "imap", "client": "x", "user": "x",
    "mechanism": "x", "channel": Channel.UNKNOWN, "outcome": LoginOutcome.UNKNOWN, "count": 9,
    "first": moment(0), "last": moment(9), "vantage": Vantage.WIRE, "complete": False,
    "software": ("x",), "host": "x", "daemon": "x", "notes": ("x",),
}  # fmt: skip


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Login)])
def test_a_row_is_a_kind_as_the_model_has_it(store: Store, field: str):
    other = replace(login(), **{field: CHANGES[field]})
    store.record_logins(judged(login(), other), "x")
    assert store.count(ALL) == len({login().kind, other.kind})


@given(
    some.sets(some.integers(0, 40), min_size=1),
    some.lists(some.tuples(some.integers(0, 40), some.integers(0, 40)), min_size=1, max_size=6),
)
def test_a_count_is_never_more_than_there_was(times: set[int], windows: list[tuple[int, int]]):
    """Files are windows of the truth, read in any order and as often as one likes."""
    known: Login | None = None
    covered: set[int] = set()
    for window in windows:
        inside = {time for time in times if min(window) <= time <= max(window)}
        if inside:
            covered |= inside
            seen = login(first=min(inside), last=max(inside), count=len(inside))
            known = seen if known is None else logins.added(known, seen)
    if known is not None:
        assert known.count <= len(covered)
        assert (known.first, known.last) == (moment(min(covered)), moment(max(covered)))


@given(some.lists(some.integers(1, 9), min_size=1, max_size=6), some.randoms())
def test_files_one_behind_the_other_count_in_full_and_again_for_nothing(sizes, random):
    end, files = 0, []
    for size in sizes:
        files.append(login(first=end, last=end + size - 1, count=size))
        end += size
    known = files[0]
    for each in files[1:]:
        known = logins.added(known, each)
    assert known.count == end
    random.shuffle(files)
    for each in files:
        known = logins.added(known, each)
    assert known.count == end


# -- asking ----------------------------------------------------------------------------------------

SEEN = [
    login("alice", 1, 2),
    login("Bob", 3, 4, client="203.0.113.9", channel=Channel.TLS),
    login(
        "carol",
        5,
        6,
        client="2001:db8::7",
        endpoint=Endpoint("192.0.2.8", 110, "lab"),
        outcome=LoginOutcome.REJECTED,
    ),
    login("dave", 7, 8, client="pc.example", endpoint=None, host="Mail2", protocol="pop3"),
]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (ALL, ["dave", "carol", "Bob", "alice"]),
        (LoginFilter(before=moment(4)), ["alice"]),
        (LoginFilter(since=moment(6)), ["dave", "carol"]),
        (LoginFilter(user="BOB"), ["Bob"]),
        (LoginFilter(network=ipaddress.ip_network("198.51.100.0/24")), ["alice"]),
        (LoginFilter(network=ipaddress.ip_network("2001:db8::/32")), ["carol"]),
        (LoginFilter(client="PC.example"), ["dave"]),
        (LoginFilter(server=ipaddress.ip_network("192.0.2.8/32")), ["carol"]),
        (LoginFilter(host="mail2"), ["dave"]),
        (LoginFilter(site="lab"), ["carol"]),
        (LoginFilter(endpoints=(("192.0.2.7", 109), ("192.0.2.8", 110))),
         ["carol", "Bob", "alice"]),
        (LoginFilter(unplaced=True), ["dave"]),
        (LoginFilter(protocol="pop3"), ["dave"]),
        (LoginFilter(meaning=Meaning.SAFE), ["Bob"]),
        (LoginFilter(accepted=True), ["dave", "Bob", "alice"]),
        (LoginFilter(user="alice", since=moment(5)), []),
    ],
)  # fmt: skip
def test_what_is_asked_for(store: Store, asked: LoginFilter, found: list[str]):
    store.record_logins(judged(*SEEN), "x")
    assert users(store, asked) == found
    assert store.users(asked) == len(found)


def test_users_without_a_name_count_by_their_clients(store: Store):
    unnamed = [login(None, client=f"198.51.100.{number}") for number in (1, 1, 2)]
    store.record_logins(judged(*unnamed, login("a"), login("a", client="x")), "x")
    assert store.users(ALL) == 3


def test_a_finding_tells_how_many_log_in_there_and_its_history_who(store: Store):
    record(store, look("exposed", 1))
    (known,) = store.findings(Filter())
    assert known.users is None
    guess = login("guess", 3, 4, outcome=LoginOutcome.REJECTED)
    store.record_logins(judged(*SEEN, login("eve", 1, 2), guess), "x")
    (known,) = store.findings(Filter(logins_since=moment(2)))
    assert known.users == 2
    (known,) = store.findings(Filter(logins_since=moment(3)))
    assert known.users == 0
    found = store.history(known.finding.id, moment(2))
    assert [each.login.user for each in found.logins] == ["Bob", "guess", "alice", "eve"]
    assert found.known.users == 2


def test_an_endpoint_where_nobody_looked_is_undecided(store: Store):
    store.record_logins(judged(login(channel=Channel.TLS)), "x")
    assert store.endpoints(Filter()) == (1, 1)
    record(store, look("refused", 1))
    assert store.endpoints(Filter()) == (1, 0)


# -- hostile ---------------------------------------------------------------------------------------

HOSTILE = "\x1b[2J\ud800'; DROP TABLE login; --\u202e"


def test_hostile_text_is_text(store: Store):
    seen = login(HOSTILE, client=HOSTILE, host=HOSTILE, software=(HOSTILE,), protocol=HOSTILE)
    store.record_logins(judged(seen), HOSTILE)
    store.record_logins(judged(seen), HOSTILE)
    assert [each.login for each in store.logins(LoginFilter(user=HOSTILE))] == [seen]
    assert store.forget(LoginFilter(user=HOSTILE, client=HOSTILE, host=HOSTILE)) == 1


def test_of_too_many_those_go_first_that_never_got_in(store: Store):
    guesses = [
        login(f"guess{number}", 10, 20 + number, outcome=LoginOutcome.REJECTED)
        for number in range(30)
    ]
    store.record_logins(judged(login("alice", 1, 2), login("bob", 1, 3), *guesses), "x")
    with sqlite3.connect(store._path) as connection:
        assert logins.bound(connection, 3) == 29
        assert logins.bound(connection, 1) == 2
    connection.close()
    assert users(store) == ["bob"]


@pytest.mark.parametrize("column", ["what", "seen", "meaning"])
@pytest.mark.parametrize("content", ['{"user":1}', "", "[]", b"\xff", 7, '{"count":"x","first":1}'])
def test_a_damaged_row_is_said(store: Store, column: str, content: object):
    store.record_logins(judged(login()), "x")
    store._connection.execute(f"UPDATE login SET {column} = ?", (content,))
    with pytest.raises(StoreError, match="damaged"):
        users(store)
    if column == "seen":
        with pytest.raises(StoreError, match="damaged"):
            store.record_logins(judged(login()), "x")


def test_days_that_are_no_number_are_refused():
    assert kept_days({}) == kept_days({"MAILSEAL_KEEP_LOGINS": ""}) == 90
    assert kept_days({"MAILSEAL_KEEP_LOGINS": "0"}) == 0
    for words in ("x", "-1", "1.5", "9" * 99, "٣"):
        with pytest.raises(ValueError, match="MAILSEAL_KEEP_LOGINS"):
            kept_days({"MAILSEAL_KEEP_LOGINS": words})


# -- deleting --------------------------------------------------------------------------------------

MARK = "xq7-a-name-that-stands-nowhere-else"


def octets(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(path.parent.iterdir()))


def marked() -> list[JudgedLogin]:
    """Rows enough to fill pages, and values long enough to overflow one."""
    long = ("x" * 3000 + MARK, MARK)
    seen = [login(f"user{number}{MARK}", software=long, notes=long) for number in range(200)]
    return judged(*seen, *(login(f"other{number}", 10, 20) for number in range(200)))


def test_what_is_deleted_is_gone_from_the_files(path: Path, store: Store):
    store.record_logins(marked(), "x")
    assert MARK.encode() in octets(path)
    assert store.forget(LoginFilter(before=moment(5))) == 200
    assert MARK.encode() not in octets(path)
    assert len(users(store)) == 200
    before = path.stat().st_size
    assert store.erase()
    assert path.stat().st_size < before
    assert MARK.encode() not in octets(path)


def test_what_is_updated_leaves_nothing_of_the_old_behind(path: Path, store: Store):
    store.record_logins(judged(login(notes=(MARK,))), "x")
    store.record_logins(judged(login(first=5, last=6, notes=("x" * 5000,))), "x")
    assert store.forget(ALL) == 1
    assert MARK.encode() not in octets(path)


def test_a_reader_in_the_way_is_noticed(path: Path, store: Store):
    store.record_logins(marked(), "x")
    with Store.open(str(path)) as other:
        reading = other.logins(ALL)
        next(reading)
        store.forget(ALL)
        assert not store.erase()
        list(reading)
    assert store.erase()
    assert MARK.encode() not in octets(path)


def test_nothing_to_delete_takes_no_lock(path: Path, store: Store):
    with Store.open(str(path), patience=0.1) as other:
        store._connection.execute("BEGIN IMMEDIATE")
        assert other.forget(LoginFilter(before=moment(5))) == 0
        store._connection.execute("ROLLBACK")


def test_findings_stay_when_logins_go(store: Store):
    record(store, look("exposed", 1))
    store.record_logins(judged(login()), "x")
    store.forget(ALL)
    (known,) = store.findings(Filter())
    assert known.users is None
    assert known.finding.endpoint == AT


def test_a_login_seen_anew_after_its_deletion_begins_anew(store: Store):
    store.record_logins(judged(login(first=1, last=9, count=9)), "x")
    store.forget(ALL)
    again = replace(login(), count=1)
    store.record_logins(judged(again), "x")
    assert one(store) == again
