"""YAML as a tree whose words know their place.

Strategy: libyaml's events, put together by an explicit stack with a bound on depth: composing is a
recursion in C, which a hostile file would end the process with. Nothing is constructed, so a tag
does nothing, and an alias is the node it names, so that nothing multiplies. Values stay the text
that they are written as.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import yaml

from mailseal.configs.text import BOM, Malformed, Span
from mailseal.lint.traced import Lines, Traced

DEEPEST = 100
"""Nodes in nodes."""
MOST = 500_000
"""Events of a file."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one without libyaml reads the same, slower."""


@dataclass(frozen=True, eq=False)
class Scalar:
    """A word; `first` and `last` are its offsets in characters, with its quotes."""

    text: str
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Sequence:
    items: list[Node] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Mapping:
    """Keys that are no words are left out; of one key twice the last counts."""

    pairs: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)

    def get(self, key: str) -> Node | None:
        return self.pairs[key][1] if key in self.pairs else None

    def scalar(self, *keys: str) -> Scalar | None:
        """The word of the first of the keys that has one."""
        found = (self.get(key) for key in keys)
        return next((each for each in found if isinstance(each, Scalar)), None)

    def word(self, *keys: str) -> str:
        found = self.scalar(*keys)
        return found.text if found else ""


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True)
class Tree:
    """The documents of a file, and what of it could not be read."""

    source: Source
    roots: tuple[Node, ...]
    malformed: tuple[Malformed, ...]


class Source:
    """A file's text, and where each of its characters stands among its octets."""

    def __init__(self, data: bytes) -> None:
        """Raises ValueError for what is not UTF-8."""
        self.text = data.removeprefix(BOM).decode()
        skipped = len(data) - len(data.removeprefix(BOM))
        self._lines = Lines(data)
        self._traced: dict[Scalar, Traced] = {}
        self._offsets: range | array[int] = range(skipped, len(data) + 1)
        if not self.text.isascii():
            widths = (len(_octets(each)) for each in self.text)
            self._offsets = array("q", accumulate(widths, initial=skipped))

    def traced(self, scalar: Scalar) -> Traced:
        """The value of a word, each octet with its place."""
        # An alias may stand for the same long text a thousand times.
        if scalar not in self._traced:
            self._traced[scalar] = self._trace(scalar)
        return self._traced[scalar]

    def _trace(self, scalar: Scalar) -> Traced:
        places = _places(self.text, scalar)
        if isinstance(self._offsets, range):
            skipped = self._offsets.start
            at = array("q", (place + skipped for place in places)) if skipped else places
        else:
            at = array("q")
            for character, place in zip(scalar.text, places, strict=True):
                first = self._offsets[place]
                at.extend(range(first, first + len(_octets(character))))
        at.append(self._offsets[scalar.last])
        return Traced(_octets(scalar.text), at)

    def span(self, scalar: Scalar) -> Span:
        first, last = self._offsets[scalar.first], self._offsets[scalar.last]
        line, column = self._lines.place(first)
        return Span(line, column, first, last)


def read(data: bytes) -> Tree:
    """The tree of a file; never raises."""
    try:
        source = Source(data)
    except ValueError:
        whole = Span(1, 1, 0, len(data))
        return Tree(Source(b""), (), (Malformed(whole, "not UTF-8: no YAML"),))
    roots: list[Node] = []
    try:
        for each in _documents(source.text):
            roots.append(each)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        place = Span(line, column, 0, 0)
        return Tree(source, tuple(roots), (Malformed(place, f"no YAML: {error.problem}"),))
    except yaml.YAMLError:
        place = Span(1, 1, 0, 0)
        return Tree(source, tuple(roots), (Malformed(place, "no YAML: control characters"),))
    return Tree(source, tuple(roots), ())


def _documents(text: str) -> Iterator[Node]:
    """Raises YAMLError."""
    anchors: dict[str, Node] = {}
    # What is open, and the key that waits for its value.
    open_: list[tuple[Sequence | Mapping, Node | None]] = []
    events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
    for count, event in enumerate(events):
        first, last = event.start_mark, event.end_mark
        anchor: str = getattr(event, "anchor", None) or ""
        if count > MOST or len(open_) > DEEPEST:
            raise yaml.MarkedYAMLError(problem="too deep or too long", problem_mark=first)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(event.value, first.index, last.index)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Sequence()
        elif isinstance(event, yaml.MappingStartEvent):
            node = Mapping()
        elif isinstance(event, yaml.AliasEvent):
            node = anchors.get(anchor, Sequence())
        elif isinstance(event, yaml.CollectionEndEvent):
            open_.pop()
            continue
        else:
            continue
        if anchor and not isinstance(event, yaml.AliasEvent):
            anchors[anchor] = node
        if not open_:
            yield node
        else:
            _put(open_, node)
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((node, None))  # type: ignore[arg-type]


def _put(open_: list[tuple[Sequence | Mapping, Node | None]], node: Node) -> None:
    parent, key = open_[-1]
    if isinstance(parent, Sequence):
        parent.items.append(node)
    elif key is None:
        open_[-1] = (parent, node)
    else:
        open_[-1] = (parent, None)
        if isinstance(key, Scalar):
            parent.pairs[key.text] = (key, node)


def mappings(roots: tuple[Node, ...]) -> Iterator[Mapping]:
    """Every mapping once, in the order of the file."""
    seen: set[int] = set()
    waiting: list[Node] = list(reversed(roots))
    while waiting:
        node = waiting.pop()
        if id(node) in seen or isinstance(node, Scalar):
            continue
        seen.add(id(node))
        if isinstance(node, Mapping):
            yield node
            below = [value for _, value in node.pairs.values()]
        else:
            below = node.items
        waiting.extend(reversed(below))


def _octets(text: str) -> bytes:
    return text.encode(errors="replace")


# ---- the place of each character of a value ------------------------------------------------------


def _places(text: str, scalar: Scalar) -> array[int]:
    raw = text[scalar.first : scalar.last]
    # An anchor or a tag stands in front.
    begin = 0
    while raw[begin : begin + 1] in ("&", "!"):
        begin = _BLANK.match(raw, _WORD.match(raw, begin).end()).end()  # type: ignore[union-attr]
    if raw[begin : begin + 1] == "|":
        return _of_lines(scalar, raw, begin)
    return array("q", _of_words(scalar, raw, begin))


_WORD = re.compile(r"\S*")
_BLANK = re.compile(r"\s*")


def _of_lines(scalar: Scalar, raw: str, begin: int) -> array[int]:
    """Of a literal block: its lines are those of the file, further in."""
    places = array("q")
    head = raw.find("\n", begin) + 1
    start = scalar.first + head
    lines = raw[head:].split("\n")
    for number, value in enumerate(scalar.text.split("\n")):
        written = lines[number].rstrip("\r") if number < len(lines) else ""
        if number:
            places.append(min(start - 1, scalar.last))
        first = start + max(0, len(written) - len(value))
        # What is not there as it is read ends with the word.
        inside = max(0, min(len(value), scalar.last - first))
        places.extend(range(first, first + inside))
        places.extend([scalar.last] * (len(value) - inside))
        start += len(lines[number]) + 1 if number < len(lines) else 1
    return places


def _of_words(scalar: Scalar, raw: str, begin: int) -> Iterator[int]:
    """Of any other style: each character of the value is looked for behind the one before, past
    what folding left out.
    """
    quote = raw[begin : begin + 1]
    at = raw.find("\n", begin) + 1 if quote == ">" else begin + (quote in ("'", '"'))
    for character in scalar.text:
        while quote == '"' and raw[at : at + 2] == "\\\n":
            at += 2
        if not character.isspace():
            while raw[at : at + 1].isspace():
                at += 1
        yield min(scalar.first + at, scalar.last)
        if quote == '"' and raw[at : at + 1] == "\\":
            at += {"x": 4, "u": 6, "U": 10}.get(raw[at + 1 : at + 2], 2)
        elif quote == "'" and raw[at : at + 2] == "''":
            at += 2
        elif not character.isspace() or raw[at : at + 1].isspace():
            at += 1
