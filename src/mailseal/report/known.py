"""What is known, for people and tools: a line a finding, and one finding with its history.

Strategy: the lines have columns of fixed least widths, so that they can be written as findings are
read, on a terminal under a header, and cut apart by tools where there is none. Only the newest look
and the last one that differs are shown whole: what changed is in them. Of people the list has a
number alone: how many would be cut off.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from mailseal.model import codec
from mailseal.model.finding import Severity, Verdict
from mailseal.model.known import FindingHistory, KnownFinding, KnownFindings, LookPeriod
from mailseal.model.login import JudgedLogin, Meaning
from mailseal.report import assets, logins, records
from mailseal.report.layout import labelled
from mailseal.report.style import PLAIN, Style, harmless

_WIDTHS = (12, 8, 24, 24, 9, 10, 10, 5)
_HEADER = ("ID", "SEVERITY", "ENDPOINT", "RULE", "GRADE", "FIRST", "LAST", "USERS", "STATE")
LOGINS = 50
"""Kinds of logins that are shown of one finding, those in cleartext first."""
_MEANINGS = tuple(Meaning)
_COLOURS = {Severity.HIGH: "red", Severity.CRITICAL: "red", Severity.MEDIUM: "yellow"}


class Sum:
    """Counts findings as they pass. `endpoints` are known within what was asked for, `undecided` of
    them have an inconclusive newest verdict; `unplaced` users log in in cleartext at servers whose
    address is not known.
    """

    def __init__(self, endpoints: int, undecided: int, unplaced: int = 0) -> None:
        self.endpoints = endpoints
        self.undecided = undecided
        self.unplaced = unplaced
        self.open = 0
        self.fixed = 0
        self.exposed = False

    def add(self, known: KnownFinding) -> None:
        """Takes one finding into account."""
        if known.fixed is not None:
            self.fixed += 1
            return
        self.open += 1
        self.exposed |= known.finding.assessment.verdict is Verdict.EXPOSED

    @property
    def doubtful(self) -> bool:
        """Something is undecided, or nothing is known at all."""
        return self.undecided > 0 or self.unplaced > 0 or self.endpoints == 0


def header(style: Style = PLAIN) -> str:
    """The names of the columns of `line`."""
    return style.paint(_row(_HEADER), "bold")


def line(known: KnownFinding, style: Style = PLAIN) -> str:
    """One finding; moments are days."""
    finding = known.finding
    grade = finding.assessment.grade
    text = _row(
        (
            finding.id,
            finding.severity.value,
            _place(known),
            finding.rule,
            grade.value if grade else "-",
            _day(known.first),
            _day(known.last),
            "-" if known.users is None else str(known.users),
            f"fixed {_day(known.fixed)}" if known.fixed else "open",
        )
    )
    how = "dim" if known.fixed else _COLOURS.get(finding.severity)
    return style.paint(text, how) if how else text


def summary(total: Sum) -> str:
    """One line; that nothing is known is not good news, and said."""
    unplaced = ""
    if total.unplaced:
        unplaced = f"; users in cleartext at servers whose address is not known: {total.unplaced}"
        unplaced += " (mailseal findings --logins)"
    if not total.endpoints:
        return "nothing is known there: no endpoint was looked at or reported" + unplaced
    words = f"{total.open} open" + (f", {total.fixed} fixed" if total.fixed else "")
    known = f"{total.endpoints} endpoints known, {total.undecided} of them undecided"
    return f"{words}; {known}{unplaced}"


def history(found: FindingHistory, style: Style = PLAIN) -> Iterator[str]:
    """One finding: what, since when, the evidence, what was seen before, and the next command."""
    known, finding = found.known, found.known.finding
    state = f"FIXED on {known.fixed}" if known.fixed else "OPEN"
    where = style.paint(harmless(f"{finding.id}  {_place(known)}"), "bold")
    yield f"{where}  {style.paint(harmless(state), 'green' if known.fixed else 'red')}"
    title = f"{finding.severity.value}  {finding.title}  [{finding.rule}]"
    yield from labelled("finding", (title,))
    yield from labelled("why", finding.evidence)
    conflicts = dict.fromkeys((*finding.assessment.conflicts, *found.conflicts))
    yield from labelled("conflict", conflicts)
    yield from labelled("seen", (_span(known.first, known.last),))
    yield from labelled("from", (", ".join(known.found_from),))
    earlier = (
        _span(each.first, each.last) + (f", fixed {each.fixed}" if each.fixed else "")
        for each in found.appearances[1:]
    )
    yield from labelled("before", earlier)
    yield from labelled(
        "verdicts",
        (
            f"{_span(each.first, each.last)}  {each.seen}x  {each.source}: "
            + each.assessment.verdict.value
            + (f", {each.assessment.grade.value}" if each.assessment.grade else "")
            + (f" ({'; '.join(each.assessment.reasons)})" if each.assessment.reasons else "")
            for each in found.verdicts
        ),
    )
    yield from labelled(
        "reported",
        (
            f"{_span(each.first, each.last)}  {each.source}: {each.reported.title}"
            for each in found.reports
        ),
    )
    if found.asset is not None:
        yield from assets.lines(found.asset)
    yield from _logins(found, style)
    for label, look in zip(("newest", "other"), _telling(found.looks), strict=False):
        yield from _look(label, look)
    yield from labelled("advice", textwrap.wrap(finding.advice, 88, break_on_hyphens=False))
    yield from labelled("next", (_next(known),))


def _logins(found: FindingHistory, style: Style) -> Iterator[str]:
    if not found.logins:
        exposed = found.known.finding.assessment.verdict is Verdict.EXPOSED
        if exposed and found.known.fixed is None:
            yield from labelled("logins", ("none known: nobody looked at who logs in here",))
        return
    by_meaning = sorted(found.logins, key=lambda each: _MEANINGS.index(each.meaning))
    judged = tuple(JudgedLogin(each.login, each.meaning) for each in by_meaning[:LOGINS])
    left = len(found.logins) - len(judged)
    partial = (f"{left} more kinds of logins: --format json has them",) if left else ()
    counts = {"logins": sum(each.login.count for each in found.logins)}
    yield ""
    for line in logins.text(logins.Logins("", (), judged, (), counts, partial), style):
        yield "  " + line if line else ""
    yield ""


def _telling(looks: Sequence[LookPeriod]) -> list[LookPeriod]:
    """The newest look, and the last of the same source that differs from it."""
    others = [look for look in looks[1:] if look.source == looks[0].source]
    return [*looks[:1], *others[:1]]


def _look(label: str, look: LookPeriod) -> Iterator[str]:
    yield from labelled(label, (f"{look.source}, {_span(look.first, look.last)}",))
    for observation in look.observations:
        yield from labelled("", observation.transcript)
        yield from labelled("not seen", observation.gaps)


def _next(known: KnownFinding) -> str:
    endpoint = known.finding.endpoint
    site = "" if endpoint.site == "default" else f" --site {endpoint.site}"
    if known.fixed is not None:
        return f"mailseal verify {endpoint}"
    if known.finding.assessment.grade is not None and known.found_from != ("report",):
        return f"mailseal plan {endpoint} -o plan.json"
    return f"mailseal scan{site} {endpoint}"


def _place(known: KnownFinding) -> str:
    endpoint = known.finding.endpoint
    return str(endpoint) if endpoint.site == "default" else f"{endpoint} in {endpoint.site}"


def _row(cells: Sequence[str]) -> str:
    padded = [harmless(cell).ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)]
    return "  ".join([*padded, harmless(cells[-1])])


def _day(moment: str) -> str:
    return moment[:10]


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


class Run(NamedTuple):
    """Where a list goes: `line` takes a line without its end; `version` is the program's; `live`
    says that the reader sits at a terminal.
    """

    line: Callable[[str], None]
    version: str
    style: Style = PLAIN
    live: bool = False


class Writer(Protocol):
    """A list in one form."""

    def add(self, known: KnownFinding) -> None:
        """Writes one finding."""

    def end(self, total: Sum) -> None:
        """Writes what comes after the last."""


class _Text:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._fresh = run.live

    def add(self, known: KnownFinding) -> None:
        if self._fresh:
            self._run.line(header(self._run.style))
            self._fresh = False
        self._run.line(line(known, self._run.style))

    def end(self, total: Sum) -> None:
        self._run.line(summary(total))


class _Lines:
    def __init__(self, run: Run) -> None:
        self._line = run.line

    def add(self, known: KnownFinding) -> None:
        self._line(records.line(known))

    def end(self, total: Sum) -> None:
        pass


class _Document:
    """One record of type `KnownFindings`, written as findings are read."""

    def __init__(self, run: Run) -> None:
        self._line = run.line
        head = {
            "type": KnownFindings.__name__,
            "version": codec.VERSION,
            "mailseal": run.version,
        }
        members = [records.member(name, value) + "," for name, value in head.items()]
        self._findings = records.Array(run.line, ["{", *members, '"findings": ['])

    def add(self, known: KnownFinding) -> None:
        self._findings.add(codec.encode(known))

    def end(self, total: Sum) -> None:
        self._findings.end()
        self._line("],")
        self._line(records.member("endpoints", total.endpoints) + ",")
        self._line(records.member("undecided", total.undecided) + ",")
        self._line(records.member("unplaced", total.unplaced))
        self._line("}")


WRITERS: dict[str, Callable[[Run], Writer]] = {
    "text": _Text,
    "json": _Document,
    "ndjson": _Lines,
}
