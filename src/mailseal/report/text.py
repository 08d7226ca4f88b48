"""Scan results for people: verdict and grade first, then why, the evidence, and what to do next.

Strategy: one table says how each verdict looks; each part of a result is one small function that
gives lines. What the server said stands there as the transcript has it: bounded, secrets already
left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping

from mailseal.model.finding import Finding, Grade, Severity, Verdict
from mailseal.model.look import Observation, Reach, Vantage
from mailseal.model.reported import Reported
from mailseal.report.layout import labelled
from mailseal.report.result import Reference, ScanResult, Tally
from mailseal.report.style import PLAIN, Style, harmless
from mailseal.report.writer import Run

_COLOURS = {
    Verdict.EXPOSED: "red",
    Verdict.REFUSED: "green",
    Verdict.ABSENT: "dim",
    Verdict.INCONCLUSIVE: "yellow",
}
_SEVERITY_COLOURS = {Severity.HIGH: "red", Severity.CRITICAL: "red", Severity.MEDIUM: "yellow"}


def result(found: ScanResult, style: Style = PLAIN) -> list[str]:
    """One result as a block of lines; the empty list for what a network sweep found absent."""
    if found.verdict is Verdict.ABSENT and not found.reported:
        return [] if found.swept else [_headline(found, style) + ": " + _short(found)]
    assessment = found.assessment
    references = {reference.rule: reference for reference in found.references}
    lines = [_headline(found, style)]
    lines += labelled("why", found.reasons)
    if assessment:
        lines += labelled("conflict", assessment.conflicts)
        lines += labelled("product", (assessment.product,) if assessment.product else ())
    lines += labelled("reported", _reported(found.reported))
    for observation in found.observations:
        lines += _look(observation)
    for finding in found.findings:
        lines += _finding(finding, references, style)
    return [*lines, *labelled("next", _next(found)), ""]


def summary(counts: Mapping[str, int]) -> str:
    """One line: how many of each verdict."""
    parts = [f"{counts[verdict.value]} {verdict.value}" for verdict in Verdict]
    return f"{sum(counts.values())} endpoints: {', '.join(parts)}"


class Blocks:
    """Blocks of text, and a sum where there is more than one result."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def add(self, found: ScanResult) -> None:
        for line in result(found, self._run.style):
            self._run.line(line)

    def end(self, tally: Tally, code: int) -> None:
        if tally.total != 1:
            self._run.line(summary(tally.counts()))


def _headline(found: ScanResult, style: Style) -> str:
    place = str(found.endpoint) if found.endpoint else found.asked
    by_name = found.endpoint is not None and found.asked != found.endpoint.address
    name = f" ({found.asked})" if by_name else ""
    grade = found.assessment.grade if found.assessment else None
    words = found.verdict.value.upper() + (f", {grade.value}" if grade else "")
    words += f", {found.recheck.value}" if found.recheck else ""
    where = style.paint(harmless(place + name), "bold")
    return f"{where}  {style.paint(words, _COLOURS[found.verdict])}"


def _short(found: ScanResult) -> str:
    return harmless("; ".join(found.reasons))


def _reported(reported: Iterable[Reported]) -> Iterator[str]:
    for report in reported:
        check = f"{report.source} {report.check}".strip()
        name = f", there called {report.name}" if report.name else ""
        when = f", {report.when}" if report.when else ""
        yield f'{check}: "{report.title}"{name}{when}'
        if report.text:
            yield f"  {report.text}"


def _look(observation: Observation) -> list[str]:
    seen = f"{observation.vantage.value}, {observation.start}"
    lines = labelled("seen from", (seen,))
    if observation.protocol or observation.banner:
        words = f'{observation.protocol or "unknown"}, "{observation.banner}"'
        lines += labelled("service", (words,))
    lines += labelled("TLS", _tls(observation))
    lines += labelled("evidence", observation.transcript)
    lines += labelled("remote", (a.reason for a in observation.attempts if a.remote))
    return lines + labelled("not seen", observation.gaps)


def _tls(observation: Observation) -> Iterator[str]:
    tls = observation.tls
    if tls is None:
        return
    accepted = ", ".join(tls.accepted)
    yield f"{tls.version}, {tls.cipher}, {tls.bits} bits; accepts {accepted}"
    if not observation.name:
        yield "the certificate's name was not checked: looked at by address (--name NAME does)"


def _finding(finding: Finding, references: Mapping[str, Reference], style: Style) -> list[str]:
    severity = style.paint(finding.severity.value, _SEVERITY_COLOURS.get(finding.severity, "bold"))
    title = harmless(f"{finding.title}  [{finding.rule}]")
    lines = [f"  {'finding'.ljust(10)}{severity}  {title}"]
    # What stands beside "why" already is not said twice.
    lines += labelled("", (e for e in finding.evidence if e not in finding.assessment.reasons))
    reference = references.get(finding.rule)
    if reference is not None:
        scanners = [f"scanner: {name}" for name in reference.scanners]
        cited = ", ".join((*reference.cwe, reference.cvss))
        lines += labelled("", (cited, *scanners, "more: " + reference.page))
    return lines + labelled("", textwrap.wrap(finding.advice, 88, break_on_hyphens=False))


def _protocol(found: ScanResult) -> str | None:
    return found.assessment.protocol if found.assessment else None


def _next(found: ScanResult) -> Iterator[str]:
    """The exact next command, where there is one."""
    place = found.endpoint
    heard = found.assessment is not None and found.assessment.grade is Grade.REPORTED
    if heard or (found.reported and not found.observations):
        yield f"mailseal scan {place}, from a host that reaches it: a look decides"
    elif found.verdict is Verdict.EXPOSED and _protocol(found) == "pop2":
        yield f"mailseal plan {place} -o plan.json"
    elif found.verdict is Verdict.EXPOSED:
        yield from (f"set it as {each.page} shows" for each in found.references[:1])
    elif place is None:
        yield "mend the name or give the address, then scan again"
    elif found.verdict is Verdict.REFUSED:
        if any(look.vantage is Vantage.SELF for look in found.observations):
            yield f"mailseal scan {place}, from another host: a stranger may be treated otherwise"
    elif any(look.reach is Reach.UNROUTABLE for look in found.observations):
        yield f"mailseal scan {place}, from a host that has a way there"
    elif found.observations:
        yield f"mailseal scan --timeout 30 {place}"
    else:
        yield f"mailseal scan --vantage remote {place}, from another host"
