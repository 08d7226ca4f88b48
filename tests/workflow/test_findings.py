"""`findings` as a function: what it refuses, and what its sum says."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailseal.model.finding import Severity
from mailseal.model.look import Channel, Endpoint
from mailseal.model.moment import seconds
from mailseal.store import Store
from mailseal.workflow import BadInput
from mailseal.workflow.findings import Request, listed, logins, opened, shown
from tests.store.make import judged, login, look, moment, record


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "store.sqlite3")) as store:
        yield store


def total(store: Store, **asked) -> tuple[int, int, bool, bool]:
    sums, found = listed(store, Request(**asked))
    list(found)
    return sums.open, sums.fixed, sums.exposed, sums.doubtful


def test_nothing_known_is_doubtful(store: Store):
    assert total(store) == (0, 0, False, True)


def test_the_sum_of_what_is_open_fixed_and_undecided(store: Store):
    record(store, look("exposed", 1))
    assert total(store) == (1, 0, True, False)
    record(store, look("refused", 2))
    assert total(store, fixed=True) == (0, 1, False, False)
    record(store, look("silent", 3))
    assert total(store) == (0, 0, False, True)
    assert total(store, where="198.51.100.0/24") == (0, 0, False, True)


def test_a_finding_where_nothing_is_exposed_is_open_and_not_exposed(store: Store):
    record(store, look("exposed", 1, rule="tls-version"))
    assert total(store) == (1, 0, False, False)


@pytest.mark.parametrize(
    ("where", "count"),
    [("192.0.2.7", 1), ("192.0.2.77/24", 1), ("192.0.2.8", 0), ("mail.example", 1), ("x", 0)],
)
def test_where(store: Store, where: str, count: int):
    record(store, look("exposed", 1))
    assert total(store, where=where)[0] == count


@pytest.mark.parametrize(
    "asked",
    [
        {"rules": ("no-such-rule",)},
        {"fixed_since": "yesterday"},
        {"fixed_since": "2026-02-30"},
        {"where": "192.0.2.0/33"},
        {"where": "192.0.2"},
    ],
)
def test_what_cannot_be_meant_is_bad_input(store: Store, asked: dict):
    with pytest.raises(BadInput):
        listed(store, Request(**asked))


def test_a_finding_by_the_beginning_of_its_id(store: Store):
    for number in range(40):
        record(store, look("exposed", 1, endpoint=Endpoint("192.0.2.7", 109 + number)))
    ids = store.ids("", 100)
    history, sums = shown(store, ids[0])
    assert history.known.finding.id == ids[0]
    assert (sums.exposed, sums.doubtful) == (True, False)
    with pytest.raises(BadInput, match=r"stands for .*: write more of it"):
        shown(store, next(c for c in "0123456789abcdef" if sum(i[0] == c for i in ids) > 1))


@pytest.mark.parametrize("prefix", ["", "x", "ABC", "0" * 13, "%", "0' OR 1 --"])
def test_what_is_no_id(store: Store, prefix: str):
    with pytest.raises(BadInput, match="no id"):
        shown(store, prefix)


def test_an_unknown_id_and_no_store_are_bad_input(store: Store, tmp_path: Path):
    with pytest.raises(BadInput, match="no finding begins with"):
        shown(store, "0123")
    with pytest.raises(BadInput, match="there is none yet"), opened(str(tmp_path / "x"), {}):
        pass


def test_what_is_found_wrong_while_reading_is_bad_input(store: Store, tmp_path: Path):
    record(store, look("exposed", 1))
    store._connection.execute("UPDATE finding SET record = '{'")
    path = str(tmp_path / "store.sqlite3")
    with pytest.raises(BadInput, match="damaged"), opened(path, {}) as there:
        list(listed(there, Request())[1])


# -- logins ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "stands"), [(1, "later refused"), (9, "later 3 logins")])
def test_a_look_and_logins_that_disagree_are_shown_whichever_came_last(
    store: Store, first: int, stands: str
):
    record(store, look("exposed", 0))
    record(store, look("refused", 5))
    store.record_logins(judged(login(first=first, last=first + 1)), "x")
    history, _ = shown(store, store.ids("")[0])
    (conflict,) = history.conflicts
    assert stands in conflict


def test_where_they_agree_there_is_no_conflict(store: Store):
    record(store, look("exposed", 5))
    store.record_logins(judged(login()), "x")
    history, _ = shown(store, store.ids("")[0])
    assert history.conflicts == ()


def test_users_of_the_last_thirty_days_are_counted(store: Store):
    record(store, look("exposed", 5))
    store.record_logins(judged(login(first=1, last=2)), "x")
    for days, users in ((29, 1), (31, 0)):
        _, found = listed(store, Request(), functools.partial(seconds, moment(days * 1440)))
        assert [known.users for known in found] == [users]


def test_users_at_servers_without_an_address_leave_a_doubt(store: Store):
    record(store, look("refused", 5))
    store.record_logins(judged(login(endpoint=None)), "x")

    def unplaced(**asked) -> tuple[int, bool]:
        total, _ = listed(store, Request(**asked), lambda: seconds(moment(9)))
        return total.unplaced, total.doubtful

    assert unplaced() == unplaced(where="mail") == unplaced(protocol="pop2") == (1, True)
    assert unplaced(where="other")[0] == unplaced(where="192.0.2.7")[0] == 0
    assert unplaced(protocol="imap")[0] == unplaced(site="lab")[0] == 0


def test_who_logs_in_everywhere(store: Store):
    total, found = logins(store, Request())
    assert (total.exposed, total.doubtful, found.logins) == (False, True, ())
    seen = [login(), login("bob", 5, 6, endpoint=None), login("eve", 8, 9, channel=Channel.TLS)]
    store.record_logins(judged(*seen), "mail.log")
    total, found = logins(store, Request())
    assert (total.exposed, total.doubtful) == (True, False)
    assert [each.login.user for each in found.logins] == ["eve", "bob", "alice"]
    assert found.counts == {"logins": 9, "users": 3, "of them in cleartext": 2}
    assert found.sources == ("mail.log",)
    _, found = logins(store, Request(where="mail"))
    assert [each.login.user for each in found.logins] == ["eve", "bob", "alice"]
    _, found = logins(store, Request(where="192.0.2.0/24", protocol="pop2", site="default"))
    assert [each.login.user for each in found.logins] == ["eve", "alice"]


@pytest.mark.parametrize(
    "asked", [{"fixed": True}, {"rules": ("tls-version",)}, {"severity": Severity.HIGH}]
)
def test_what_chooses_among_findings_does_not_choose_among_people(store: Store, asked):
    with pytest.raises(BadInput, match="--logins lists people"):
        logins(store, Request(**asked))
