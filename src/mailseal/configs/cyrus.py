"""imapd.conf of Cyrus IMAP: options, and the files that it includes.

After imapd.conf(5) and lib/libconfig.c: `option: value` on a line, whose name counts in any case of
letters; a line that ends in a backslash goes on in the next, comments too. `@include: path` reads
another file. An option for one service alone has the service's name in front, `imap_option`. No
option may stand twice: then Cyrus does not start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, List, Tuple, Union

from mailseal.configs import text
from mailseal.configs.text import Malformed, Span, Splice, Trivia, Word

_NAME = re.compile(rb"\s*(?P<name>@?[A-Za-z0-9_-]+):")
_CONTINUED = "\\\n"


@dataclass(frozen=True)
class Option:
    """`name: value`; `name` is in small letters, as it counts."""

    span: Span
    name: str
    value: Word


@dataclass(frozen=True)
class Include:
    """`@include: path`."""

    span: Span
    path: str


Items = Union[Trivia, Malformed, Option, Include]


@dataclass(frozen=True)
class Document(text.Document[Items]):
    """A parsed imapd.conf."""

    @property
    def options(self) -> Tuple[Option, ...]:
        return tuple(item for item in self.items if isinstance(item, Option))

    @property
    def includes(self) -> Tuple[str, ...]:
        """The paths that are included."""
        return tuple(item.path for item in self.items if isinstance(item, Include))


def parse(data: bytes) -> Document:
    """The document of an imapd.conf; never raises."""
    lines, rest = text.split_lines(data)
    return Document(data, text.tile([*map(_item, _logical(data, lines)), *rest]))


def _logical(data: bytes, lines: List[text.Line]) -> Iterator[text.Line]:
    """The lines as they count, with what joins them still inside."""
    first = None
    for line in lines:
        first = first or line
        if not line.text.endswith(b"\\"):
            body = data[first.start : line.start + len(line.text)]
            yield text.Line(first.number, first.column, first.start, body, line.end)
            first = None
    if first:
        yield text.Line(first.number, first.column, first.start, data[first.start :], len(data))


def _item(line: text.Line) -> Items:
    body = line.text.strip()
    if not body or body.startswith(b"#"):
        return Trivia(line.whole)
    match = _NAME.match(line.text)
    if b"\0" in body or not match:
        return Malformed(line.whole, "no option: Cyrus does not start")
    rest = line.text[match.end() :]
    start, end = len(line.text) - len(rest.lstrip()), len(line.text.rstrip())
    if start >= end or body.endswith(b"\\"):
        return Malformed(
            line.whole, "an option without a value, or a line that goes on and does not"
        )
    name = text.decode(match["name"]).lower()
    raw = line.word(start, end)
    value = Word(raw.text.replace(_CONTINUED, ""), raw.span)
    if name == "@include":
        return Include(line.whole, value.text)
    if name.startswith("@"):
        return Malformed(line.whole, "no directive that is known here")
    return Option(line.whole, name, value)


# ---- edits ---------------------------------------------------------------------------------------


def set_value(document: Document, option: Option, value: str) -> Tuple[Splice, ...]:
    """Give an option another value, of one word."""
    splice = text.replace(document.data, option.value.span, _word(value))
    return (splice,) if splice.old != splice.new else ()


def add(document: Document, settings: Tuple[Tuple[str, str], ...]) -> Tuple[Splice, ...]:
    """Options that are not there yet, at the end of the file."""
    newline = text.newline_of(document.data)
    block = newline.join(b"%s: %s" % (_word(name), _word(value)) for name, value in settings)
    return (text.insert_line(document.data, len(document.data), block, newline),)


def _word(value: str) -> bytes:
    if not re.fullmatch(r"[\w.:/-]+", value, re.ASCII):
        raise ValueError(f"not one word: {value!r}")
    return value.encode()
