"""`report` as a function: what it takes from a store, and what it refuses."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.model import codec
from mailseal.model.change import ChangeLine
from mailseal.model.finding import Severity
from mailseal.model.login import LoginOutcome
from mailseal.model.look import Channel, Endpoint
from mailseal.model.moment import seconds
from mailseal.report.status import DETAILS
from mailseal.store import Store
from mailseal.workflow import BadInput
from mailseal.workflow.redact import Redaction
from mailseal.workflow.report import Request, report
from tests.report.status import status
from tests.store.make import AT, judged, login, look, moment, record

LAB = Endpoint("198.51.100.4", 109, "lab")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "store.sqlite3")) as store:
        yield store


def made(store: Store, redact: Redaction | None = None, **asked):
    now = seconds(moment(60 * 24 * 10))
    return report(store, Request(**asked), redact or Redaction(), lambda: now)


def test_what_is_open_and_what_was_fixed_with_the_looks(store: Store):
    record(store, look("exposed", 1))
    record(store, look("exposed", 2, endpoint=LAB))
    record(store, look("refused", 3, endpoint=LAB))
    told = made(store)
    assert (told.endpoints, told.exposed, told.open.count, told.fixed.count) == (2, 1, 1, 1)
    assert told.open_by == {Severity.HIGH: 1}
    assert told.looked == (moment(1), moment(3))
    assert [each.fixed for each in told.intervals] == [None, moment(3)]
    assert [each.first for each in told.fixed.details[0].looks] == [moment(3), moment(2)]
    assert [each.rule for each in told.references] == ["pop2-cleartext-login"]
    assert "RFC 8314 (cleartext is obsolete for mail access)" in told.references[0].standards


def test_since_and_site_choose(store: Store):
    record(store, look("exposed", 2, endpoint=LAB))
    record(store, look("refused", 3, endpoint=LAB))
    record(store, look("exposed", 1))
    assert made(store, since="9d").fixed.count == 0
    told = made(store, site="lab", since="2026-01-01")
    assert (told.endpoints, told.open.count, told.fixed.count) == (1, 0, 1)
    assert len(told.intervals) == 1


def test_a_finding_that_came_back_is_two_intervals(store: Store):
    for minute, kind in enumerate(("exposed", "refused", "exposed")):
        record(store, look(kind, minute))
    told = made(store)
    assert [(each.first, each.fixed) for each in told.intervals] == [
        (moment(0), moment(1)), (moment(2), None),
    ]  # fmt: skip
    assert (told.open.count, told.fixed.count) == (1, 0)


def test_undecided_endpoints_are_listed_with_their_reasons(store: Store):
    record(store, look("exposed", 1))
    record(store, look("silent", 2))
    store.record_logins(judged(login(endpoint=LAB, channel=Channel.UNKNOWN)), "mail.log")
    told = made(store)
    assert told.undecided_count == len(told.undecided) == 2
    by_place = {each.endpoint: each.verdict for each in told.undecided}
    assert by_place[LAB] is None
    verdict = by_place[AT]
    assert verdict is not None
    assert verdict.assessment.reasons
    assert told.people.undecided == 1


def test_people_are_counted_and_hidden_where_that_is_asked(store: Store):
    rejected = login("mallory", outcome=LoginOutcome.REJECTED)
    store.record_logins(judged(login(), login("bob"), rejected, login("eve", endpoint=None)), "f")
    people = made(store).people
    assert (people.users, people.kinds, people.rejected, people.unplaced) == (3, 3, 1, 1)
    assert {each.login.user for each in people.listed.logins} == {"alice", "bob", "eve"}
    told = made(store, Redaction(b"k" * 32, users=True, clients=True))
    shown = repr(told.people)
    assert "alice" not in shown
    assert "198.51.100.7" not in shown
    assert "198.51.100.0/24" in shown
    assert len(told.hidden) == 2
    assert made(store, site="lab").people.unplaced == 0


def test_many_findings_are_bounded_and_counted(store: Store):
    for number in range(DETAILS + 3):
        record(store, look("exposed", 1, endpoint=Endpoint("192.0.2.7", 1000 + number)))
    told = made(store)
    assert (len(told.open.details), len(told.open.more), told.open.count) == (
        DETAILS, 3, DETAILS + 3,
    )  # fmt: skip


def test_the_record_of_changes_is_read_and_held_against_its_hashes(store: Store, tmp_path: Path):
    record(store, look("exposed", 1))
    changes = status().changes
    assert changes is not None
    (line,) = changes.lines
    path = tmp_path / "changes.ndjson"
    path.write_text(codec.dumps(line) + "\n")
    told = made(store, receipts=str(path)).changes
    assert told is not None
    assert (told.lines, told.problems) == ((line,), ())
    digest = hashlib.sha256(codec.dumps(line).encode()).hexdigest()
    next_one: ChangeLine = replace(line, entry=2, before=digest)
    path.write_text(codec.dumps(line) + "\n" + codec.dumps(next_one) + "\n")
    told = made(store, receipts=str(path)).changes
    assert told is not None
    assert (len(told.lines), told.problems) == (2, ())
    later: ChangeLine = replace(line, entry=2, before="0" * 64)
    path.write_text(codec.dumps(line) + "\n" + codec.dumps(later) + "\n")
    told = made(store, receipts=str(path)).changes
    assert told is not None
    assert len(told.problems) == 1


def test_what_is_no_record_of_changes_is_bad_input(store: Store, tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"no record\n")
    with pytest.raises(BadInput, match="no record of changes"):
        made(store, receipts=str(path))
    with pytest.raises(BadInput, match="cannot be read"):
        made(store, receipts=str(tmp_path / "none"))
    with pytest.raises(BadInput, match="is no time"):
        made(store, since="yesterday")


def test_an_empty_store_is_a_report_too(store: Store):
    told = made(store)
    assert (told.endpoints, told.open.count, told.looked) == (0, 0, ("", ""))
