"""Results as GitHub-flavoured Markdown: a table of all, then the details of what needs somebody.

Strategy: all text of others stands in code spans and code blocks, because nothing is looked for
there: no HTML, no link, no mention of a person, no reference to an issue (a backslash keeps no
forge from the last two). The details are the text form itself. They come after the table, so they
must be held, and are bounded for that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from mailseal.model.finding import Verdict
from mailseal.report import text
from mailseal.report.result import ScanResult, Tally
from mailseal.report.style import harmless
from mailseal.report.writer import Run

DETAILS = 100
"""Results told in full; a forge cuts off comments of more than 64 KiB, and summaries of 1 MiB."""


def code(words: str) -> str:
    """Text as a code span that fits a cell too: `|` would end the cell, so it becomes a number."""
    words = harmless(words).replace("|", "\\x7c")
    if not words.strip():
        return ""
    ticks = _longer_than_in([words])
    pad = " " if "`" in (words[0], words[-1]) else ""
    return ticks + pad + words + pad + ticks


def fenced(lines: Sequence[str]) -> list[str]:
    """Lines as a code block that none of them can end."""
    shown = [harmless(line) for line in lines]
    fence = _longer_than_in(shown, 3)
    return [fence + "text", *shown, fence]


def _longer_than_in(lines: list[str], least: int = 1) -> str:
    """Backticks in a row, more than there are anywhere in the lines."""
    runs = chain.from_iterable(re.findall("`+", line) for line in lines)
    return "`" * max(least, 1 + max(map(len, runs), default=0))


def _place(found: ScanResult) -> str:
    return code(str(found.endpoint) if found.endpoint else found.asked)


class Summary:
    """A row a result, without what a network sweep found absent, then the details."""

    def __init__(self, run: Run) -> None:
        self._out = run.line
        self._details: list[str] = []
        self._told = self._untold = 0
        for line in ("| endpoint | asked | verdict | findings |", "|---|---|---|---|"):
            self._out(line)

    def add(self, found: ScanResult) -> None:
        block = text.result(found)
        if not block:
            return
        grade = found.assessment.grade if found.assessment else None
        verdict = found.verdict.value
        if found.verdict in (Verdict.EXPOSED, Verdict.INCONCLUSIVE):
            verdict = f"**{verdict}**"
        findings = ", ".join(f"{each.severity.value}: {code(each.rule)}" for each in found.findings)
        words = verdict + (f", {grade.value}" if grade else "")
        self._out(f"| {_place(found)} | {code(found.asked)} | {words} | {findings} |")
        if not found.findings and found.verdict not in (Verdict.EXPOSED, Verdict.INCONCLUSIVE):
            return
        if self._told == DETAILS:
            self._untold += 1
            return
        self._told += 1
        self._details += ["", f"### {_place(found)}", "", *fenced(list(filter(None, block)))]

    def end(self, tally: Tally, code: int) -> None:
        for line in ("", text.summary(tally.counts()), *self._details):
            self._out(line)
        if self._untold:
            self._out("")
            self._out(f"{self._untold} more are not told here; the other forms have all of them.")
