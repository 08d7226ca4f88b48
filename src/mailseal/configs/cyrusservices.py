"""cyrus.conf of Cyrus IMAP: what its master starts (cyrus.conf(5)).

Sections in braces; in them a line is a name and `option=value` words, in quotes where they have
white space. `#` begins a comment. Services stand in SERVICES, the other sections are for START,
EVENTS and DAEMON.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, List, Mapping, Tuple, Union

from mailseal.configs import text
from mailseal.configs.text import Malformed, Span, Trivia, Word

_BEGIN = re.compile(rb"\s*([A-Za-z]+)\s*\{\s*")
_NAME = re.compile(rb"\s*([A-Za-z0-9_-]+)(?=\s)")
_VALUE = re.compile(rb"\s+([A-Za-z]+)=(?:\"([^\"]*)\"|([^\s\"]+))")


@dataclass(frozen=True)
class Entry:
    """A line in a section: its name, and its options by name in small letters."""

    span: Span
    section: str
    name: Word
    values: Mapping[str, Word]

    def value(self, name: str) -> str:
        """The value of an option; empty where there is none."""
        return self.values[name].text if name in self.values else ""


@dataclass(frozen=True)
class Brace:
    """The line that begins or ends a section."""

    span: Span


Items = Union[Trivia, Malformed, Brace, Entry]


@dataclass(frozen=True)
class Document(text.Document[Items]):
    """A parsed cyrus.conf."""

    @property
    def services(self) -> Tuple[Entry, ...]:
        entries = (item for item in self.items if isinstance(item, Entry))
        return tuple(each for each in entries if each.section == "SERVICES")


def parse(data: bytes) -> Document:
    """The document of a cyrus.conf; never raises."""
    lines, rest = text.split_lines(data)
    return Document(data, text.tile([*_items(lines), *rest]))


def _items(lines: List[text.Line]) -> Iterator[Items]:
    section = ""
    for line in lines:
        body = line.text.partition(b"#")[0].rstrip()
        begin = _BEGIN.fullmatch(body)
        if not body.strip():
            yield Trivia(line.whole)
        elif begin and not section:
            section = text.decode(begin[1]).upper()
            yield Brace(line.whole)
        elif body.strip() == b"}" and section:
            section = ""
            yield Brace(line.whole)
        else:
            yield _entry(line, body, section)


def _entry(line: text.Line, body: bytes, section: str) -> Items:
    name = _NAME.match(body + b" ")
    values = {}
    at = name.end() if name else 0
    while name:
        value = _VALUE.match(body, at)
        if value is None:
            break
        number = 2 if value[2] is not None else 3
        values[text.decode(value[1]).lower()] = line.word(*value.span(number))
        at = value.end()
    if name is None or not section or body[at:].strip():
        return Malformed(line.whole, "no line that Cyrus takes in this place")
    return Entry(line.whole, section, line.word(*name.span(1)), values)
