"""/etc/xinetd.conf and the files of /etc/xinetd.d, read as xinetd itself reads them.

After xinetd.conf(5), and stricter where xinetd is: braces stand alone on their lines, a blank comes
before the operator, a comment is a line of its own. One bad line inside a service makes xinetd drop
that service, and a line it does not know outside makes it drop everything up to the next `}`; both
are told. Of an attribute with one value the *first* assignment counts.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from itertools import islice
from typing import Dict, Iterator, List, Mapping, Optional, Tuple, Union

from mailseal.configs import text
from mailseal.configs.inetd import behind_tcpd, effective_server
from mailseal.configs.text import Malformed, Span, Splice, Trivia, Word

# Attributes that hold a set: assignments add up, `+=` and `-=` are allowed.
SETS = frozenset(
    {"only_from", "no_access", "log_on_success", "log_on_failure", "passenv", "env"}
    | {"enabled", "disabled"}
)
# Attributes with any number of values, assigned once.
LISTS = frozenset({"server_args", "log_type", "access_times", "type", "flags"})
PAIRS = frozenset({"redirect", "cps"})
# Attributes of `defaults` that a service takes over when it has none of its own.
INHERITED = frozenset(
    {"log_type", "bind", "per_source", "umask", "log_on_success", "log_on_failure", "only_from"}
    | {"no_access", "passenv", "instances", "banner", "banner_success", "banner_fail", "groups"}
    | {"cps", "max_load", "access_times", "v6only", "mdns", "deny_time"}
)
SYNONYMS: Mapping[str, str] = {"interface": "bind"}

_ATTRIBUTE = re.compile(rb"\s*([^\s=]+)\s+([+-]?=)(.*)", re.DOTALL)
_VALUE = re.compile(rb"[^ \t]+")


@dataclass(frozen=True)
class Directive:
    """`include FILE` or `includedir DIRECTORY`; `kind` is the keyword."""

    span: Span
    kind: str
    path: Word


@dataclass(frozen=True)
class Opening:
    """`service NAME` or `defaults`, to the line with the brace. `name` is None for defaults."""

    span: Span
    name: Optional[Word]


@dataclass(frozen=True)
class Attribute:
    """`name operator values`; `operator` is =, += or -=, `raw` spans the values."""

    span: Span
    name: Word
    operator: str
    raw: Word

    @property
    def key(self) -> str:
        """The name, synonyms made one: `interface` is `bind`."""
        return SYNONYMS.get(self.name.text, self.name.text)

    @property
    def values(self) -> Tuple[str, ...]:
        return tuple(re.findall(r"[^ \t]+", self.raw.text))

    @property
    def counts(self) -> bool:
        """False when xinetd passes over the line, for its operator or its number of values."""
        if self.key in SETS:
            return True
        size = None if self.key in LISTS else 2 if self.key in PAIRS else 1
        return self.operator == "=" and size in (None, len(self.values))


@dataclass(frozen=True)
class Closing:
    """The brace that ends a service or the defaults."""

    span: Span


@dataclass(frozen=True)
class Service:
    """A service, or the defaults. `broken` is why xinetd drops it; empty when it does not."""

    opening: Opening
    attributes: Tuple[Attribute, ...]
    broken: Tuple[Malformed, ...]

    @property
    def name(self) -> str:
        return self.opening.name.text if self.opening.name else "defaults"


Items = Union[Trivia, Malformed, Directive, Opening, Attribute, Closing]
Attributes = Mapping[str, Tuple[str, ...]]


@dataclass(frozen=True)
class Document(text.Document[Items]):
    """A parsed file of xinetd."""

    @property
    def services(self) -> Tuple[Service, ...]:
        return tuple(block for block in self._blocks() if block.opening.name)

    @property
    def defaults(self) -> Optional[Service]:
        """The first `defaults`; xinetd ignores another."""
        return next((block for block in self._blocks() if not block.opening.name), None)

    @property
    def directives(self) -> Tuple[Directive, ...]:
        """What else is to be read, in order."""
        return tuple(item for item in self.items if isinstance(item, Directive))

    def _blocks(self) -> Iterator[Service]:
        opening: Optional[Opening] = None
        attributes: List[Attribute] = []
        broken: List[Malformed] = []
        for item in self.items:
            if isinstance(item, Opening):
                opening, attributes, broken = item, [], []
            elif isinstance(item, Attribute):
                attributes.append(item)
            elif isinstance(item, Malformed):
                broken.append(item)
            elif isinstance(item, Closing) and opening:
                yield Service(opening, tuple(attributes), tuple(broken))
                opening = None
        if opening:
            yield Service(opening, tuple(attributes), tuple(broken))


def parse(data: bytes) -> Document:
    """The document of a file of xinetd; never raises."""
    lines, rest = text.split_lines(data)
    return Document(data, text.tile([*_items(lines), *rest]))


def _items(lines: List[text.Line]) -> Iterator[Items]:
    at = 0
    while at < len(lines):
        line = lines[at]
        words = [line.word(*match.span()) for match in islice(_VALUE.finditer(line.text), 2)]
        keyword = words[0].text.rstrip("\r\v\f") if words and b"\0" not in line.text else ""
        if _trivial(line):
            yield Trivia(line.whole)
            at += 1
        elif keyword in ("include", "includedir") and len(words) > 1:
            yield Directive(line.whole, keyword, words[1])
            at += 1
        elif keyword == "defaults" or (keyword == "service" and len(words) > 1):
            brace = next((n for n in range(at + 1, len(lines)) if not _trivial(lines[n])), None)
            if brace is None or lines[brace].text.strip() != b"{":
                after = _after_closing(lines, at + 1 if brace is None else brace + 1)
                yield _passed_over(lines[at:after], "no '{' alone on the line after")
            else:
                name = words[1] if keyword == "service" else None
                yield Opening(text.cover(line, lines[brace]), name)
                after = _after_closing(lines, brace + 1)
                yield from map(_inside, lines[brace + 1 : after])
                if after == brace + 1 or not _closes(lines[after - 1]):
                    yield _unfinished(lines[-1])
            at = after
        else:
            after = _after_closing(lines, at + 1)
            yield _passed_over(lines[at:after], "neither a service nor an include")
            at = after


def _after_closing(lines: List[text.Line], at: int) -> int:
    """The number of the line after the next closing brace, or after the last line."""
    return next((n + 1 for n in range(at, len(lines)) if _closes(lines[n])), len(lines))


def _passed_over(lines: List[text.Line], reason: str) -> Malformed:
    span = text.cover(lines[0], lines[-1])
    return Malformed(span, f"{reason}: xinetd passes over all up to the next '}}'")


def _unfinished(last: text.Line) -> Malformed:
    place = Span(last.number, last.column + len(last.text), last.end, last.end)
    return Malformed(place, "no '}' at the end: xinetd drops the service")


def _closes(line: text.Line) -> bool:
    return line.text.strip() == b"}"


def _trivial(line: text.Line) -> bool:
    body = line.text.lstrip()
    return not body or body.startswith(b"#")


def _inside(line: text.Line) -> Items:
    """A line between the braces."""
    if _trivial(line):
        return Trivia(line.whole)
    if _closes(line):
        return Closing(line.whole)
    match = _ATTRIBUTE.fullmatch(line.text)
    if not match or b"\0" in line.text:
        return Malformed(line.whole, "not 'name = values': xinetd drops the service")
    first, last = match.span(3)
    trimmed = line.text[first:last].rstrip(b" \t")
    last = first + len(trimmed)
    first = last - len(trimmed.lstrip(b" \t"))
    operator = match.group(2).decode("ascii")
    return Attribute(line.whole, line.word(*match.span(1)), operator, line.word(first, last))


def includedir_reads(name: str) -> bool:
    """Whether `includedir` reads a file of this name; those it reads, it reads sorted by byte."""
    return "." not in name and not name.endswith("~")


# ---- meaning -------------------------------------------------------------------------------------


def effective(service: Service, defaults: Optional[Service]) -> Attributes:
    """The attributes in force, by name, `interface` under `bind`; `enabled` and `disabled` of the
    defaults are not among them (see `is_enabled`).
    """
    found: Dict[str, Tuple[str, ...]] = {}
    if defaults:
        for key, values in _combine(defaults, {}).items():
            if key in INHERITED:
                found[key] = values
    return _combine(service, found)


def _combine(block: Service, inherited: Attributes) -> Attributes:
    found = dict(inherited)
    own = set()
    for attribute in block.attributes:
        key, values = attribute.key, attribute.values
        if not attribute.counts or (key in own and key not in SETS):
            continue
        own.add(key)
        if key not in SETS or (attribute.operator == "=" and block.opening.name):
            found[key] = values
        elif attribute.operator == "-=":
            taken = set(values)
            found[key] = tuple(each for each in found.get(key, ()) if each not in taken)
        else:  # in defaults `=` adds as well
            found[key] = tuple(dict.fromkeys(found.get(key, ()) + values))
    return found


def service_id(service: Service) -> str:
    """The `id` by which `enabled` and `disabled` name a service: its name where none is given."""
    return effective(service, None).get("id", (service.name,))[0]


def is_enabled(service: Service, defaults: Optional[Service]) -> bool:
    """Whether xinetd serves it: not broken, not disabled by itself, and let be by the defaults.

    An unknown value of `disable` counts as enabled, though xinetd drops the service: what may be
    served is not to be called off.
    """
    own = effective(service, None)
    listed = _combine(defaults, {}) if defaults else {}
    name = service_id(service)
    return not (
        service.broken
        or own.get("disable", ("no",))[0].lower() == "yes"
        or "DISABLE" in own.get("flags", ())
        or ("enabled" in listed and name not in listed["enabled"])
        or name in listed.get("disabled", ())
    )


def port(service: Service, services: Mapping[str, int]) -> Optional[int]:
    """The port listened on: `port`, else that of the name in `services` (those of its protocol).

    None for RPC and TCPMUX services, which have none of their own, and for an unknown name.
    """
    own = effective(service, None)
    if {"RPC", "TCPMUX", "TCPMUXPLUS"} & set(own.get("type", ())):
        return None
    written = own.get("port", ("",))[0]
    if re.fullmatch(r"[0-9]{1,5}", written):
        return int(written)
    return None if "UNLISTED" in own.get("type", ()) else services.get(service.name)


def argv(attributes: Attributes) -> Tuple[str, ...]:
    """What the server is started with, its name first: it is given in server_args only with the
    flag NAMEINARGS.
    """
    arguments = attributes.get("server_args", ())
    if "NAMEINARGS" in attributes.get("flags", ()):
        return arguments
    return (posixpath.basename(attributes.get("server", ("",))[0]), *arguments)


def wrapped_by_tcpd(attributes: Attributes) -> bool:
    return behind_tcpd(attributes.get("server", ("",))[0])


def server(attributes: Attributes) -> str:
    """The program that speaks to the client: behind tcpd, the one tcpd starts; "" if none."""
    return effective_server(attributes.get("server", ("",))[0], argv(attributes))


# ---- edits ---------------------------------------------------------------------------------------


def set_attribute(
    document: Document, service: Service, name: str, value: str
) -> Tuple[Splice, ...]:
    """Give an attribute a value: that of the assignment that counts is changed, or a line is added
    after the last attribute. For a set (SETS) that is the last `=`, and the lines with += and -=
    stay as they are.

    Raises ValueError for what xinetd would not read back.
    """
    new = text.one_line(value)
    if not re.fullmatch(r"[^\s=#{}\0][^\s=\0]*", name):
        raise ValueError(f"not the name of an attribute: {name!r}")
    key = SYNONYMS.get(name, name)
    same = [each for each in service.attributes if each.key == key and each.operator == "="]
    if same:
        counting = [each for each in same if each.counts] or same
        chosen = counting[-1] if key in SETS else counting[0]
        gap = b"" if chosen.raw.text or not new else b" "
        splice = text.replace(document.data, chosen.raw.span, gap + new)
        return (splice,) if splice.old != splice.new else ()
    line = f"{name} = ".encode() + new
    if service.attributes:
        last = service.attributes[-1]
        line, offset = text.indentation(document, last.name.span) + line, last.span.end
    else:
        line, offset = b"\t" + line, service.opening.span.end
    # Always a plain line feed: xinetd takes a carriage return for a part of the value.
    return (text.insert_line(document.data, offset, line.rstrip(b" "), b"\n"),)
