"""A template as far as it can be read: what an engine fills in is masked, the rest is the file.

Strategy: each expression, statement and comment of Jinja becomes as many octets of its kind, so
that all places stay. An expression is a word that stands for anything, statements and comments are
blank: both branches of a condition are read. A fault on a line with a mask says nothing, because
the value is not known; whoever asks drops it.
"""

from __future__ import annotations

import re

MASK = "\x7f"
"""In the place of each octet of an expression. No configuration has it."""

_OPENING = re.compile(rb"\{[{%#]")
_ENDS = {b"{{": b"}}", b"{%": b"%}", b"{#": b"#}"}
_SHOWN = re.compile(rb"[^\n]")


def masked(data: bytes) -> bytes | None:
    """The template with its masks, as long as before; None where one is not closed."""
    pieces: list[bytes] = []
    done = 0
    while opening := _OPENING.search(data, done):
        start = opening.start()
        end = data.find(_ENDS[opening[0]], opening.end())
        if end < 0:
            return None
        pieces.append(data[done:start])
        mask = MASK.encode() if opening[0] == b"{{" else b" "
        pieces.append(_SHOWN.sub(mask, data[start : end + 2]))
        done = end + 2
    return b"".join((*pieces, data[done:])) if done else data


def is_masked(data: bytes, start: int) -> bool:
    """Whether the line at `start` has a mask."""
    first = data.rfind(b"\n", 0, start) + 1
    last = data.find(b"\n", start)
    return data.find(MASK.encode(), first, last if last >= 0 else len(data)) >= 0
