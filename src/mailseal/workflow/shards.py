"""A scan on several cores: one process reads and resolves, the others look.

Strategy: the parent hands each place to the worker that has its network (IPv4 /24, IPv6 /64), so
that the rates of hosts and networks hold as they are, and the rate of all is divided. A worker does
all that costs: the look, the verdict, the record. What comes back is the record's line with verdict
and severity before it, so that the parent need not read it. A worker that ends early loses
nothing: what it had goes to another, and what two workers did not survive is told of as undecided.
"""

from __future__ import annotations

import functools
import json
import os
import zlib
from collections.abc import Callable, Generator, Iterator

from mailseal.model import codec
from mailseal.model.finding import Severity, Verdict
from mailseal.model.look import Endpoint
from mailseal.probe.pace import Rates, network_of
from mailseal.probe.targets import Resolved
from mailseal.report import records
from mailseal.report.result import SEVERITIES, ScanResult, Tally
from mailseal.system.workers import Workers
from mailseal.workflow.turns import nothing

ENDPOINTS = 5000
"""Endpoints that are worth a process."""
RATE = 2000
"""Connections a second that one process is sure to make."""
HANDED = 4096
"""Places that a worker has at a time."""
_MOST = 64


def processes(total: int, rates: Rates) -> int:
    """How many are worth it: what the cores, the targets and the permitted rate have work for."""
    cores = len(os.sched_getaffinity(0))
    wanted = total // ENDPOINTS
    if rates.total:
        wanted = min(wanted, int(rates.total / RATE))
    return max(1, min(cores, wanted, _MOST))


class Told:
    """A result: the value, its line as a record, and what counts. A worker's comes as a line and is
    only read where the value is asked for.
    """

    __slots__ = ("_line", "_result", "severity", "verdict")

    def __init__(
        self, verdict: Verdict, severity: Severity | None, result: ScanResult | None, line: str = ""
    ) -> None:
        self.verdict = verdict
        self.severity = severity
        self._result = result
        self._line = line

    @classmethod
    def of(cls, result: ScanResult) -> Told:
        """A result of this process's own."""
        return cls(result.verdict, worst(result), result)

    @property
    def result(self) -> ScanResult:
        """The value."""
        if self._result is None:
            self._result = codec.loads(ScanResult, self._line, lenient=False)
        return self._result

    @property
    def line(self) -> str:
        """The record."""
        return self._line if self._result is None else records.line(self._result)

    def count(self, tally: Tally) -> None:
        """Takes it into account."""
        tally.verdicts[self.verdict] += 1
        if self.severity is not None and not tally.reaches(self.severity):
            tally.worst = self.severity


def worst(result: ScanResult) -> Severity | None:
    """The severest finding."""
    found = [finding.severity for finding in result.findings]
    return max(found, key=SEVERITIES.index) if found else None


# -- the worker ------------------------------------------------------------------------------------

Round = tuple[list[ScanResult], int, int]
"""Results, looks under way, places that wait to be looked at again."""


def work(
    looked: Callable[[Iterator[Resolved | None]], Iterator[Round]],
    source: int,
    sink: int,
    site: str,
) -> None:
    """A worker's life, until it is ended: lines `[number, address, port, name, swept, origin]` in,
    lines `number verdict severity record` out, and `- number` for how many wait to be looked at
    again.
    """
    numbers: dict[tuple[Endpoint, str], int] = {}
    before = 0
    for told, _, later in looked(_places(source, site, numbers)):
        out = []
        for result in told:
            assert result.endpoint is not None
            number = numbers.pop((result.endpoint, result.asked))
            severity = worst(result)
            grade = "-" if severity is None else severity.value
            out.append(f"{number} {result.verdict.value} {grade} {records.line(result)}\n")
        if later != before:
            before = later
            out.append(f"- {later}\n")
        _write(sink, "".join(out).encode("ascii"))


def _write(sink: int, data: bytes) -> None:
    while data:
        data = data[os.write(sink, data) :]


def _places(
    source: int, site: str, numbers: dict[tuple[Endpoint, str], int]
) -> Iterator[Resolved | None]:
    """What the parent hands over; None while there is nothing."""
    partial = b""
    while True:
        try:
            data = os.read(source, 1 << 16)
        except BlockingIOError:
            yield None
            continue
        if not data:
            os._exit(1)  # The parent is gone, and nobody takes what would be found.
        *lines, partial = (partial + data).split(b"\n")
        for line in lines:
            number, address, port, name, swept, origin = json.loads(line)
            where = None if origin is None else (origin[0], origin[1])
            place = Resolved(Endpoint(address, port, site), name, swept, where)
            numbers[place.endpoint, place.asked] = number
            yield place


# -- the parent ------------------------------------------------------------------------------------


class _Handed:
    """A place that some worker has, and how many workers it has outlived."""

    __slots__ = ("place", "times", "worker")

    def __init__(self, place: Resolved, worker: int) -> None:
        self.place = place
        self.worker = worker
        self.times = 0


class _Parent:
    """Who has what."""

    def __init__(self, workers: Workers, count: int) -> None:
        self.workers = workers
        self.owner = list(range(count))
        self.handed: dict[int, _Handed] = {}
        self.load = [0] * count
        self.later = [0] * count
        self.told: list[Told] = []
        self._number = 0

    def shard(self, place: Resolved) -> int:
        """The worker of a place's network."""
        network = network_of(place.endpoint.address)
        return self.owner[zlib.crc32(network.encode("ascii")) % len(self.owner)]

    def room(self, worker: int) -> bool:
        return self.load[worker] < HANDED and self.workers.room(worker)

    def hand(self, place: Resolved) -> None:
        self._number += 1
        handed = self.handed[self._number] = _Handed(place, self.shard(place))
        self._send(self._number, handed)

    def _send(self, number: int, handed: _Handed) -> None:
        place, endpoint = handed.place, handed.place.endpoint
        words = [number, endpoint.address, endpoint.port, place.name, place.swept, place.origin]
        self.load[handed.worker] += 1
        self.workers.send(handed.worker, json.dumps(words).encode("ascii") + b"\n")

    def receive(self, seconds: float) -> Iterator[int]:
        """Takes what came; gives the workers that have ended."""
        for worker, line in self.workers.receive(seconds):
            if line is None:
                yield worker
                continue
            number, _, rest = line.partition(b" ")
            if number == b"-":
                self.later[worker] = int(rest)
                continue
            del self.handed[int(number)]
            self.load[worker] -= 1
            verdict, severity, record = rest.decode("ascii").split(" ", 2)
            grade = None if severity == "-" else Severity(severity)
            self.told.append(Told(Verdict(verdict), grade, None, record))

    def bury(self, worker: int) -> None:
        """Gives what an ended worker had to the next that lives."""
        alive = [each for each in set(self.owner) if each != worker]
        self.later[worker] = 0
        if alive:
            heir = min(alive, key=self.load.__getitem__)
            self.owner = [heir if each == worker else each for each in self.owner]
        for number, handed in list(self.handed.items()):
            if handed.worker != worker:
                continue
            handed.times += 1
            if alive and handed.times < 2:
                handed.worker = heir
                self._send(number, handed)
            else:
                del self.handed[number]
                self.told.append(_lost(handed.place))


def _lost(place: Resolved) -> Told:
    reason = "the processes that looked at it ended: a fault of mailseal, or the machine's memory"
    return Told.of(nothing(place.asked, place.endpoint, reason, place.origin))


def looked_in_processes(
    looked: Callable[[Rates, Iterator[Resolved | None]], Iterator[Round]],
    places: Iterator[Resolved | None],
    rates: Rates,
    count: int,
    site: str,
    tell: Callable[[str], None],
) -> Generator[tuple[list[Told], int, int], None, None]:
    """Looks at the places in `count` processes, by rounds as `looked` does it in one, at the rates
    that it is given.
    """
    share = rates.shared(count)

    def main(source: int, sink: int) -> None:
        work(functools.partial(looked, share), source, sink, site)

    with Workers(main, count) as workers:
        parent = _Parent(workers, count)
        more, next_place = True, None
        while more or parent.handed:
            patience = 0.5
            while more:
                if next_place is None:
                    try:
                        next_place = next(places)
                    except StopIteration:
                        more = False
                        break
                    if next_place is None:
                        patience = 0.02
                        break
                if not parent.room(parent.shard(next_place)):
                    break
                parent.hand(next_place)
                next_place = None
                if len(parent.handed) % 256 == 0:
                    patience = 0.0
                    break
            for worker in parent.receive(patience):
                status = workers.status(worker)
                tell(f"a process of the scan ended with {status}: its looks are taken again")
                parent.bury(worker)
                if all(workers.status(each) is not None for each in range(count)):
                    yield from _forsaken(parent, next_place, places)
                    return
            told, parent.told = parent.told, []
            yield told, len(parent.handed) - sum(parent.later), sum(parent.later)


def _forsaken(
    parent: _Parent, place: Resolved | None, places: Iterator[Resolved | None]
) -> Iterator[tuple[list[Told], int, int]]:
    """No worker is left: whatever is still to be looked at is told of as undecided."""
    yield [*parent.told, *(_lost(handed.place) for handed in parent.handed.values())], 0, 0
    if place is not None:
        yield [_lost(place)], 0, 0
    for each in places:
        if each is not None:
            yield [_lost(each)], 0, 0
