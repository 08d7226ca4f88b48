"""Text that stands in another file, octet by octet: a fault in it has a place out there.

Strategy: beside the octets a row of offsets, one for each and one for the end. Pieces are cut and
joined together with their offsets, so that a file in a script in a task still knows where it began.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Traced(NamedTuple):
    """`at[i]` is where octet `i` of `data` stands, `at[len(data)]` where it ends."""

    data: bytes
    at: Sequence[int]

    def cut(self, first: int, last: int) -> Traced:
        return Traced(self.data[first:last], self.at[first : last + 1])


def whole(data: bytes) -> Traced:
    """A file that stands for itself."""
    return Traced(data, range(len(data) + 1))


def joined(pieces: Iterable[Traced], between: bytes = b"") -> Traced:
    """One behind the other; what is `between` stands at the end of the piece before it."""
    data: list[bytes] = []
    at = array("q")
    end = 0
    for piece in pieces:
        if data and between:
            data.append(between)
            at.extend([end] * len(between))
        data.append(piece.data)
        at.extend(piece.at[: len(piece.data)])
        end = piece.at[len(piece.data)]
    at.append(end)
    return Traced(b"".join(data), at)


def literal(data: bytes, place: int) -> Traced:
    """Text that stands nowhere as it is, told at one place."""
    return Traced(data, array("q", [place]) * (len(data) + 1))


class Lines:
    """Where the lines of a file begin."""

    def __init__(self, data: bytes) -> None:
        self._starts = [0, *(each.end() for each in re.finditer(rb"\n", data))]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an octet, both from 1."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1
