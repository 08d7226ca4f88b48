"""stunnel.conf: global options and [service] sections, read as stunnel itself reads them.

The rules were tried on stunnel 5.68, where the manual (stunnel(8), CONFIGURATION FILE) is silent: a
comment is a line that begins with `;` or `#`, and there is no other; a line in brackets begins a
service; everything else needs a `=`. Options before the first service are defaults of every
service, and those given again add to them (`accept`, `connect`, `options`) or win (the others).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from mailseal.configs import text
from mailseal.configs.text import Malformed, Span, Splice, Trivia, Word

# stunnel reads lines into a buffer of 16384 bytes and takes what does not fit for the next line, be
# it the tail of a comment.
MAX_LINE = 16383

_KEY = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Section:
    """The line that begins a service. White space inside the brackets is part of the name."""

    span: Span
    name: Word


@dataclass(frozen=True)
class Option:
    """`key = value`. `key.text` is as written; stunnel compares it without regard to case."""

    span: Span
    key: Word
    value: Word


@dataclass(frozen=True)
class Service:
    """A section with its own options, in order. Two sections of one name are two services."""

    section: Section
    options: Tuple[Option, ...]

    @property
    def name(self) -> str:
        return self.section.name.text


Items = Union[Trivia, Malformed, Section, Option]


@dataclass(frozen=True)
class Document(text.Document[Items]):
    """A parsed stunnel.conf."""

    @property
    def globals(self) -> Tuple[Option, ...]:
        """The options before the first service."""
        return self._sections[0]

    @property
    def services(self) -> Tuple[Service, ...]:
        return self._sections[1]

    # Asked for by every rule of `lint`, of files with tens of thousands of sections.
    @cached_property
    def _sections(self) -> Tuple[Tuple[Option, ...], Tuple[Service, ...]]:
        above: List[Option] = []
        found: List[Tuple[Section, List[Option]]] = []
        for item in self.items:
            if isinstance(item, Section):
                found.append((item, []))
            elif isinstance(item, Option):
                (found[-1][1] if found else above).append(item)
        return tuple(above), tuple(Service(head, tuple(options)) for head, options in found)


def parse(data: bytes) -> Document:
    """The document of a stunnel.conf; never raises."""
    lines, rest = text.split_lines(data)
    mark, lines = text.without_bom(lines)
    return Document(data, text.tile([*mark, *map(_item, lines), *rest]))


def _item(line: text.Line) -> Items:
    body = line.text.strip()
    if len(line.text) > MAX_LINE:
        return Malformed(line.whole, f"longer than {MAX_LINE} bytes: stunnel reads it as two lines")
    if not body or body[:1] in b";#":
        return Trivia(line.whole)
    if b"\0" in body or b"\r" in body:
        return Malformed(
            line.whole, "a NUL or carriage return inside: stunnel cuts there or drops it"
        )
    first = len(line.text) - len(line.text.lstrip())
    last = first + len(body)
    if body.startswith(b"[") and body.endswith(b"]") and len(body) > 1:
        return Section(line.whole, line.word(first + 1, last - 1))
    equals = line.text.find(b"=")
    key_end = len(line.text[:equals].rstrip())
    if equals < 0:
        return Malformed(line.whole, "no '=': stunnel does not start")
    if key_end <= first:
        return Malformed(line.whole, "no name before '=': stunnel does not start")
    value = line.text[equals + 1 : last]
    value_start = last - len(value.lstrip())
    return Option(line.whole, line.word(first, key_end), line.word(value_start, last))


def effective(document: Document, service: Optional[Service]) -> Mapping[str, Tuple[Option, ...]]:
    """The options in force for a service (None: the global ones alone), by lower-case key.

    All assignments, the global ones first: an option with one value takes the last of them, while
    `accept`, `connect`, `options`, `socket` and the `check…` options add up.
    """
    found: Dict[str, List[Option]] = {}
    for option in (*document.globals, *(service.options if service else ())):
        found.setdefault(option.key.text.lower(), []).append(option)
    return {key: tuple(options) for key, options in found.items()}


# ---- addresses -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class UnixPath:
    """A Unix socket."""

    path: str


@dataclass(frozen=True)
class HostPort:
    """`host` as stunnel hands it to the resolver; None for a bare port, which is 0.0.0.0 in
    `accept` (IPv4 alone) and the local host in `connect`. `service` is a port number or name.
    """

    host: Optional[str]
    service: str

    def port(self, services: Mapping[str, int]) -> Optional[int]:
        """The port number; None when no service of that name is in `services`.

        As stunnel counts: nothing at all is 0 (any free port), and 65645 is 109.
        """
        number = re.fullmatch(r"[ \t]*\+?([0-9]{0,18})", self.service)
        if number:
            return int(number.group(1) or "0") & 0xFFFF
        return services.get(self.service)


def parse_address(value: str) -> Union[HostPort, UnixPath]:
    """What `accept` and `connect` name.

    A value that begins with `/` is a path. Host and port part at the last colon, so `:::109` is
    port 109 of `::`. Brackets are not syntax here: with `[::1]:109` stunnel does not start.
    """
    if value.startswith("/"):
        return UnixPath(value)
    host, colon, service = value.rpartition(":")
    return HostPort(host if colon else None, service)


# ---- writing -------------------------------------------------------------------------------------

Pairs = Sequence[Tuple[str, str]]


def set_option(
    document: Document, service: Optional[Service], key: str, value: str
) -> Tuple[Splice, ...]:
    """Give an option of a service (None: a global one) a value: the last assignment of it is
    changed, or one is added after the last option there. Raises ValueError for what stunnel would
    not read back.
    """
    line, new = _option(key, value), text.one_line(value)
    own = service.options if service else document.globals
    same = [option for option in own if option.key.text.lower() == key.lower()]
    if same:
        gap = b"" if same[-1].value.text or not new else b" "
        splice = text.replace(document.data, same[-1].value.span, gap + new)
        return (splice,) if splice.old != splice.new else ()
    newline = text.newline_of(document.data)
    if own:
        line = text.indentation(document, own[-1].key.span) + line
        offset = own[-1].span.end
    elif service:
        offset = service.section.span.end
    else:
        heads = [each.section.span.start for each in document.services]
        offset = heads[0] if heads else len(document.data)
    return (text.insert_line(document.data, offset, line, newline),)


def compose(options: Pairs, services: Sequence[Tuple[str, Pairs]]) -> bytes:
    """A whole configuration: global options, then each service. `parse` gives the same back.
    Raises ValueError for what could not be read back.
    """
    return b"".join(_compose(options, services))


def _compose(options: Pairs, services: Sequence[Tuple[str, Pairs]]) -> Iterator[bytes]:
    for key, value in options:
        yield _option(key, value) + b"\n"
    for number, (name, own) in enumerate(services):
        head = b"[" + text.one_line(name) + b"]"
        if len(head) > MAX_LINE:
            raise ValueError(f"a service name of {len(head)} bytes is too long")
        yield (b"\n" if number or options else b"") + head + b"\n"
        for key, value in own:
            yield _option(key, value) + b"\n"


def _option(key: str, value: str) -> bytes:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not the name of an option: {key!r}")
    line = f"{key} = ".encode() + text.one_line(value)
    if len(line) > MAX_LINE:
        raise ValueError(f"option {key}: longer than {MAX_LINE} bytes")
    return line.rstrip(b" ")
