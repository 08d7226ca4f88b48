"""Is a text of ours readable on the wire? A thread listens on an interface while it travels.

Strategy: every TCP payload is searched for the marks, with the end of what came before it in the
same direction, since a network may cut anywhere. What is kept is where a mark was read, and how
much was heard at all: to have heard nothing proves nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from types import TracebackType

from mailseal.capture.frames import Frames, Segment, address
from mailseal.capture.live import CannotListen, Interface

FLOWS = 4096
"""Directions of connections that are followed; past that a mark that was cut is not found."""
SETTLE = 0.3
"""Seconds to go on listening: the last packets are on their way."""


class Eavesdropper:
    """Listens while the `with` lasts. Entering raises CannotListen. `readable` are the ways on
    which a mark was read, in words; `heard` counts octets by the port of either end. `fault` is set
    where the interface went away meanwhile.
    """

    def __init__(self, interface: str, marks: Sequence[bytes]) -> None:
        self._interface = interface
        self._marks = [mark for mark in marks if mark]
        self._tail = max(map(len, self._marks)) - 1
        self._tails: dict[tuple[bytes, int, bytes, int], bytes] = {}
        self._done = threading.Event()
        self.readable: dict[str, None] = {}
        self.heard: dict[int, int] = {}
        self.dropped = 0
        self.fault = ""

    def __enter__(self) -> Eavesdropper:
        tap = Interface(self._interface, ())
        self._thread = threading.Thread(target=self._listen, args=(tap,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.wait(SETTLE)
        self._done.set()
        self._thread.join()

    def octets(self, ports: Collection[int]) -> int:
        """Heard of connections from or to these ports."""
        return sum(self.heard.get(port, 0) for port in set(ports))

    def _listen(self, tap: Interface) -> None:
        frames = Frames()
        with tap:
            try:
                while not self._done.is_set():
                    for _, link, data in tap.read(0.1) or ():
                        segment = frames.segment(link, data)
                        if segment is not None and segment.payload:
                            self._take(segment)
                self.dropped = tap.count()
            except CannotListen as error:
                self.fault = str(error)

    def _take(self, segment: Segment) -> None:
        way = (segment.source, segment.source_port, segment.target, segment.target_port)
        for port in {segment.source_port, segment.target_port}:
            self.heard[port] = self.heard.get(port, 0) + len(segment.payload)
        data = self._tails.get(way, b"") + segment.payload
        if any(mark in data for mark in self._marks):
            ends = (address(way[0]), way[1], address(way[2]), way[3])
            self.readable["from %s port %d to %s port %d" % ends] = None
        if way in self._tails or len(self._tails) < FLOWS:
            self._tails[way] = data[-self._tail :]
