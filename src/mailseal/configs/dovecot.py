"""dovecot.conf of Dovecot 2.3 and 2.4: settings, sections in braces, includes.

After Dovecot's manual and config-parser.c: a line is `key = value`, `kind [name] {`, `}` or
`!include pattern`; one that ends in a backslash goes on in the next. `#` after white space begins a
comment, unless it is in quotes. Sections begin and end with their line. A later value counts over
an earlier one, which is the reader's business: several files make one configuration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, List, Sequence, Tuple, Union

from mailseal.configs import text
from mailseal.configs.text import Malformed, Span, Splice, Trivia, Word

# Nothing here goes back and forth over a line: a hostile one would take hours.
_QUOTED = re.compile(rb"""\"[^\"]*\"|'[^']*'|(?P<comment>\s\#)""")
_INCLUDE = re.compile(rb"!include(?P<kind>_try)?[ \t]+(?P<value>\S.*)", re.DOTALL)
_KEY = re.compile(rb"[^\s={}\"'!<]+")


@dataclass(frozen=True)
class Begin:
    """`kind name {`; `name` without its quotes, empty where there is none."""

    span: Span
    kind: str
    name: str


@dataclass(frozen=True)
class End:
    """`}`."""

    span: Span


@dataclass(frozen=True)
class Setting:
    """`key = value`. `value.text` is without its quotes, `value.span` with them."""

    span: Span
    key: Word
    value: Word


@dataclass(frozen=True)
class Include:
    """`!include pattern`, beside the file it stands in; `must`: not finding it is an error."""

    span: Span
    pattern: str
    must: bool


Items = Union[Trivia, Malformed, Begin, End, Setting, Include]


@dataclass(frozen=True)
class Document(text.Document[Items]):
    """A parsed file of Dovecot's configuration."""


Sections = Tuple[Tuple[str, str], ...]
"""The sections that something is in, outermost first: kind and name."""


def parse(data: bytes) -> Document:
    """The document of a file of Dovecot's configuration; never raises."""
    lines, rest = text.split_lines(data)
    mark, lines = text.without_bom(lines)
    return Document(data, text.tile([*mark, *map(_item, _groups(lines)), *rest]))


def nested(document: Document) -> Iterator[Tuple[Sections, Items]]:
    """Each item with the sections that it is in. A `}` too many is in none."""
    sections: List[Tuple[str, str]] = []
    for item in document.items:
        if isinstance(item, End):
            sections = sections[:-1]
        yield tuple(sections), item
        if isinstance(item, Begin):
            sections.append((item.kind, item.name))


def _groups(lines: List[text.Line]) -> Iterator[text.Line]:
    """The logical lines. A backslash and the line feed behind it count as two blanks, so that the
    offsets stay those of the file.
    """
    group: List[text.Line] = []
    for line in lines:
        group.append(line)
        comment = line.text.lstrip().startswith(b"#")
        if (comment and len(group) == 1) or not line.text.endswith(b"\\"):
            yield _joined(group)
            group = []
    if group:
        yield _joined(group)


def _joined(group: List[text.Line]) -> text.Line:
    body = b"".join(line.text[:-1] + b"  " for line in group[:-1]) + group[-1].text
    first = group[0]
    return text.Line(first.number, first.column, first.start, body, group[-1].end)


def _item(line: text.Line) -> Items:
    first = len(line.text) - len(line.text.lstrip())
    if line.text[first : first + 1] == b"#":
        return Trivia(line.whole)
    tokens = _QUOTED.finditer(line.text, first)
    last = next((each.start() for each in tokens if each.group("comment")), len(line.text))
    body = line.text[first:last].rstrip()
    if not body:
        return Trivia(line.whole)
    if b"\0" in body or body.endswith(b"\\"):
        return Malformed(line.whole, "a NUL, or a line that goes on and does not")
    if body in (b"{", b"}{"):
        return Malformed(line.whole, "a section without a name")
    if body == b"}":
        return End(line.whole)
    include = _INCLUDE.fullmatch(body)
    if include:
        return Include(line.whole, text.decode(include.group("value")), not include.group("kind"))
    key, equals, value = body.partition(b"=")
    if body.endswith(b"{") and not equals:
        kind, *name = body[:-1].split(None, 1)
        return Begin(line.whole, text.decode(kind), _unquoted(text.decode(b"".join(name)).strip()))
    if not equals or not _KEY.fullmatch(key.rstrip()):
        return Malformed(line.whole, "neither a setting nor a section: Dovecot does not start")
    start, end = first + len(body) - len(value.lstrip()), first + len(body)
    word = Word(_unquoted(text.decode(line.text[start:end])), line.span(start, end))
    return Setting(line.whole, line.word(first, first + len(key.rstrip())), word)


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


# ---- edits ---------------------------------------------------------------------------------------


def set_value(document: Document, setting: Setting, value: str) -> Tuple[Splice, ...]:
    """Give a setting another value, of one word; its comment stays."""
    before = document.data[setting.value.span.start - 1 :][:1]
    gap = b"" if setting.value.text or before in (b" ", b"\t") else b" "
    splice = text.replace(document.data, setting.value.span, gap + _word(value))
    return (splice,) if splice.old != splice.new else ()


def section(kind: str, name: str, settings: Tuple[Tuple[str, str], ...]) -> List[str]:
    """The lines of a section. Raises ValueError for what is not one word."""
    lines = ["%s %s {" % (_word(kind).decode(), _word(name).decode())]
    lines += ["  " + setting(key, value) for key, value in settings]
    return [*lines, "}"]


def setting(key: str, value: str) -> str:
    """The line of a setting. Raises ValueError for what is not one word."""
    return "%s = %s" % (_word(key).decode(), _word(value).decode())


def add_lines(document: Document, lines: Sequence[str]) -> Tuple[Splice, ...]:
    """Lines at the end of the file, where they count over what stands before."""
    newline = text.newline_of(document.data)
    block = newline.join(line.encode() for line in lines)
    return (text.insert_line(document.data, len(document.data), block, newline),)


def _word(value: str) -> bytes:
    if not re.fullmatch(r"!?[\w.:/-]+", value):
        raise ValueError(f"not one word: {value!r}")
    return value.encode()
