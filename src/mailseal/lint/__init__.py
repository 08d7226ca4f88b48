"""Faults of configuration files: each rule is one file, one id, one pair of fixtures, one page.

Strategy: `look` parses a file once and asks every rule of its kind, then does the same for each
file that it carries: what a task of Ansible writes is linted as the file it becomes. `repaired`
makes the safe fixes and asks again, because one fix may make room for another. A fix that lets a
program start is held back while something critical would start with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from mailseal.configs import stunnel
from mailseal.configs.text import Malformed, Splice, apply_splices
from mailseal.lint.base import Here, Hit, Names, Rule, There, With
from mailseal.lint.carriers.base import Carried, Carrier, Taken
from mailseal.lint.catalogue import BY_ID as BY_ID
from mailseal.lint.catalogue import RULES as RULES
from mailseal.lint.included import Beside, files, nothing, woven
from mailseal.lint.kinds import CARRIERS, NEIGHBOURS, PARSERS, kind_of
from mailseal.lint.sections import MOST, connects, every_option, named_paths
from mailseal.lint.templates import MASK, is_masked, masked
from mailseal.lint.traced import Traced, whole
from mailseal.model.finding import Severity
from mailseal.model.lint import Fault, Linted

ROUNDS = 32
"""Of fixes. Each option that moves above the sections takes one, and there are some twenty."""
NO_KIND = "a template, or no kind of file that rules are for"
"""Why nothing is said of a file that nobody knows."""
MOST_HITS = 5_000
"""Of one rule in one file. Nobody reads on from there."""
MOST_CARRIED = 1 << 22
"""Octets of the files in one."""
DEEPEST = 3
"""Files in files: a Dockerfile that a task writes may write a file."""


class _Found(NamedTuple):
    """`offset` is where it stands in the file that is linted; `inside` the path of the file that is
    carried there, empty for that file itself.
    """

    rule: Rule
    hit: Hit
    offset: int
    inside: str = ""


class Looked(NamedTuple):
    """A file and those that it includes, and what it takes from beside itself."""

    files: tuple[Linted, ...]
    taken: tuple[Taken, ...] = ()


def lint(path: str, data: bytes, there: There | None = None, beside: Beside = nothing) -> Linted:
    """What is wrong with a file itself; see `look`."""
    return look(path, data, there, beside).files[0]


def look(path: str, data: bytes, there: There | None = None, beside: Beside = nothing) -> Looked:
    """What is wrong with a file. Its kind is "" where no rule is for it; never raises. `there`:
    what is known of what `named` tells, where the file is one of this host. `beside`:
    gives the files that this one is read with.
    """
    kind = kind_of(path, data)
    if not kind:
        return Looked((Linted(path, "", (), NO_KIND),))
    sources = [(path, data)]
    text = whole(data)
    if kind == "stunnel":
        text, sources = woven(path, data, beside)
    found, unread, taken = _examined(_Text(kind, path, text, False, there, beside))
    if not unread and len(found) >= MOST_HITS:
        unread = f"more than {MOST_HITS} faults of one rule: the rest is not told"
    places = files(sources)
    faults: list[list[Fault]] = [[] for _ in sources]
    for each in sorted(found, key=lambda each: each.offset):
        number, line, column = places.place(each.offset)
        faults[number].append(_fault(each, line, column, len(sources) == 1))
    told = [unread[:LONGEST], *[""] * (len(sources) - 1)]
    linted = [
        Linted(each, kind, tuple(own), unread)
        for each, own, unread in zip(places.paths, faults, told, strict=True)
    ]
    return Looked(tuple(linted), taken)


def named(path: str, data: bytes) -> Names:
    """What a file names that is to be looked at on its host."""
    if kind_of(path, data) != "stunnel":
        return Names()
    document = stunnel.parse(data)
    paths = dict.fromkeys(each for _, _, each in named_paths(document))
    return Names(tuple(paths), connects(document))


def repaired(path: str, data: bytes) -> bytes:
    """The file with all safe fixes; the same bytes where there are none. What a file includes, or
    carries, and a template, is left to its author.
    """
    kind = kind_of(path, data)
    for _ in range(ROUNDS if kind else 0):
        splices: list[Splice] = []
        done = 0
        found, unread, _ = _examined(_Text(kind, path, whole(data), False, None, nothing, None))
        if "include is not followed" in unread:
            break
        for each in sorted(found, key=lambda each: each.offset):
            # One fix a round for each stretch of the file; what touches it waits for the next.
            own = sorted(each.hit.splices, key=lambda splice: splice.offset)
            if own and own[0].offset >= done:
                splices += own
                done = own[-1].offset + max(len(own[-1].old), 1)
        if not splices:
            break
        data = apply_splices(data, splices)
    return data


class _Text(NamedTuple):
    """A text that is a file of a kind, or `part` of one."""

    kind: str
    path: str
    text: Traced
    part: bool
    there: There | None
    beside: Beside
    most: int | None = MOST_HITS
    depth: int = 0


def _examined(text: _Text) -> tuple[list[_Found], str, tuple[Taken, ...]]:
    """What was found in it and in what it carries, why a part was not understood, and what it takes
    from beside itself.
    """
    # What carries others has their expressions in it: they are masked with the text they are in.
    data = text.text.data if text.kind in CARRIERS else masked(text.text.data)
    if data is None:
        return [], "a template with an expression that does not end", ()
    template = data != text.text.data
    document = PARSERS[text.kind](data)
    if template and text.kind == "stunnel" and _mode_is_open(document):
        return [], "client mode is up to an expression of the template", ()
    found = _hits(text, document, data, template)
    if not isinstance(document, Carrier):
        return found, _unread(text, document), ()
    unread = _unread(text, document)
    left = MOST_CARRIED
    for carried in document.carried if text.depth < DEEPEST else ():
        # An alias of YAML may stand for the same text a thousand times.
        left -= len(carried.text.data)
        if left < 0 or len(found) >= MOST_HITS:
            return found, unread or "carries too much: the rest was not read", document.taken
        found += _inside(text, carried)
    return found, unread, document.taken


def _hits(text: _Text, document: Any, data: bytes, template: bool) -> list[_Found]:
    """Each hit once; what may not be fixed yet has no splices."""
    hits: dict[tuple[str, int], _Found] = {}
    asked = {text.kind: document}
    if text.there is not None:
        asked[f"{text.kind}-here"] = Here(document, text.there)
    if text.kind in NEIGHBOURS:
        name, parse = NEIGHBOURS[text.kind](text.path)
        other = [parse(each) for _, each in text.beside(name)[:1]]
        asked[text.kind] = With(document, other[0] if other else None)
    for rule in RULES:
        if rule.kind not in asked or (rule.whole and (text.part or template)):
            continue
        for hit in islice(rule.check(asked[rule.kind]), text.most):
            # What an expression makes of a line is not known.
            if not (template and is_masked(data, hit.place.start)):
                offset = text.text.at[hit.place.start]
                hits.setdefault((rule.id, hit.place.start), _Found(rule, hit, offset))
    critical = any(each.rule.severity is Severity.CRITICAL for each in hits.values())
    fixed = not (template or text.depth)
    return [
        each
        if fixed and not (critical and each.hit.stops)
        else each._replace(hit=each.hit._replace(splices=()))
        for each in hits.values()
    ]


def _inside(text: _Text, carried: Carried) -> Iterator[_Found]:
    kind = kind_of(carried.path, carried.text.data)
    if kind:
        at = Traced(carried.text.data, _Composed(carried.text.at, text.text.at))
        inner = _Text(
            kind, carried.path, at, carried.part, None, nothing, text.most, text.depth + 1
        )
        for each in _examined(inner)[0]:
            yield each._replace(inside=each.inside or carried.path)


class _Composed(Sequence[int]):
    """Offsets into a text whose octets stand elsewhere."""

    def __init__(self, inner: Sequence[int], outer: Sequence[int]) -> None:
        self._inner, self._outer = inner, outer

    def __len__(self) -> int:
        return len(self._inner)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _Composed(self._inner[index], self._outer)
        return self._outer[self._inner[index]]


def _mode_is_open(document: stunnel.Document) -> bool:
    return any(
        each.key.text.lower() == "client" and MASK in each.value.text
        for each in every_option(document)
    )


def _fault(found: _Found, line: int, column: int, alone: bool) -> Fault:
    rule, hit, _, inside = found
    said = f"in {inside}: {hit.said}" if inside else hit.said
    return Fault(
        rule=rule.id,
        severity=rule.severity,
        stops=hit.stops,
        line=line,
        column=column,
        title=rule.title,
        said=said[:LONGEST],
        fix=rule.fix,
        fixable=alone and bool(hit.splices),
    )


LONGEST = 300
"""Characters of what a fault says: values are as long as their author likes."""


def _unread(text: _Text, document: Any) -> str:
    """What of a file was not understood. In stunnel.conf that is a fault itself."""
    malformed: tuple[Malformed, ...] = document.malformed
    if text.kind == "stunnel":
        return _included(document)
    if not malformed:
        return ""
    first = malformed[0]
    return f"line {first.span.line}: {first.reason}"


def _included(document: stunnel.Document) -> str:
    services = document.services
    if len(services) > MOST:
        return f"line {services[MOST].section.span.line}: more than {MOST} services"
    for option in every_option(document):
        if option.key.text.lower() == "include":
            return f"{option.value.text!r}: include is not followed: name a folder that has both"
    return ""
