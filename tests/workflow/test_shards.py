"""A scan in several processes: the same results, whatever becomes of the processes."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.model.finding import Severity, Verdict
from mailseal.probe.pace import UNPACED, Rates
from mailseal.report import records
from mailseal.report.result import Origin, Tally
from mailseal.system.workers import Workers
from mailseal.workflow import shards
from mailseal.workflow.scan import Request, Word, scan, stream
from tests.probe import peers


def request(*targets: str, **changes) -> Request:
    words = tuple(map(Word, targets))
    return replace(Request(words, timeout=1.0, rates=UNPACED, processes=2), **changes)


def test_two_processes_find_what_one_finds(tmp_path: Path):
    listed = tmp_path / "hosts.txt"
    listed.write_text("# ours\n127.4.0.1\n")
    with peers.serving(peers.pop2) as endpoint:
        asked = request("127.0.0.0/24", "127.3.0.0/24", ports=(endpoint.port,))
        asked = replace(asked, lists=(str(listed),))
        two = list(stream(asked))
        one = list(scan(replace(asked, processes=1)))
    assert len(two) == len(one) == 509
    tally = Tally()
    for told in two:
        told.count(tally)
        assert told.line == records.line(told.result)
    assert tally.verdicts == {Verdict.EXPOSED: 1, Verdict.ABSENT: 508}
    assert tally.reaches(Severity.HIGH)
    places = {(told.result.endpoint, told.result.origin, told.result.swept) for told in two}
    assert places == {(each.endpoint, each.origin, each.swept) for each in one}
    assert {origin for _, origin, _ in places} == {None, Origin(str(listed), 2)}


class Doomed(Workers):
    """Worker `0` is killed as soon as it has been sent something, or all are."""

    all_of_them = False

    def send(self, number: int, line: bytes) -> None:
        super().send(number, line)
        for each, pid in enumerate(self.pids()):
            if (each == 0 or self.all_of_them) and self.status(each) is None:
                os.kill(pid, signal.SIGKILL)


def test_what_a_killed_process_had_is_looked_at_by_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "Workers", Doomed)
    said: list[str] = []
    found = list(scan(request("127.0.0.0/23", ports=(1,)), tell=said.append))
    assert [result.verdict for result in found] == [Verdict.ABSENT] * 510
    assert len({result.endpoint for result in found}) == 510
    assert said == ["a process of the scan ended with -9: its looks are taken again"]


def test_what_no_process_survives_is_told_of_as_undecided(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "Workers", Doomed)
    monkeypatch.setattr(Doomed, "all_of_them", True)
    said: list[str] = []
    found = list(scan(request("127.0.0.0/23", ports=(1,)), tell=said.append))
    assert len({result.endpoint for result in found}) == len(found) == 510
    lost = [result for result in found if result.verdict is Verdict.INCONCLUSIVE]
    assert all("the processes that looked at it ended" in result.reason for result in lost)
    assert lost
    assert said


def test_closing_ends_every_process():
    found = scan(request("127.0.0.0/16", ports=(1,)))
    next(found)
    found.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize(
    ("total", "rates", "cores", "count"),
    [
        (100, UNPACED, 4, 1),
        (9_999, UNPACED, 4, 1),
        (10_000, UNPACED, 4, 2),
        (10**6, UNPACED, 4, 4),
        (10**6, Rates(), 4, 1),
        (10**6, Rates(total=5000), 4, 2),
        (10**6, UNPACED, 1, 1),
    ],
)
def test_small_and_slow_scans_take_one_process(
    total: int, rates: Rates, cores: int, count: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    assert shards.processes(total, rates) == count
