"""`findings` as a function: what it refuses, and what its sum says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailseal.model.look import Endpoint
from mailseal.store import Store
from mailseal.workflow import BadInput
from mailseal.workflow.findings import Request, listed, opened, shown
from tests.store.make import look, record


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
