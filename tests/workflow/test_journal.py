"""An interrupted scan's file: what is whole counts, what is torn does not."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.model.finding import Severity, Verdict
from mailseal.model.look import Endpoint
from mailseal.report import records
from mailseal.report.result import ScanResult
from mailseal.workflow import BadInput, seen
from mailseal.workflow.journal import take_up
from tests.probe import peers
from tests.workflow.test_scan import results


def plain(address: str, port: int, asked: str = "", site: str = "default") -> ScanResult:
    place = Endpoint(address, port, site)
    return ScanResult(asked or address, place, Verdict.ABSENT, "", None, (), (), ())


WHOLE = [
    plain("192.0.2.1", 109),
    plain("2001:db8::1", 110, "mail.example"),
    plain("192.0.2.2", 109, site="dmz"),
    ScanResult("gone.example", None, Verdict.INCONCLUSIVE, "no address", None, (), (), ()),
]


def file(found: list[ScanResult], rest: bytes = b"") -> io.BytesIO:
    return io.BytesIO("".join(records.line(each) + "\n" for each in found).encode() + rest)


def test_what_was_answered_is_known():
    earlier = take_up(file(WHOLE), "out.ndjson", "default")
    assert seen.key(Endpoint("192.0.2.1", 109)) in earlier.keys
    assert seen.key(Endpoint("2001:db8::1", 110), "mail.example") in earlier.keys
    assert seen.key(None, "gone.example") in earlier.keys
    assert seen.key(Endpoint("192.0.2.2", 109)) not in earlier.keys, "of another network"
    assert len(earlier.keys) == 3
    assert earlier.verdicts == {Verdict.ABSENT: 3, Verdict.INCONCLUSIVE: 1}
    assert earlier.worst is None


def test_findings_count_for_the_exit_code():
    with peers.serving(peers.pop2) as endpoint:
        found = results(str(endpoint))
    earlier = take_up(file(found), "out.ndjson", "default")
    assert earlier.verdicts == {Verdict.EXPOSED: 1}
    assert earlier.worst in (Severity.HIGH, Severity.CRITICAL)


@given(some.integers(0, 5000))
def test_a_torn_end_is_cut_off_wherever_it_is(length: int):
    whole = file(WHOLE).getvalue()
    torn = io.BytesIO(whole[:length])
    earlier = take_up(torn, "out.ndjson", "default")
    kept = torn.getvalue()
    assert kept == whole[: whole[:length].rfind(b"\n") + 1]
    assert earlier.verdicts.total() == kept.count(b"\n")
    assert torn.tell() == len(kept)


@pytest.mark.parametrize(
    "line",
    [b"{}", b"[]", b"null", b"hello", b'{"type":"Plan","version":1}', b"\xff\xfe", b"[" * 100000,
     b'{"type":"ScanResult","version":1,"verdict":"fine"}', b""],
)  # fmt: skip
def test_another_file_is_refused_and_left_as_it_is(line: bytes):
    stream = file(WHOLE, line + b"\nhalf")
    before = stream.getvalue()
    with pytest.raises(BadInput, match=r"out.ndjson, line 5: no result of a scan"):
        take_up(stream, "out.ndjson", "default")
    assert stream.getvalue() == before


@given(some.binary(max_size=200))
def test_any_octets_are_a_journal_or_not(data: bytes):
    try:
        take_up(io.BytesIO(data), "out.ndjson", "default")
    except BadInput:
        pass
