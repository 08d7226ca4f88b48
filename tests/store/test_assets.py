"""What hosts say of software: the newest word, and since when an update waits."""

from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.model.asset import Installed, Review, hasty, since_key
from mailseal.model.local import Package, Program, Software
from mailseal.model.look import Endpoint
from mailseal.store import Filter, Store, StoreError
from mailseal.store.schema import MIGRATIONS
from tests.store.make import AT, NESSUS, look, moment, record

PACKAGE = Package("dovecot-core", "1", "Debian", "main", update="2", security=False)
TOLD = Installed(
    AT,
    "mail",
    moment(0),
    (Program("/usr/sbin/dovecot", "dovecot-core", "1"),),
    Software("debian 12", "Debian", "apt", moment(0), (PACKAGE,)),
)


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(str(tmp_path / "store.sqlite3")) as opened:
        yield opened


def since(store: Store, minute: float, **changes) -> str | None:
    """When the update is said to be first seen, by a host that is asked at this minute."""
    package = replace(PACKAGE, **changes)
    software = replace(TOLD.software, packages=(package,))
    (kept,) = store.record_installed([replace(TOLD, taken=moment(minute), software=software)])
    return kept.since.get(since_key("dovecot-core", hasty(package.security)))


def test_the_first_time_that_an_update_was_seen_stays(store: Store):
    assert since(store, 0) == moment(0)
    assert since(store, 9) == moment(0)
    assert since(store, 12, update="3") == moment(0)
    ((known),) = store.software(Filter())
    assert known.installed is not None
    assert (known.installed.taken, known.installed.since) == (
        moment(12),
        {"dovecot-core ordinary": moment(0)},
    )


@pytest.mark.parametrize("changes", [{"version": "1.5"}, {"security": True}, {"security": None}])
def test_it_begins_anew_where_what_waits_is_another(store: Store, changes: dict[str, object]):
    since(store, 0)
    assert since(store, 9, **changes) == moment(9)


def test_a_security_update_stays_the_same_where_it_is_not_told_apart_any_more(store: Store):
    since(store, 0, security=True)
    assert since(store, 9, security=None) == moment(0)


def test_what_is_out_of_sight_for_a_day_does_not_begin_anew(store: Store):
    since(store, 0, security=True)
    assert since(store, 5, update="", security=None) == moment(0)
    assert since(store, 9, security=True) == moment(0)


def test_it_begins_anew_after_it_was_installed(store: Store):
    since(store, 0)
    assert since(store, 5, version="2", update="") is None
    assert since(store, 9, version="2", update="3") == moment(9)


def test_an_older_word_changes_nothing(store: Store):
    assert since(store, 9) == moment(9)
    assert since(store, 3, version="0") == moment(9)


def test_what_a_host_says_makes_no_endpoint_known(store: Store):
    store.record_installed([TOLD])
    assert store.endpoints(Filter()) == (0, 0)
    (known,) = store.software(Filter(site="default"))
    assert (known.endpoint, known.banner) == (AT, "")
    assert list(store.software(Filter(site="lab"))) == []
    assert list(store.software(Filter(name="mail.example"))) == []


def test_an_endpoint_has_all_that_is_known_of_it(store: Store):
    said = replace(NESSUS, source="nmap", check="", product="UW POP2 server 4.4")
    record(store, look("exposed", banner="+ POP2 x v4.46 server ready"), reported=(said,))
    record(store, look("exposed", endpoint=Endpoint("192.0.2.9", 109)))
    store.record_installed([TOLD])
    first, second = store.software(Filter())
    assert first.installed is not None
    assert (first.endpoint, first.installed.programs) == (AT, TOLD.programs)
    assert first.reports == (("nmap", "UW POP2 server 4.4"),)
    assert (second.installed, second.review) == (None, None)


def test_where_nothing_answers_any_more_there_is_no_software(store: Store):
    record(store, look("exposed"))
    record(store, look("closed", 5))
    assert list(store.software(Filter())) == []


def test_the_newest_review_counts(store: Store):
    record(store, look("exposed"))
    (finding,) = store.ids("")
    assert store.software_of(finding).review is None
    store.review(finding, Review(moment(9), "b"))
    store.review(finding, Review(moment(5), "a"))
    assert store.software_of(finding).review == Review(moment(9), "b")
    (known,) = store.software(Filter())
    assert known.review == Review(moment(9), "b")


def test_no_finding_of_that_id(store: Store):
    with pytest.raises(StoreError):
        store.software_of("000000000000")


def test_a_store_of_before_is_brought_to_this_form(tmp_path: Path):
    path = str(tmp_path / "old.sqlite3")
    with Store.open(path, migrations=MIGRATIONS[:2]) as old:
        record(old, look("exposed"))
    with Store.open(path) as store:
        (known,) = store.software(Filter())
        assert known.endpoint == AT


def test_a_damaged_row_is_told(store: Store):
    store.record_installed([TOLD])
    for damage in ("'{}'", "replace(record, '2026-', 'x')"):
        store._connection.execute("UPDATE installed SET record = %s" % damage)
        with pytest.raises(StoreError, match="damaged"):
            list(store.software(Filter()))
        with pytest.raises(StoreError, match="damaged"):
            store.record_installed([TOLD])
        store._connection.execute("DELETE FROM installed")
        store.record_installed([TOLD])
