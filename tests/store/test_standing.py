"""Endpoints as a whole: as they are known now, and as they were known."""

import ipaddress
from pathlib import Path

import pytest

from mailseal.model.finding import Verdict
from mailseal.model.known import KnownEndpoint
from mailseal.model.look import Endpoint
from mailseal.store import Filter, Store
from tests.store.make import AT, NESSUS, judged, login, look, moment, record

RULE = "pop2-cleartext-login"


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(str(tmp_path / "store.sqlite3")) as store:
        yield store


def verdict(known: KnownEndpoint | None) -> Verdict | None:
    assert known is not None
    return known.verdict.assessment.verdict if known.verdict else None


def test_what_is_known_now_is_the_newest(store: Store):
    record(store, look("exposed", 1))
    record(store, look("exposed", 2))
    record(store, look("refused", 3))
    (known,) = store.standing(Filter())
    assert (known.endpoint, known.name, known.fixed) == (AT, "mail.example", (RULE,))
    assert verdict(known) is Verdict.REFUSED
    assert known.findings == ()
    assert known.look is not None
    assert [seen.start for seen in known.look.observations] == [moment(3)]


@pytest.mark.parametrize(
    ("at", "expected", "findings", "fixed"),
    [
        (1.5, Verdict.EXPOSED, 1, ()),
        (3, Verdict.EXPOSED, 1, ()),
        (3.5, Verdict.REFUSED, 0, (RULE,)),
        (4.5, Verdict.EXPOSED, 1, ()),
    ],
)
def test_what_was_known_at_a_moment_stays(
    store: Store, at: float, expected: Verdict, findings: int, fixed: tuple[str, ...]
):
    for minute, kind in enumerate(("exposed", "exposed", "refused", "exposed", "refused"), 1):
        record(store, look(kind, minute))
    known = store.stood(AT, moment(at))
    assert verdict(known) is expected
    assert known is not None
    assert (len(known.findings), known.fixed) == (findings, fixed)


def test_what_was_not_known_yet_was_nothing(store: Store):
    record(store, look("exposed", 5))
    assert store.stood(AT, moment(5)) is None
    assert store.stood(Endpoint("192.0.2.8", 109), moment(9)) is None
    assert store.stood(Endpoint(AT.address, AT.port, "lab"), moment(9)) is None


def test_what_others_say_and_what_logins_show_counts_too(store: Store):
    record(store, reported=(NESSUS,))
    (known,) = store.standing(Filter())
    assert verdict(known) is Verdict.EXPOSED
    assert (known.look, len(known.findings)) == (None, 1)
    store.record_logins(judged(login(endpoint=Endpoint("192.0.2.9", 110))), "log")
    assert [verdict(each) for each in store.standing(Filter())] == [Verdict.EXPOSED, None]


def test_the_order_is_that_of_the_addresses_and_filters_hold(store: Store):
    places = [
        Endpoint(*each)
        for each in (
            ("192.0.2.7", 109), ("192.0.2.7", 110), ("192.0.2.10", 109),
            ("2001:db8::1", 109), ("10.0.0.1", 109, "lab"),
        )
    ]  # fmt: skip
    for each in places:
        record(store, look("exposed", 1, endpoint=each))

    def found(**asked) -> list[Endpoint]:
        return [known.endpoint for known in store.standing(Filter(**asked))]

    first, second, third, sixth, lab = places
    assert found() == [lab, first, second, third, sixth]
    assert found(site="lab") == [lab]
    assert found(network=ipaddress.ip_network("192.0.2.0/29")) == [first, second]
    assert found(network=ipaddress.ip_network("192.0.2.0/24"), port=109) == [first, third]
    assert found(name="mail.example", port=110) == [second]
