"""TCP put back in order (RFC 9293): what one side said, then what the other answered to it.

Strategy: of each direction a window of segments waits for its turn, kept by their place in the
stream (which does not wrap as sequence numbers do). A segment's turn has come when nothing before
it is missing and all that it acknowledges was delivered: so both directions come out in the order
of cause and effect, however the capture shuffled them. Where that never comes (a packet lost, a
session picked up in the middle), the wait ends by a bound of octets, of segments, of time, or with
the capture; what is missing is then said with its size and never guessed. All tables are bounded;
the longest unused entry gives way, those without any data first.
"""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

from mailseal.capture.frames import ACK, FIN, RST, SYN, Segment

FLOWS = 1 << 16
"""Connections that are followed at a time, and ended ones that are remembered."""
SEGMENTS = 256
"""Segments of a connection that wait, and octets, and seconds of the capture's time."""
OCTETS = 1 << 18
PATIENCE = 2.0
ALL_OCTETS = 1 << 25
"""Octets of all connections that wait."""

End = tuple[bytes, int]
"""Address and port."""


class Ear(Protocol):
    """Who listens to a connection. Directions are 0 and 1, as in the ends it was made with."""

    def hear(self, direction: int, data: bytes, time: float) -> bool:
        """The next octets; False where no more are wanted."""

    def miss(self, direction: int, octets: int, time: float) -> bool:
        """So many are missing (0: nobody knows how many); False where no more are wanted."""

    def close(self, time: float) -> None:
        """No more come."""


MakeEar = Callable[[tuple[End, End], "int | None"], Ear]
"""From the two ends and which of them began the connection, if that was seen."""


class _Waiting(NamedTuple):
    """A segment with data. `place` is where in the stream; behind it `cut` octets were cut off."""

    place: int
    data: bytes
    cut: int
    acknowledged: int | None
    time: float


class _Half:
    """One direction. `place` is how far it was delivered, `sequence` the number that stands there.
    `anchored`: that is known, and not only the first number that was seen.
    """

    __slots__ = ("anchored", "end", "initial", "place", "sequence", "waiting")

    def __init__(self) -> None:
        self.anchored = False
        self.initial: int | None = None
        self.place = 0
        self.sequence: int | None = None
        self.end: int | None = None
        self.waiting: list[_Waiting] = []

    def where(self, sequence: int) -> int:
        """The place of a sequence number, which is within 2 GB of the present one."""
        if self.sequence is None:
            self.sequence = sequence
        ahead = (sequence - self.sequence) & 0xFFFFFFFF
        return self.place + (ahead - 0x100000000 if ahead & 0x80000000 else ahead)

    def move(self, place: int) -> None:
        """All before `place` is past."""
        assert self.sequence is not None
        self.sequence = (self.sequence + place - self.place) & 0xFFFFFFFF
        self.place = place
        self.anchored = True

    @property
    def done(self) -> bool:
        return self.end is not None and self.place >= self.end


class _Flow:
    __slots__ = ("client", "ear", "ends", "halves", "held", "since")

    def __init__(self, ends: tuple[End, End]) -> None:
        self.ends = ends
        self.halves = (_Half(), _Half())
        self.client: int | None = None
        self.ear: Ear | None = None
        self.held = 0
        self.since = 0.0


class Streams:
    """Give it segments, it tells the ears. `given_up` counts connections with data that there was
    no room for.
    """

    def __init__(self, make: MakeEar, flows: int = FLOWS) -> None:
        self._make = make
        self._most = flows
        # Without data yet; with data; ended, with the initial numbers of both directions.
        self._begun: OrderedDict[tuple[End, End], _Flow] = OrderedDict()
        self._flows: OrderedDict[tuple[End, End], _Flow] = OrderedDict()
        self._ended: OrderedDict[tuple[End, End], tuple[int | None, int | None]] = OrderedDict()
        self._waiting: dict[tuple[End, End], _Flow] = {}
        self._held = 0
        self._swept = 0.0
        self._now = 0.0
        self.given_up = 0

    def take(self, segment: Segment, time: float) -> None:
        """A segment was captured at `time`."""
        source = (segment.source, segment.source_port)
        target = (segment.target, segment.target_port)
        direction = int(source > target)
        key = (target, source) if direction else (source, target)
        if time > self._now:
            self._now = time
        flow = self._flows.get(key)
        if (
            flow is not None
            and not segment.flags & (SYN | FIN | RST)
            and self._next(flow, direction, segment, time)
        ):
            return
        flow = self._known(key, direction, segment)
        if flow is not None:
            self._placed(flow, direction, segment, time)
            if flow.held:
                self._bounded(flow)
        if self._now > self._swept + 1.0:
            self.sweep(self._now)

    def _next(self, flow: _Flow, direction: int, segment: Segment, time: float) -> bool:
        """Takes a segment that is just what comes next, as nearly all are; False where it is not.
        The long way comes to the same.
        """
        half, other = flow.halves[direction], flow.halves[1 - direction]
        if (
            flow.held
            or segment.cut
            or segment.sequence != half.sequence
            or segment.acknowledged != other.sequence
            or not half.anchored
            or not other.anchored
            or self._now > self._swept + 1.0
        ):
            return False
        self._flows.move_to_end(flow.ends)
        data = segment.payload
        if data:
            half.sequence = (segment.sequence + len(data)) & 0xFFFFFFFF
            half.place += len(data)
            if not self._ear(flow).hear(direction, data, time):
                self._forget(flow)
        return True

    def sweep(self, now: float) -> None:
        """Ends waits that have lasted too long."""
        self._swept = now
        for flow in [each for each in self._waiting.values() if now > each.since + PATIENCE]:
            self._forced(flow)

    def finish(self) -> None:
        """No more segments come."""
        for flow in [*self._begun.values(), *self._flows.values()]:
            self._over(flow)

    # -- which connection ----------------------------------------------------------------------

    def _known(self, key: tuple[End, End], direction: int, segment: Segment) -> _Flow | None:
        """The connection of a segment, a new one perhaps; None where it is of no interest."""
        flow = self._flows.get(key)
        table = self._flows
        if flow is None:
            flow = self._begun.get(key)
            table = self._begun
        if flow is not None and segment.flags & SYN:
            initial = flow.halves[direction].initial
            if initial is not None and initial != segment.sequence:
                # The ports are used anew, and the end of the last connection was not seen.
                self._over(flow)
                self._ended.pop(key, None)
                flow = None
        if flow is not None:
            table.move_to_end(key)
            return flow
        ended = self._ended.get(key)
        if ended is not None:
            if not segment.flags & SYN or ended[direction] in (segment.sequence, None):
                self._ended.move_to_end(key)
                return None
            del self._ended[key]
        if segment.flags & RST and not segment.payload:
            return None
        if len(self._begun) + len(self._flows) >= self._most:
            self._make_room()
        self._begun[key] = flow = _Flow(key)
        return flow

    def _make_room(self) -> None:
        if self._begun:
            self._begun.popitem(last=False)
        else:
            self.given_up += 1
            self._over(next(iter(self._flows.values())))

    def _over(self, flow: _Flow) -> None:
        """The connection ended, or is given up: what waits is delivered with its gaps."""
        while flow.held and self._alive(flow):
            self._step(flow)
        self._forget(flow)

    def _forget(self, flow: _Flow) -> None:
        key = flow.ends
        if self._flows.pop(key, None) is None and self._begun.pop(key, None) is None:
            return
        self._waiting.pop(key, None)
        self._held -= flow.held
        flow.held = 0
        self._ended[key] = (flow.halves[0].initial, flow.halves[1].initial)
        if len(self._ended) > self._most:
            self._ended.popitem(last=False)
        if flow.ear is not None:
            flow.ear.close(self._now)

    def _alive(self, flow: _Flow) -> bool:
        return flow.ends in self._flows or flow.ends in self._begun

    # -- where in it ---------------------------------------------------------------------------

    def _placed(self, flow: _Flow, direction: int, segment: Segment, time: float) -> None:
        half, other = flow.halves[direction], flow.halves[1 - direction]
        flags, sequence = segment.flags, segment.sequence
        if flags & SYN:
            if half.initial is None:
                self._begins(flow, direction, sequence, bool(flags & ACK))
            sequence = (sequence + 1) & 0xFFFFFFFF
        if half.sequence is None and flags & RST:
            return
        place = half.where(sequence)
        size = len(segment.payload) + segment.cut
        if flags & FIN and half.end is None:
            half.end = place + size + 1
        if flags & RST and not size:
            half.end = place if half.end is None else half.end
            if flags & ACK and other.end is None:
                other.end = other.where(segment.acknowledged)
        if size and (place + size > half.place or not half.anchored):
            self._wait(flow, half, place, segment, time)
        if other.sequence is None and flags & ACK:
            other.where(segment.acknowledged)
        self._advance(flow)

    def _begins(self, flow: _Flow, direction: int, sequence: int, answer: bool) -> None:
        """The first number of a direction is known."""
        half = flow.halves[direction]
        half.initial = sequence
        flow.client = 1 - direction if answer else direction
        if not half.anchored:
            half.move(half.where((sequence + 1) & 0xFFFFFFFF))

    def _wait(self, flow: _Flow, half: _Half, place: int, segment: Segment, time: float) -> None:
        acknowledged = segment.acknowledged if segment.flags & ACK else None
        new = _Waiting(place, segment.payload, segment.cut, acknowledged, time)
        at = bisect.bisect_left(half.waiting, place, key=lambda each: each.place)
        if at < len(half.waiting) and half.waiting[at].place == place:
            known = half.waiting[at]
            if len(known.data) >= len(new.data):
                return  # Once more
            flow.held -= _cost(known)
            self._held -= _cost(known)
            del half.waiting[at]
        if flow.ends in self._begun:
            self._flows[flow.ends] = self._begun.pop(flow.ends)
        if not flow.held:
            flow.since = time
            self._waiting[flow.ends] = flow
        half.waiting.insert(at, new)
        flow.held += _cost(new)
        self._held += _cost(new)

    # -- whose turn it is ----------------------------------------------------------------------

    def _advance(self, flow: _Flow) -> None:
        """Delivers all whose turn has come."""
        moved = True
        while moved and self._alive(flow):
            moved = False
            for direction in (0, 1):
                half, other = flow.halves[direction], flow.halves[1 - direction]
                while half.anchored and half.waiting and self._alive(flow):
                    first = half.waiting[0]
                    if first.place > half.place or not _answers(first, other):
                        break
                    self._deliver(flow, direction)
                    moved = True
                if half.anchored and half.end is not None and half.place == half.end - 1:
                    half.move(half.end)
                    moved = True
        if all(half.done for half in flow.halves) and not flow.held:
            self._forget(flow)

    def _deliver(self, flow: _Flow, direction: int) -> None:
        """Delivers the first of a direction, without what was delivered before."""
        half = flow.halves[direction]
        first = half.waiting.pop(0)
        flow.held -= _cost(first)
        self._held -= _cost(first)
        if flow.held:
            flow.since = first.time
        else:
            self._waiting.pop(flow.ends, None)
        data = first.data[half.place - first.place :] if half.place > first.place else first.data
        end = first.place + len(first.data)
        going = True
        if end > half.place:
            half.move(end)
            going = self._ear(flow).hear(direction, data, first.time)
        if going and end + first.cut > half.place:
            missing = end + first.cut - half.place
            half.move(end + first.cut)
            going = self._ear(flow).miss(direction, missing, first.time)
        if not going:
            self._forget(flow)

    def _ear(self, flow: _Flow) -> Ear:
        if flow.ear is None:
            flow.ear = self._make(flow.ends, flow.client)
        return flow.ear

    # -- waits that end otherwise --------------------------------------------------------------

    def _bounded(self, flow: _Flow) -> None:
        """Ends the wait of a connection that waits for too much, or of others, while all do."""
        while flow.held > OCTETS and self._alive(flow):
            self._step(flow)
        while self._held > ALL_OCTETS:
            self._forced(next(iter(self._waiting.values())))

    def _forced(self, flow: _Flow) -> None:
        while flow.held and self._alive(flow):
            self._step(flow)

    def _step(self, flow: _Flow) -> None:
        """Takes away the one thing that the segment captured first waits for."""
        waits = [index for index in (0, 1) if flow.halves[index].waiting]
        direction = min(waits, key=lambda index: flow.halves[index].waiting[0].time)
        half, other = flow.halves[direction], flow.halves[1 - direction]
        first = half.waiting[0]
        if not half.anchored:
            # Picked up in the middle: what came before is not known.
            half.move(first.place)
            self._missing(flow, direction, 0, first.time)
        elif first.place > half.place:
            octets = first.place - half.place
            half.move(first.place)
            self._missing(flow, direction, octets, first.time)
        else:
            assert first.acknowledged is not None
            place = other.where(first.acknowledged)
            if other.waiting:
                place = min(place, other.waiting[0].place)
            if other.anchored and place <= other.place:
                # Each waits for the other: one of them does not tell the truth.
                half.waiting[0] = first._replace(acknowledged=None)
            else:
                octets = place - other.place if other.anchored else 0
                other.move(place)
                self._missing(flow, 1 - direction, octets, first.time)
        if self._alive(flow):
            self._advance(flow)

    def _missing(self, flow: _Flow, direction: int, octets: int, time: float) -> None:
        if not self._ear(flow).miss(direction, octets, time):
            self._forget(flow)


def _cost(each: _Waiting) -> int:
    """Octets that a waiting segment counts for: many small ones are as bad as a large one."""
    return max(len(each.data), OCTETS // SEGMENTS)


def _answers(segment: _Waiting, other: _Half) -> bool:
    """Whether all that it acknowledges was delivered."""
    if segment.acknowledged is None:
        return True
    return other.anchored and other.where(segment.acknowledged) <= other.place
