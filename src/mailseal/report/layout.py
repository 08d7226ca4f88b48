"""Shapes of plain text that several commands use: tables, lists, differences.

Strategy: every function gives lines without line ends and leaves printing to others; each cell,
item and line passes `harmless`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence

from mailseal.report.style import PLAIN, Style, harmless


def table(header: Sequence[str], rows: Iterable[Sequence[str]], style: Style = PLAIN) -> list[str]:
    """Columns as wide as their widest cell, two blanks apart."""
    cells = [[harmless(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return [style.paint(lines[0], "bold"), *lines[1:]]


def bullets(items: Iterable[str], indent: int = 2) -> list[str]:
    """One line an item, with a dash."""
    return [" " * indent + "- " + harmless(item) for item in items]


def labelled(label: str, items: Iterable[str], width: int = 10) -> list[str]:
    """`  label     first`, and the further items below the first."""
    lines = [harmless(item) for item in items]
    return [
        "  " + (label if index == 0 else "").ljust(width) + line for index, line in enumerate(lines)
    ]


_DIFF_COLOURS = (("+++", "bold"), ("---", "bold"), ("@@", "dim"), ("+", "green"), ("-", "red"))


def unified_diff(path: str, before: bytes, after: bytes, style: Style = PLAIN) -> Iterator[str]:
    """What changes in a file, in the usual form. Empty `before` is a new file, empty `after` one
    that goes. Octets that are no UTF-8 are shown as such, changed nothing.
    """
    old, new = (_lines(data) for data in (before, after))
    names = (path if before else "/dev/null", path if after else "/dev/null")
    for line in difflib.unified_diff(old, new, *names, lineterm=""):
        # A tab is part of many configuration files and harmless.
        shown = "\t".join(harmless(piece) for piece in line.split("\t"))
        how = next((how for start, how in _DIFF_COLOURS if line.startswith(start)), "")
        yield style.paint(shown, how) if how else shown


def _lines(data: bytes) -> list[str]:
    """Lines as difflib wants them; the lack of a last line end is shown as diff(1) shows it."""
    if not data:
        return []
    lines = data.decode("utf-8", "backslashreplace").split("\n")
    last = lines.pop()
    return [*lines, last + " [no line end]"] if last else lines
