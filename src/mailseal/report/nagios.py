"""Results as one line of a monitoring plugin: state, what needs somebody, and performance data.

Strategy: the state is the exit code's (Monitoring Plugins Development Guidelines; `cli.exits` has
the table), the worst results are named, and the counts are numbers that a monitor draws. `|` ends
the text there, so it becomes its number in what others say.
"""

from __future__ import annotations

from mailseal.model.finding import Verdict
from mailseal.report import text
from mailseal.report.result import ScanResult, Tally, fails
from mailseal.report.style import harmless
from mailseal.report.writer import Run

STATES = {0: "OK", 1: "CRITICAL"}
"""By mailseal's own exit code; whatever is not here could not be told."""
UNKNOWN = "UNKNOWN"
TOLD = 5
"""Results that are named; monitors cut off a line of more than a few kilobytes."""
LONGEST = 300
"""Characters of a result."""

_LIMITS = {Verdict.EXPOSED: ";;0;0", Verdict.INCONCLUSIVE: ";0;;0"}
"""Warning, critical and least value of a count, as performance data has them."""


class Line:
    """One line, when all is known."""

    def __init__(self, run: Run) -> None:
        self._run = run
        # What fails, what is undecided, what has a finding besides.
        self._told: tuple[list[str], list[str], list[str]] = ([], [], [])
        self._count = 0

    def add(self, found: ScanResult) -> None:
        if fails(found, self._run.fail_on):
            rank = 0
        elif found.verdict is Verdict.INCONCLUSIVE:
            rank = 1
        elif found.findings:
            rank = 2
        else:
            return
        self._count += 1
        if len(self._told[rank]) < TOLD:
            self._told[rank].append(_words(found))

    def end(self, tally: Tally, code: int) -> None:
        told = [words for rank in self._told for words in rank][:TOLD]
        more = self._count - len(told)
        said = "; ".join([text.summary(tally.counts()), *told, *([f"{more} more"] * bool(more))])
        numbers = " ".join(
            f"{verdict.value}={tally.verdicts[verdict]}{_LIMITS.get(verdict, ';;;0')}"
            for verdict in Verdict
        )
        self._run.line(f"MAILSEAL {STATES.get(code, UNKNOWN)} - {said} | {numbers}")


def _words(found: ScanResult) -> str:
    place = str(found.endpoint) if found.endpoint else found.asked
    grade = found.assessment.grade if found.assessment else None
    words = f"{place} {found.verdict.value}" + (f", {grade.value}" if grade else "")
    why = [*found.reasons, *(line for finding in found.findings for line in finding.evidence)]
    words = harmless(": ".join([words, "; ".join(dict.fromkeys(why))])).replace("|", "\\x7c")
    return words if len(words) <= LONGEST else words[: LONGEST - 3] + "..."
