"""master.cf of Postfix: services, their commands, and the settings that each gives its command.

After master(5): a logical line begins with text, and lines that begin with white space continue it;
empty lines and lines whose first text is `#` mean nothing, also in between. The eighth word is the
command, the others are its arguments. `-o name=value`, or `-o { name = value }` since 3.0, sets a
parameter of main.cf for this service alone; the last one counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, Iterator, List, Mapping, Optional, Tuple, TypeVar, Union

from mailseal.configs import text
from mailseal.configs.text import Malformed, Span, Splice, Trivia, Word

FIELDS = 8
"""Words of a service up to its command: service, type, private, unprivileged, chroot, wakeup,
process limit, command."""

_WORD = re.compile(rb"\{[^{}]*\}|[^\s{}][^\s]*|[{}]\S*")
_HOST = re.compile(r"(?:\[(?P<v6>[^]]*)\]:|(?P<host>[^:]*):)?(?P<port>[\w-]+)")


@dataclass(frozen=True)
class Override:
    """A parameter that a service sets for its command; `value` is where and what."""

    name: str
    value: Word


@dataclass(frozen=True)
class Service:
    """One service. `name` of the type `inet` is a port or `host:port`; `command` the daemon's
    program.
    """

    span: Span
    name: str
    type: str
    command: str
    overrides: Tuple[Override, ...]

    def override(self, name: str) -> Optional[Override]:
        """The setting of that name that counts."""
        return next((each for each in reversed(self.overrides) if each.name == name), None)

    def port(self, services: Mapping[str, int]) -> Optional[int]:
        """The TCP port; None where it has none. `services` are those of /etc/services."""
        match = _HOST.fullmatch(self.name) if self.type == "inet" else None
        word = match.group("port") if match else ""
        if word.isascii() and word.isdigit():
            return int(word) if len(word) < 6 else None
        return services.get(word)

    @property
    def host(self) -> str:
        """The host part of the name, empty where there is none."""
        match = _HOST.fullmatch(self.name) if self.type == "inet" else None
        return (match.group("v6") or match.group("host") or "") if match else ""


Items = Union[Trivia, Malformed, Service]


@dataclass(frozen=True)
class Document(text.Document[Items]):
    """A parsed master.cf."""

    @property
    def services(self) -> Tuple[Service, ...]:
        return tuple(item for item in self.items if isinstance(item, Service))


def parse(data: bytes) -> Document:
    """The document of a master.cf; never raises."""
    lines, rest = text.split_lines(data)
    return Document(data, text.tile([*logical(lines, _service), *rest]))


Item = TypeVar("Item")


def logical(
    lines: List[text.Line], read: Callable[[List[text.Line]], Item]
) -> Iterator[Union[Item, Trivia]]:
    """What `read` makes of each logical line of main.cf or master.cf (postconf(5), master(5)).
    Comments between its lines are part of it, those behind it are not.
    """
    group: List[text.Line] = []
    after: List[text.Line] = []
    for line in [*lines, None]:
        if line is not None and _means_nothing(line):
            after.append(line)
        elif line is not None and group and line.text[:1] in (b" ", b"\t"):
            group += [*after, line]
            after = []
        else:
            if group:
                yield read(group)
            if after:
                yield Trivia(text.cover(after[0], after[-1]))
            group, after = [] if line is None else [line], []


def _means_nothing(line: text.Line) -> bool:
    body = line.text.strip()
    return not body or body.startswith(b"#")


def _service(group: List[text.Line]) -> Items:
    span = text.cover(group[0], group[-1])
    if group[0].text[:1] in (b" ", b"\t"):
        return Malformed(span, "continues no service: Postfix does not start")
    words = [
        line.word(*match.span())
        for line in group
        if not _means_nothing(line)
        for match in _WORD.finditer(line.text)
    ]
    if any("\0" in word.text for word in words):
        return Malformed(span, "a NUL inside: Postfix cuts the line there")
    loose = [word for word in words if word.text[:1] in "{}" and word.text[-1:] != "}"]
    if loose or any(word.text[:1] == "}" for word in words):
        return Malformed(span, "braces that do not close on their line are not read here")
    if len(words) < FIELDS:
        return Malformed(span, f"{len(words)} words where Postfix wants {FIELDS} or more")
    name, kind, command = (words[at].text for at in (0, 1, FIELDS - 1))
    return Service(span, name, kind, command, tuple(_overrides(words[FIELDS:])))


def _overrides(arguments: List[Word]) -> Iterator[Override]:
    before = ""
    for word in arguments:
        # getopt(3): the value may stand in the same word as the option.
        skip = 2 if before != "-o" and word.text.startswith("-o") and len(word.text) > 2 else 0
        if before == "-o" or skip:
            braces = word.text.startswith("{", skip)
            first, last = skip + braces, len(word.text) - braces
            name, equals, value = word.text[first:last].partition("=")
            if equals and name.strip():
                start = last - len(value.lstrip()) if braces else last - len(value)
                end = max(start, start + len(word.text[start:last].rstrip()))
                yield Override(name.strip(), _part(word, start, end))
            before = ""
        else:
            before = word.text


def _part(word: Word, first: int, last: int) -> Word:
    """A piece of a word; offsets count characters there and bytes in the file."""
    start = len(text.encode(word.text[:first]))
    end = len(text.encode(word.text[:last]))
    where = word.span
    span = Span(where.line, where.column + start, where.start + start, where.start + end)
    return Word(word.text[first:last], span)


# ---- edits ---------------------------------------------------------------------------------------


def set_override(document: Document, service: Service, name: str, value: str) -> Tuple[Splice, ...]:
    """Give a service a parameter of its own: the setting that counts is changed, or one is added
    as its last line. Raises ValueError for what Postfix would not read back.
    """
    if not re.fullmatch(r"\w+", name) or not re.fullmatch(r"[^\s{}\0]+", value):
        raise ValueError(f"not a parameter and one word: {name!r}, {value!r}")
    there = service.override(name)
    if there:
        splice = text.replace(document.data, there.value.span, text.encode(value))
        return (splice,) if splice.old != splice.new else ()
    line = f"  -o {name}={value}".encode()
    newline = text.newline_of(document.data)
    return (text.insert_line(document.data, service.span.end, line, newline),)
