"""From blocks of any size to pieces of whole lines.

Strategy: what a line is never depends on where a block ends; only the line that lies across two is
put together. A line beyond all measure is not read, and takes no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

LINE_LIMIT = 1 << 16
"""Octets of a line (of an entry, in journald's export format): syslog knows none so long."""


Piece = tuple[bytes, int, int]
"""Octets, and from where to where they are whole lines."""


class Cutter:
    """Puts blocks together, so that nothing of a line is missing. `separator` ends one."""

    def __init__(self, separator: bytes) -> None:
        self._separator = separator
        self._held = b""
        self._skipping = False

    def feed(self, block: bytes) -> Iterator[Piece]:
        """Whole lines; what is left waits for its end."""
        mark = self._separator
        start = 0
        if self._skipping:
            # The separator itself may lie across two blocks.
            block = self._held + block
            at = block.find(mark)
            if at < 0:
                self._held = _end(block, len(mark) - 1)
                return
            self._skipping, self._held = False, b""
            start = at + len(mark)
        elif self._held and len(mark) == 1:
            # Only the line that lies across is put together: a block is large.
            at = block.find(mark) + 1
            if at:
                line = self._held + block[:at]
                yield line, 0, len(line)
                self._held, start = b"", at
        if self._held:
            block = self._held + block
        cut = max(start, block.rfind(mark, start) + len(mark))
        if cut >= start + len(mark):
            yield block, start, cut
        else:
            cut = start
        self._held = block[cut:]
        if len(self._held) >= LINE_LIMIT + len(mark):
            self._skipping = True
            self._held = _end(self._held, len(mark) - 1)

    def rest(self) -> Iterator[Piece]:
        """The last line, whose end has not come."""
        rest = b"" if self._skipping else self._held
        self._held, self._skipping = b"", False
        if rest:
            rest += self._separator
            yield rest, 0, len(rest)


def _end(data: bytes, size: int) -> bytes:
    return data[-size:] if size else b""


def needed(anchors: Iterable[bytes]) -> tuple[bytes, ...]:
    """Those that stand for all: of two where one is part of the other, the shorter finds both."""
    every = tuple(dict.fromkeys(anchors))
    return tuple(
        each for each in every if not any(other != each and other in each for other in every)
    )
