"""Harmless text, and colour where the reader's terminal wants it.

Strategy: `harmless` is the one gate for text of others. Colour is a value that is handed in:
`PLAIN` has none, so nothing below asks what the output is.
"""

from __future__ import annotations

from typing import NamedTuple

_CODES = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


class Style(NamedTuple):
    """How to show emphasis: with terminal colours or not at all."""

    colour: bool

    def paint(self, text: str, how: str) -> str:
        """`text` in a colour or weight of red, green, yellow, bold, dim."""
        return f"\x1b[{_CODES[how]}m{text}\x1b[0m" if self.colour else text


PLAIN = Style(False)


def harmless(text: str) -> str:
    """Text that can do nothing to a terminal: letters of any script stay; control characters,
    escapes, line ends, bidirectional marks, lone surrogates and other invisible ones become
    their number.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _number(ord(char)) for char in text)


def _number(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
