"""Results as CSV (RFC 4180): a row an endpoint, a table of columns.

Strategy: columns are never renamed or moved, new ones come last. A cell that a spreadsheet would
take for a formula begins with an apostrophe (OWASP, "CSV Injection"): the greeting of POP2 begins
with `+`. Where a cell has several values, `; ` stands between them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable

from mailseal.model.look import Observation
from mailseal.report.result import ScanResult, Tally, worst
from mailseal.report.style import harmless
from mailseal.report.writer import Run

FORMULA = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
"""What begins a formula; the last four are the same signs in full width."""


def cell(text: str) -> str:
    """Text as a cell that is text to a spreadsheet too, whatever blanks it begins with."""
    text = harmless(text)
    return "'" + text if text.lstrip().startswith(FORMULA) else text


def _joined(values: Iterable[str | None]) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))


def _of_looks(value: Callable[[Observation], str | None]) -> Callable[[ScanResult], str]:
    return lambda found: _joined(value(look) for look in found.observations)


def _grade(found: ScanResult) -> str:
    grade = found.assessment.grade if found.assessment else None
    return grade.value if grade else ""


def _severity(found: ScanResult) -> str:
    severity = worst(found.findings)
    return severity.value if severity else ""


def _tls(look: Observation) -> str | None:
    return look.tls.version if look.tls else None


COLUMNS: dict[str, Callable[[ScanResult], str]] = {
    "address": lambda found: found.endpoint.address if found.endpoint else "",
    "port": lambda found: str(found.endpoint.port) if found.endpoint else "",
    "site": lambda found: found.endpoint.site if found.endpoint else "",
    "asked": lambda found: found.asked,
    "verdict": lambda found: found.verdict.value,
    "grade": _grade,
    "severity": _severity,
    "rules": lambda found: _joined(finding.rule for finding in found.findings),
    "findings": lambda found: _joined(finding.id for finding in found.findings),
    "protocol": lambda found: (found.assessment and found.assessment.protocol) or "",
    "product": lambda found: found.assessment.product if found.assessment else "",
    "banner": _of_looks(lambda look: look.banner),
    "tls": _of_looks(_tls),
    "vantage": _of_looks(lambda look: look.vantage.value),
    "seen": lambda found: found.observations[0].start if found.observations else "",
    "reasons": lambda found: _joined(found.reasons),
    "conflicts": lambda found: _joined(found.assessment.conflicts if found.assessment else ()),
    "evidence": lambda found: _joined(line for each in found.findings for line in each.evidence),
    "reported": lambda found: _joined(f"{each.source} {each.check}" for each in found.reported),
    "recheck": lambda found: found.recheck.value if found.recheck else "",
    "not_seen": lambda found: _joined(gap for look in found.observations for gap in look.gaps),
}


class _Lines:
    """A file to the `csv` module: each row it writes is a line."""

    def __init__(self, run: Run) -> None:
        self.write = run.line


class Rows:
    """A header, then a row a result."""

    def __init__(self, run: Run) -> None:
        # RFC 4180 ends lines with CR LF; the LF is the line's own.
        self._rows = csv.writer(_Lines(run), lineterminator="\r")
        self._rows.writerow(COLUMNS)

    def add(self, found: ScanResult) -> None:
        self._rows.writerow([cell(value(found)) for value in COLUMNS.values()])

    def end(self, tally: Tally, code: int) -> None:
        pass
