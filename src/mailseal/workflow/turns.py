"""Who is looked at, when: from places to questions, at the pace that is permitted.

Strategy: `Feed` takes what targets lead to, drops what was there before and what is not to be
contacted, and tells of what no look will be sent to. `Turns` holds a bounded number of places in
line until their host and network permit a look, and those that asked to be left alone for a while
until that is over; it is the source that the event loop draws from, and says when it has nothing
yet. Neither blocks.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from mailseal.model import target
from mailseal.model.finding import Verdict
from mailseal.model.look import Endpoint, Observation, Reach
from mailseal.probe.look import Question
from mailseal.probe.loop import Pause
from mailseal.probe.pace import Line, Pace, Rates
from mailseal.probe.scope import EXCLUDED, OUTSIDE
from mailseal.probe.targets import LeftOut, Place, Resolved, Unresolved
from mailseal.protocols.answers import TRANSIENT
from mailseal.report.result import Origin, ScanResult
from mailseal.workflow import seen

WINDOW = 2048
"""Places that wait in line; no more are taken in until some are gone."""
LATER = 8192
"""Places that wait to be looked at again. Where there are more, the first answer counts."""
_NAMES = 0.02
"""Seconds until a name that is being asked for is looked after."""

Clock = Callable[[], float]


def nothing(
    asked: str, endpoint: Endpoint | None, reason: str, line: target.Line | None = None
) -> ScanResult:
    """A result without a look."""
    undecided = Verdict.INCONCLUSIVE
    return ScanResult(asked, endpoint, undecided, reason, None, (), (), (), origin=origin(line))


def origin(line: target.Line | None) -> Origin | None:
    """Where a target was read, as a result has it."""
    return None if line is None else Origin(*line)


class Feed:
    """The places to look at, each once; None where the resolver has not answered yet. `told` are
    results without a look, for whoever takes them. `left` counts what is not contacted, by reason;
    `passed` is how many of the expected endpoints were dropped or told of. `name` is what
    certificates must fit whatever the target.
    """

    def __init__(
        self, places: Iterator[Place | None], earlier: seen.Keys | None = None, name: str = ""
    ) -> None:
        self._places = places
        self._earlier = earlier if earlier is not None else seen.Keys()
        self._seen = seen.Recent()
        self._name = name
        self.told: list[ScanResult] = []
        self.left: Counter[str] = Counter()
        self.passed = 0

    def __iter__(self) -> Iterator[Resolved | None]:
        for place in self._places:
            if place is None:
                yield None
            elif isinstance(place, Resolved):
                number = seen.key(place.endpoint, self._name or place.name)
                if number in self._earlier or not self._seen.add(number):
                    self.passed += 1
                else:
                    yield place
            elif isinstance(place, Unresolved):
                self._tell(place.name, None, place.reason, place.origin)
            else:
                self._leave_out(place)

    def take(self) -> list[ScanResult]:
        """What is to be told now."""
        told, self.told = self.told, []
        return told

    def _tell(
        self, asked: str, endpoint: Endpoint | None, reason: str, line: target.Line | None
    ) -> None:
        name = asked if endpoint is None or asked != endpoint.address else ""
        number = seen.key(endpoint, self._name if endpoint and self._name else name)
        if number not in self._earlier and self._seen.add(number):
            self.told.append(nothing(asked, endpoint, reason, line))

    def _leave_out(self, place: LeftOut) -> None:
        self.left[place.why] += place.count
        self.passed += place.count
        # Who excludes something knows that it was not looked at; what the scope cuts off was asked
        # for, and is not clean for that.
        if place.why == OUTSIDE:
            many = f": {place.count} endpoints of it" if place.endpoint is None else ""
            reason = f"{OUTSIDE}, not contacted{many}"
            self._tell(place.asked, place.endpoint, reason, place.origin)


def told_of(left: Counter[str]) -> Iterator[str]:
    """What was left out, in words."""
    for why in (OUTSIDE, EXCLUDED):
        if left[why]:
            yield f"left out: {left[why]} endpoints ({why})"


class _Turn:
    """A place, and how often it was looked at."""

    __slots__ = ("place", "times")

    def __init__(self, place: Resolved) -> None:
        self.place = place
        self.times = 0


class Turns:
    """The questions of one event loop. `ask` makes the question of a place; `again` are the seconds
    after which a place that said "later" is looked at again, as often as there are numbers.
    `permit` is what the loop asks before a look's further connections. While `held`, nothing new
    begins. `ended` must be called for every look that ends.
    """

    def __init__(
        self,
        places: Iterator[Resolved | None],
        ask: Callable[[Resolved], Question],
        rates: Rates,
        again: Sequence[float],
        clock: Clock,
    ) -> None:
        self._places = places
        self._ask = ask
        self._again = tuple(again)
        self._clock = clock
        self._pace = Pace(rates)
        self._line: Line[_Turn] = Line(self._pace, rates.at_a_time)
        self._under_way: dict[tuple[Endpoint, str], _Turn] = {}
        self._later: list[tuple[float, int, _Turn]] = []
        self._number = itertools.count()
        self.held = False

    def permit(self, endpoint: Endpoint) -> float:
        """Takes a further connection (0.0), or says how long to wait."""
        return self._pace.permit(endpoint, self._clock())

    @property
    def under_way(self) -> int:
        """Looks that are being taken."""
        return len(self._under_way)

    @property
    def later(self) -> int:
        """Places that wait to be looked at again."""
        return len(self._later)

    def questions(self) -> Iterator[Question | Pause]:
        """Ends when no place is left and every look has ended for good."""
        more = True
        while True:
            now = self._clock()
            while self._later and self._later[0][0] <= now:
                turn = heapq.heappop(self._later)[2]
                self._line.add(turn.place.endpoint, turn, now)
            if self.held:
                yield Pause(math.inf)
                continue
            wait = self._pace.total.wait("", now)
            if wait:
                yield Pause(wait)
                continue
            found = self._line.next(now)
            if isinstance(found, _Turn):
                yield self._begin(found)
                continue
            if more and len(self._line) < WINDOW:
                try:
                    place = next(self._places)
                except StopIteration:
                    more = False
                    continue
                if place is not None:
                    self._line.add(place.endpoint, _Turn(place), now)
                    continue
                found = min(found, _NAMES)
            elif not (more or self._line or self._later or self._under_way):
                return
            due = self._later[0][0] - now if self._later else math.inf
            yield Pause(min(found, due))

    def _begin(self, turn: _Turn) -> Question:
        question = self._ask(turn.place)
        turn.times += 1
        self._under_way[question.endpoint, question.name] = turn
        return question

    def ended(self, seen: Observation, undecided: bool) -> Resolved | None:
        """The place that was looked at; None where it will be looked at again: it is `undecided`,
        and the server said "later".
        """
        turn = self._under_way.pop((seen.endpoint, seen.name))
        now = self._clock()
        self._line.done(seen.endpoint, now)
        left = self._again[turn.times - 1 : turn.times]
        if undecided and left and len(self._later) < LATER and said_later(seen):
            heapq.heappush(self._later, (now + left[0], next(self._number), turn))
            return None
        return turn.place


def said_later(seen: Observation) -> bool:
    """Whether the server asked to come back: SMTP 421 and 4xx (RFC 5321 4.2.1), greylisting,
    `[IN-USE]`, `[SYS/TEMP]` (RFC 2449, RFC 3206), BYE before anything was said, "too many".
    """
    if seen.reach is not Reach.OPEN:
        return False
    lines = (line[3:].encode("ascii", "replace") for line in seen.transcript if line[:3] == "S: ")
    return any(TRANSIENT.search(line) or line.startswith(b"* BYE") for line in lines)
