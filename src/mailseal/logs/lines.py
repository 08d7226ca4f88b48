"""The lines with a literal in them: few, and to look for them is most of the work.

Strategy: one function over a block of whole lines. Written twice: in C (`_lines.c`), which is what
is used where it was built, and here, where a reader finds what it does and where it works without
a compiler. (With a search by the C library for each literal, and a step of Python for each place, a
log was read at 0.22 to 0.59 of the speed of `grep -c`, by `script/bench logs`.)
"""

from __future__ import annotations

from collections.abc import Callable

Line = tuple[int, int]
"""Where a line begins and ends, without its separator."""


def python_lines(
    data: bytes, start: int, end: int, literals: tuple[bytes, ...], separator: bytes
) -> list[Line]:
    """Each line between `start`, where one begins, and `end` that has one of the literals (none of
    them empty) in it, in order.
    """
    found = []
    places = [at for literal in literals for at in _places(data, start, end, literal)]
    for at in sorted(places):
        if at < start:
            continue  # in the line before
        last, stop = data.rfind(separator, start, at), data.find(separator, at, end)
        begin = start if last < 0 else last + len(separator)
        stop = end if stop < 0 else stop
        found.append((begin, stop))
        start = stop + len(separator)
    return found


def _places(data: bytes, start: int, end: int, literal: bytes) -> list[int]:
    found = []
    at = data.find(literal, start, end)
    while at >= 0:
        found.append(at)
        at = data.find(literal, at + 1, end)
    return found


Lines = Callable[[bytes, int, int, tuple[bytes, ...], bytes], list[Line]]

lines: Lines = python_lines
try:
    from mailseal.logs import _lines
except ImportError:
    pass
else:
    lines = _lines.lines
