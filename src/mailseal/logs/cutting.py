"""From blocks of any size to the lines that may matter.

Strategy: nearly every line of a log is of no interest, so whole blocks are searched for literals,
and only where one is found the line around it is looked for. What a line is never depends on where
a block ends. A line beyond all measure is not read, and takes no memory.
"""

from __future__ import annotations

from collections.abc import Iterable

from mailseal.system.search import FindAll

LINE_LIMIT = 1 << 16
"""Octets of a line (of an entry, in journald's export format): syslog knows none so long."""


class Cutter:
    """Puts blocks together, so that nothing of a line is missing. `separator` ends one."""

    def __init__(self, separator: bytes) -> None:
        self._separator = separator
        self._held = b""
        self._skipping = False

    def feed(self, block: bytes) -> tuple[bytes, int]:
        """Octets, and how many of them are whole lines; the others wait for their end."""
        mark = self._separator
        if self._skipping:
            # The separator itself may lie across two blocks.
            block = self._held + block
            at = block.find(mark)
            if at < 0:
                self._held = _end(block, len(mark) - 1)
                return b"", 0
            self._skipping, self._held = False, b""
            block = block[at + len(mark) :]
        data = self._held + block if self._held else block
        cut = data.rfind(mark) + len(mark)
        if cut < len(mark):
            cut = 0
        self._held = data[cut:]
        if len(self._held) >= LINE_LIMIT + len(mark):
            self._skipping = True
            self._held = _end(self._held, len(mark) - 1)
        return data, cut

    def rest(self) -> bytes:
        """The last line, whose end has not come."""
        rest = b"" if self._skipping else self._held
        self._held, self._skipping = b"", False
        return rest + self._separator if rest else b""


def _end(data: bytes, size: int) -> bytes:
    return data[-size:] if size else b""


def needed(anchors: Iterable[bytes]) -> tuple[bytes, ...]:
    """Those that stand for all: of two where one is part of the other, the shorter finds both."""
    every = tuple(dict.fromkeys(anchors))
    return tuple(
        each for each in every if not any(other != each and other in each for other in every)
    )


def hits(data: bytes, stop: int, anchors: tuple[bytes, ...], find: FindAll) -> list[int]:
    """Where the literals are before `stop`, in order."""
    found: list[int] = []
    for anchor in anchors:
        found += find(data, stop, anchor)
    if len(anchors) > 1:
        found.sort()
    return found


def bounds(data: bytes, at: int, separator: bytes) -> tuple[int, int]:
    """Start and end of the line around `at`; the start is -1 where it is too long."""
    size = len(separator)
    before = data.rfind(separator, max(0, at - LINE_LIMIT - size), at)
    start = before + size if before >= 0 else 0
    end = data.find(separator, at)
    if end < 0:
        end = len(data)
    if end - start > LINE_LIMIT:
        return -1, end
    return start, end
