"""Exim's configuration up to its first `begin`: options, macros, conditions, includes.

After the Exim specification, chapter 6: a line that ends in a backslash goes on in the next, whose
leading blanks do not count; comment lines stand in between. Macros begin with a capital. `.ifdef`
and its like decide which lines count, which is not worked out here: an item tells how deep it
stands. From the first `begin` on the file is one item.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, List, Tuple, Union

from mailseal.configs import text
from mailseal.configs.text import Malformed, Span, Splice, Trivia, Word

_OPTION = re.compile(rb"[ \t]*(?:hide[ \t]+)?(?P<name>[a-z]\w*)[ \t]*=[ \t]*")
_INCLUDE = re.compile(rb"[ \t]*\.include(?:_if_exists)?[ \t]+(?P<path>[^\s].*)")
_CONDITION = re.compile(rb"[ \t]*\.(?P<word>ifn?def|elifn?def|else|endif)\b")
_BEGIN = re.compile(rb"[ \t]*begin[ \t]", re.IGNORECASE)


@dataclass(frozen=True)
class Option:
    """`name = value`. `value.text` is as it stands there; `depth`: how many conditions it is under,
    of this file.
    """

    span: Span
    name: str
    value: Word
    depth: int


@dataclass(frozen=True)
class Include:
    """`.include path`, whose macros are not replaced."""

    span: Span
    path: str


@dataclass(frozen=True)
class Other:
    """A macro, a named list, a switch or a condition: nothing that is asked for here."""

    span: Span


@dataclass(frozen=True)
class Sections:
    """The first `begin` and all behind it."""

    span: Span


Items = Union[Trivia, Malformed, Option, Include, Other, Sections]


@dataclass(frozen=True)
class Document(text.Document[Items]):
    """A parsed file of Exim's configuration."""

    def options(self, name: str) -> Tuple[Option, ...]:
        """Where an option is set in the main section; more than one only under conditions."""
        found = (item for item in self.items if isinstance(item, Option))
        return tuple(each for each in found if each.name == name)

    @property
    def end(self) -> int:
        """Where the main section ends."""
        last = self.items[-1:]
        return last[0].span.start if last and isinstance(last[0], Sections) else len(self.data)


def parse(data: bytes) -> Document:
    """The document of a file of Exim's configuration; never raises."""
    lines, rest = text.split_lines(data)
    return Document(data, text.tile(_items(data, lines, rest)))


def _items(data: bytes, lines: List[text.Line], rest: List[Malformed]) -> Iterator[Items]:
    depth = 0
    for line in _logical(data, lines):
        if _BEGIN.match(line.text):
            yield Sections(Span(line.number, line.column, line.start, len(data)))
            return
        condition = _CONDITION.match(line.text)
        if condition:
            word = condition["word"]
            depth = max(0, depth + word.startswith(b"if") - (word == b"endif"))
        yield _item(line, depth)
    yield from rest


def _logical(data: bytes, lines: List[text.Line]) -> Iterator[text.Line]:
    """The lines as they count, with what joins them still inside."""
    first = None
    for line in lines:
        body = line.text.strip()
        comment = not body or body.startswith(b"#")
        if comment and first is None:
            yield line
            continue
        first = first or line
        if not comment and not body.endswith(b"\\"):
            whole = data[first.start : line.start + len(line.text)]
            yield text.Line(first.number, first.column, first.start, whole, line.end)
            first = None
    if first:
        yield text.Line(
            first.number,
            first.column,
            first.start,
            data[first.start : lines[-1].end],
            lines[-1].end,
        )


def _item(line: text.Line, depth: int) -> Items:
    body = line.text.strip()
    if not body or body.startswith(b"#"):
        return Trivia(line.whole)
    if b"\0" in body:
        return Malformed(line.whole, "a NUL inside: Exim cuts the line there")
    include = _INCLUDE.fullmatch(line.text.rstrip())
    if include:
        return Include(line.whole, text.decode(include["path"]))
    option = _OPTION.match(line.text)
    if option:
        end = max(option.end(), len(line.text.rstrip()))
        value = line.word(option.end(), end)
        return Option(line.whole, text.decode(option["name"]), value, depth)
    return Other(line.whole)


# ---- edits ---------------------------------------------------------------------------------------


def set_option(document: Document, name: str, value: str) -> Tuple[Splice, ...]:
    """Give an option another value, or add it as the last of the main section. Raises ValueError
    where it is set more than once, and for what Exim would not read back.
    """
    new = text.one_line(value)
    there = document.options(name)
    if len(there) > 1 or not re.fullmatch(r"[a-z]\w*", name) or value[:1] == '"' or "\\" in value:
        raise ValueError(f"not an option that is set once, and a plain value: {name!r}, {value!r}")
    if there:
        splice = text.replace(document.data, there[0].value.span, new)
        return (splice,) if splice.old != splice.new else ()
    newline = text.newline_of(document.data)
    return (text.insert_line(document.data, document.end, name.encode() + b" = " + new, newline),)
