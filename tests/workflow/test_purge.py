"""`purge` as a function: what it refuses, asks, and leaves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailseal.model.moment import seconds
from mailseal.store import LoginFilter, Store
from mailseal.workflow import BadInput
from mailseal.workflow.purge import Purged, Request, asked, purge
from tests.store.make import judged, login, moment


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "store.sqlite3")) as opened:
        opened.record_logins(judged(login(), login("bob", 5, 9), login("bob", client="x")), "x")
        yield opened


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(), "say what goes"),
        (Request(everything=True, user="x"), "give it alone"),
        (Request(before="2026-01-31", older_than="3d"), "give one of them"),
        (Request(before="yesterday"), "is no day"),
        (Request(older_than="long"), "is no time"),
        (Request(client="192.0.2.0/99"), "no address and no network"),
    ],
)
def test_what_cannot_be_meant_is_refused(request_: Request, says: str):
    with pytest.raises(BadInput, match=says):
        asked(request_)


def test_what_is_asked_for():
    assert asked(Request(everything=True)) == LoginFilter()
    which = asked(Request(older_than="1h", user="a"), lambda: seconds(moment(60)))
    assert which == LoginFilter(before=moment(0), user="a")


def test_it_asks_with_the_numbers_and_no_is_no(store: Store):
    told = []

    def no(kinds: int, users: int) -> bool:
        told.append((kinds, users))
        return False

    assert purge(store, LoginFilter(), no) == Purged(None)
    assert told == [(3, 2)]
    assert store.count(LoginFilter()) == 3


def test_yes_deletes_what_fits_and_nothing_else(store: Store, tmp_path: Path):
    done = purge(store, LoginFilter(user="bob"), lambda kinds, users: True)
    assert done == Purged(2)
    assert [each.login.user for each in store.logins(LoginFilter())] == ["alice"]
    assert b"bob" not in b"".join(each.read_bytes() for each in tmp_path.iterdir())


def test_nothing_that_fits_is_not_asked_about(store: Store):
    assert purge(store, LoginFilter(user="eve"), lambda *_: pytest.fail("asked")) == Purged(0)
