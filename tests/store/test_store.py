"""What is recorded, what is fixed by what, and what does not change."""

import dataclasses
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailseal.model.finding import Severity
from mailseal.model.look import Endpoint, Outcome, Vantage
from mailseal.model.reported import Claimed, Reported
from mailseal.store import Filter, Store
from tests.store.make import NESSUS, look, moment, record, rows

ALL = Filter(fixed=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "store.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(str(path)) as opened:
        yield opened


def one(store: Store):
    (known,) = store.findings(ALL)
    return known


def test_a_finding_is_known_with_its_times_and_its_evidence(store: Store):
    record(store, look("exposed", 1))
    record(store, look("exposed", 5))
    known = one(store)
    assert (known.first, known.last, known.fixed) == (moment(1), moment(5), None)
    assert known.found_from == ("remote",)
    assert known.finding.rule == "pop2-cleartext-login"
    assert known.finding.assessment.basis == (look("exposed").digest,)
    assert store.ids(known.finding.id[:4]) == [known.finding.id]


def test_the_same_look_twice_changes_nothing(store: Store, path: Path):
    record(store, look("exposed", 1))
    record(store, look("exposed", 5))
    before = rows(path)
    for minute in (1, 5):
        record(store, look("exposed", minute))
    assert rows(path) == before


@pytest.mark.parametrize("kind", ["refused", "closed", "another"])
def test_what_says_that_it_is_gone_fixes_it_at_the_moment_of_the_look(store: Store, kind: str):
    record(store, look("exposed", 1))
    record(store, look(kind, 5))
    assert one(store).fixed == moment(5)
    assert list(store.findings(Filter())) == []


@pytest.mark.parametrize("kind", ["filtered", "unroutable", "silent"])
def test_a_look_that_cannot_tell_fixes_nothing(store: Store, kind: str):
    record(store, look("exposed", 1))
    record(store, look(kind, 5))
    assert one(store).fixed is None


@pytest.mark.parametrize("vantage", [Vantage.SELF, Vantage.VETH])
def test_what_a_stranger_found_no_look_from_the_host_fixes(store: Store, vantage: Vantage):
    record(store, look("exposed", 1))
    record(store, look("refused", 5, vantage))
    record(store, look("closed", 6, vantage))
    assert one(store).fixed is None


@pytest.mark.parametrize("vantage", [Vantage.SELF, Vantage.VETH, Vantage.REMOTE])
def test_what_one_vantage_alone_found_the_same_one_or_a_stranger_fixes(
    store: Store, vantage: Vantage
):
    record(store, look("exposed", 1, Vantage.SELF))
    record(store, look("refused", 5, vantage))
    assert (one(store).fixed is None) == (vantage is Vantage.VETH)


def test_looks_from_two_vantages_in_one_result_fix_nothing_that_one_alone_decides(store: Store):
    record(store, look("exposed", 1))
    record(store, look("filtered", 5), look("refused", 6, Vantage.SELF))
    assert one(store).fixed is None


def test_what_comes_again_begins_anew_and_the_history_is_kept(store: Store):
    for minute, kind in enumerate(("exposed", "refused", "exposed", "closed", "exposed")):
        record(store, look(kind, minute))
    history = store.history(one(store).finding.id)
    assert (history.known.first, history.known.fixed) == (moment(4), None)
    assert [dataclasses.astuple(each) for each in history.appearances] == [
        (moment(4), moment(4), None),
        (moment(2), moment(2), moment(3)),
        (moment(0), moment(0), moment(1)),
    ]
    assert [each.assessment.verdict.value for each in history.verdicts] == [
        "exposed", "absent", "exposed", "refused", "exposed",
    ]  # fmt: skip
    assert len(history.looks) == 5
    assert history.looks[0].observations == (look("exposed", 4),)


def test_a_greeting_that_differs_each_time_makes_no_new_period_and_the_newest_is_kept(
    store: Store,
):
    for minute in range(5):
        record(store, look("exposed", minute, transcript=(f"S: + POP2 {minute}",)))
    (period,) = store.history(one(store).finding.id).looks
    assert (period.first, period.last, period.seen) == (moment(0), moment(4), 5)
    assert period.observations[0].transcript == ("S: + POP2 4",)


def test_two_names_at_one_endpoint_do_not_take_turns(store: Store):
    for minute in range(6):
        record(store, look("exposed", minute, name=f"{'ab'[minute % 2]}.example"))
    assert len(store.history(one(store).finding.id).looks) == 2


def test_looks_of_one_result_are_one_period(store: Store):
    for minute in range(0, 8, 2):
        record(store, look("exposed", minute), look("silent", minute + 1))
    history = store.history(one(store).finding.id)
    assert [len(period.observations) for period in history.looks] == [2]


def test_an_older_look_recorded_later_undoes_nothing(store: Store):
    record(store, look("refused", 0))
    record(store, look("exposed", 5))
    record(store, look("refused", 9))
    fixed = one(store)
    record(store, look("exposed", 3))
    assert dataclasses.replace(fixed, first=moment(3)) == one(store)
    record(store, look("refused", 7))
    assert one(store).fixed == moment(7)
    record(store, look("exposed", 8))
    assert [a.fixed for a in store.history(one(store).finding.id).appearances] == [
        moment(9),
        moment(7),
    ]


def test_a_look_older_than_the_refusal_is_a_finding_that_was_fixed_by_it(store: Store):
    record(store, look("refused", 9))
    record(store, look("exposed", 5))
    assert (one(store).first, one(store).fixed) == (moment(5), moment(9))


def test_a_refusal_does_not_fix_what_is_wrong_inside_tls(store: Store):
    record(store, look("exposed", 1, rule="tls-version"))
    assert one(store).finding.rule == "tls-version"
    tls = look("refused", rule="tls-version").tls
    assert tls is not None
    unasked = dataclasses.replace(tls, accepted=(), rejected=())
    record(store, look("refused", 5, rule="tls-version", tls=unasked))
    assert one(store).fixed is None
    asked = dataclasses.replace(tls, rejected=("SSLv3", "TLSv1", "TLSv1.1"))
    record(store, look("refused", 6, rule="tls-version", tls=asked))
    assert one(store).fixed == moment(6)


def test_a_certificate_is_fixed_under_the_name_it_was_wrong_for(store: Store):
    record(store, look("exposed", 1, rule="tls-certificate", name="a.example"))
    record(store, look("refused", 5, rule="tls-certificate", name=""))
    assert one(store).fixed is None
    name = look("refused", rule="tls-certificate").name
    record(store, look("exposed", 6, rule="tls-certificate", name=name))
    record(store, look("refused", 7, rule="tls-certificate"))
    assert one(store).fixed == moment(7)


@pytest.mark.parametrize("kind", ["closed", "filtered", "unroutable"])
def test_an_address_where_nothing_was_ever_found_is_not_kept(store: Store, path: Path, kind: str):
    record(store, look(kind))
    assert rows(path) == []


# -- reports ---------------------------------------------------------------------------------------


def test_a_report_is_a_finding_until_a_strangers_look_says_otherwise(store: Store):
    heard = dataclasses.replace(NESSUS, when=moment(1))
    record(store, reported=[heard])
    known = one(store)
    assert (known.first, known.found_from, known.fixed) == (moment(1), ("report",), None)
    (period,) = store.history(known.finding.id).reports
    assert (period.source, period.reported) == ("nessus 15854", heard)
    record(store, look("refused", 2, Vantage.SELF))
    assert one(store).fixed is None
    record(store, look("refused", 3))
    assert one(store).fixed == moment(3)


def test_an_older_report_does_not_open_it_again_and_a_newer_one_does(store: Store):
    record(store, look("refused", 5))
    record(store, reported=[dataclasses.replace(NESSUS, when=moment(1))])
    assert one(store).fixed == moment(5)
    record(store, reported=[dataclasses.replace(NESSUS, when=moment(9))])
    assert (one(store).first, one(store).fixed) == (moment(9), None)


def test_a_report_without_a_time_does_not_outweigh_a_look(store: Store):
    record(store, look("refused", 5))
    record(store, reported=[NESSUS])
    assert list(store.findings(ALL)) == []
    record(store, look("silent", 6))
    record(store, reported=[NESSUS])
    assert one(store).first == moment(100_000)


def test_a_report_from_the_future_is_one_of_today(store: Store):
    record(store, reported=[dataclasses.replace(NESSUS, when="2999-01-01T00:00:00.000Z")])
    assert one(store).last == moment(100_000)


def test_a_report_and_a_look_that_could_not_tell(store: Store):
    record(store, look("silent", 2), reported=[dataclasses.replace(NESSUS, when=moment(1))])
    assert (one(store).first, one(store).found_from) == (moment(2), ("report",))


# -- lists -----------------------------------------------------------------------------------------


def places(store: Store, **asked) -> list[str]:
    return [str(known.finding.endpoint) for known in store.findings(Filter(**asked))]


@pytest.fixture
def many(store: Store) -> Store:
    for address in ("192.0.2.7", "192.0.2.130", "203.0.113.9", "2001:db8::1"):
        record(store, look("exposed", 1, endpoint=Endpoint(address, 109), name=""))
    record(store, look("exposed", 2, endpoint=Endpoint("192.0.2.7", 109, "lab"), name="x.example"))
    record(store, look("refused", 3, endpoint=Endpoint("203.0.113.9", 109)))
    record(store, look("silent", 3, endpoint=Endpoint("203.0.113.10", 109)))
    tls = look("exposed", 1, rule="tls-version", endpoint=Endpoint("198.51.100.1", 995))
    record(store, tls)
    return store


def test_the_most_severe_come_first_then_by_address(many: Store):
    assert places(many) == [
        "192.0.2.7:109",
        "192.0.2.130:109",
        "[2001:db8::1]:109",
        "192.0.2.7:109",
        "198.51.100.1:995",
    ]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"site": "lab"}, ["192.0.2.7:109"]),
        ({"name": "x.example"}, ["192.0.2.7:109"]),
        ({"network": ipaddress.ip_network("192.0.2.128/25")}, ["192.0.2.130:109"]),
        ({"network": ipaddress.ip_network("2001:db8::/32")}, ["[2001:db8::1]:109"]),
        ({"rules": ("tls-version",)}, ["198.51.100.1:995"]),
        ({"severity": Severity.CRITICAL}, []),
        ({"protocol": "imap"}, []),
        ({"fixed_since": moment(3)}, ["203.0.113.9:109"]),
        ({"fixed_since": moment(4)}, []),
        ({"site": "' OR 1 --"}, []),
        ({"site": "\ud800"}, []),
    ],
)
def test_what_is_asked_for(many: Store, asked: dict, wanted: list[str]):
    assert places(many, **asked) == wanted


def test_how_many_are_known_and_undecided(many: Store):
    assert many.endpoints(Filter()) == (7, 1)
    assert many.endpoints(Filter(site="lab")) == (1, 0)
    assert many.endpoints(Filter(site="other")) == (0, 0)


def test_what_is_read_together_is_of_one_moment(store: Store, path: Path):
    record(store, look("exposed", 1))
    with Store.open(str(path)) as other, store.still():
        assert store.endpoints(Filter()) == (1, 0)
        record(other, look("exposed", 1, endpoint=Endpoint("192.0.2.8", 109)))
        assert store.endpoints(Filter()) == (1, 0)
        assert len(list(store.intervals(Filter()))) == 1
    assert store.endpoints(Filter()) == (2, 0)


def test_hostile_text_is_text(store: Store):
    text = "x'); DROP TABLE finding; --\ud800\x00\x1b[2J"
    record(
        store,
        look("exposed", 1, endpoint=Endpoint("fe80::1%" + text, 109, text), name=text,
             banner=text, transcript=(text,), gaps=(text,)),
        reported=[
            Reported(Endpoint("fe80::1%" + text, 109, text), text, text, text, Claimed.LISTENS)
        ],
    )  # fmt: skip
    assert places(store, name=text) == ["[fe80::1%" + text + "]:109"]
    history = store.history(one(store).finding.id)
    assert history.looks[0].observations[0].banner == text
    assert history.reports[0].reported.title == text


def test_a_moment_that_is_none_is_a_value_error(store: Store):
    with pytest.raises(ValueError, match="not UTC"):
        record(store, look("exposed", start="yesterday"))


def test_a_server_that_changes_at_each_look_fills_no_disk(store: Store):
    for minute in range(150):
        (attempt,) = look("exposed").attempts
        outcome = (Outcome.ACCEPTED, Outcome.PROVEN)[minute % 2]
        changed = dataclasses.replace(attempt, outcome=outcome)
        record(store, look("exposed", minute, attempts=(changed,)))
    history = store.history(one(store).finding.id)
    assert (len(history.looks), history.looks[0].last) == (64, moment(149))
