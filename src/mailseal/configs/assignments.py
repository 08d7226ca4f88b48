"""Files of shell variables that a script reads with `.`: those of Courier, and of /etc/default.

After the shell command language of POSIX (XCU 2.3 to 2.9), as far as one word after `NAME=` goes:
quotes, a variable's value in it, a comment behind it. Whatever else a shell could do there (another
command, a substitution, a condition) becomes Malformed: then no line after it is sure to count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple, Union

from mailseal.configs import text
from mailseal.configs.text import Malformed, Span, Splice, Trivia, Word

_PLAIN = rb"[^\s\"'\\$`;&|<>()#*?\[\]~!\x00-\x20\x7f]"
_LINE = re.compile(
    rb"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_]\w*)="
    rb"(?P<value>(?:'[^'\0]*'|\"(?:[^\"\\`$\0]|\$(?=[A-Za-z_{]))*\"|\$(?=[A-Za-z_{])|[#!*?]|"
    + _PLAIN
    + rb")*)(?P<rest>[ \t]*|[ \t]+#.*)"
)
"""Pattern characters mean nothing in an assignment. Each alternative begins with another octet, so
that nothing goes back and forth over a line.
"""
_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^'\"]+)")


@dataclass(frozen=True)
class Assignment:
    """`NAME=value`. `value.text` is as the shell has it, `value.span` with its quotes; `refers`:
    another variable's value is part of it, so the text is not known.
    """

    span: Span
    name: str
    value: Word
    refers: bool


Items = Union[Trivia, Malformed, Assignment]


@dataclass(frozen=True)
class Document(text.Document[Items]):
    """A parsed file of shell variables."""

    @property
    def last(self) -> Mapping[str, Assignment]:
        """The assignment of each name that counts."""
        found = (item for item in self.items if isinstance(item, Assignment))
        return {each.name: each for each in found}

    def value(self, name: str) -> Optional[str]:
        """The value that counts; None where there is none, or it is not known."""
        there = self.last.get(name)
        return None if there is None or there.refers else there.value.text


def parse(data: bytes) -> Document:
    """The document of a file of shell variables; never raises."""
    lines, rest = text.split_lines(data)
    return Document(data, text.tile([*map(_item, lines), *rest]))


def _item(line: text.Line) -> Items:
    body = line.text.strip(b" \t")
    if not body or body.startswith(b"#"):
        return Trivia(line.whole)
    match = _LINE.fullmatch(line.text)
    if match is None:
        return Malformed(line.whole, "more than an assignment of one word: only the shell knows")
    raw = line.word(*match.span("value"))
    pieces = [each.groups(default="") for each in _QUOTED.finditer(raw.text)]
    expanded = "".join(double + plain for _, double, plain in pieces)
    if "$" in _REFERENCE.sub("", expanded):
        return Malformed(line.whole, "a substitution: only the shell knows its value")
    value = Word("".join(map("".join, pieces)), raw.span)
    return Assignment(line.whole, text.decode(match["name"]), value, "$" in expanded)


# ---- edits ---------------------------------------------------------------------------------------


def set_value(document: Document, name: str, value: str) -> Tuple[Splice, ...]:
    """Give a variable a value of one plain word, where it is assigned last, else at the end of the
    file. Raises ValueError for what the shell would not read back.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or not re.fullmatch(r"[\w.:/,-]+", value):
        raise ValueError(f"not a name and one word: {name!r}, {value!r}")
    there = document.last.get(name)
    if there:
        splice = text.replace(document.data, there.value.span, text.encode(value))
        return (splice,) if splice.old != splice.new else ()
    newline = text.newline_of(document.data)
    line = text.encode(f"{name}={value}")
    return (text.insert_line(document.data, len(document.data), line, newline),)
