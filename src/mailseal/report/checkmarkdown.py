"""Deviations as GitHub-flavoured Markdown, short enough for a comment on a pull request.

Strategy: the sum, a table, what to do. The worst come first, so they are held until the end, and no
more of them than are shown. Text of others stands in code spans (`markdown`).
"""

from __future__ import annotations

import heapq
import itertools

from mailseal.model.finding import Severity
from mailseal.model.policy import FAILING, Deviation, State
from mailseal.report.check import Sum, excuse, summary, where
from mailseal.report.markdown import code
from mailseal.report.writer import Run

ROWS = 40
"""Deviations in the table."""
STEPS = 15
"""Things to do."""
WIDTH = 160
"""Characters of what was seen; the other forms have all."""

_STATES = (
    *(State.FIXED, State.EXEMPT, State.UNDECIDED),
    *(State.UNCHANGED, State.EXPIRED, State.NEW),
)
"""Least to most urgent."""
_SEVERITIES = tuple(Severity)


class Comment:
    """A comment."""

    def __init__(self, run: Run, total: Sum) -> None:
        self._out = run.line
        self._total = total
        self._held: list[tuple[tuple[int, int], int, Deviation]] = []
        # Of two alike the one that came first stays, and is never compared itself.
        self._order = itertools.count(0, -1)

    def add(self, each: Deviation) -> None:
        rank = (_STATES.index(each.state), _SEVERITIES.index(each.severity))
        item = (rank, next(self._order), each)
        if len(self._held) < ROWS:
            heapq.heappush(self._held, item)
        else:
            heapq.heappushpop(self._held, item)

    def end(self, code: int) -> None:
        verdict = {0: "kept", 1: "broken"}.get(code, "not decided")
        self._out(f"### mailseal: the policy is {verdict}")
        self._out("")
        self._out(f"{summary(self._total)}.")
        shown = [each for *_, each in sorted(self._held, reverse=True)]
        if shown:
            self._table(shown)
            left = sum(self._total.states.values()) - len(shown)
            if left:
                self._out("")
                self._out(f"{left} more are not shown here; the other forms have all of them.")
        self._todo(shown)

    def _table(self, shown: list[Deviation]) -> None:
        for line in ("", "| | severity | where | rule | seen |", "|---|---|---|---|---|"):
            self._out(line)
        for each in shown:
            state = f"**{each.state.value}**" if each.state in FAILING else each.state.value
            told = excuse(each)
            seen = code(_cut(each.text)) + (f"<br>{code(_cut(told))}" if told else "")
            row = (state, each.severity.value, code(where(each)), code(each.rule), seen)
            self._out(f"| {' | '.join(row)} |")

    def _todo(self, shown: list[Deviation]) -> None:
        wanted = [each for each in shown if each.state in (*FAILING, State.UNDECIDED)]
        steps = list(dict.fromkeys(each.advice for each in wanted if each.advice))
        if not steps:
            return
        for line in ("", "**What to do**", ""):
            self._out(line)
        for step in steps[:STEPS]:
            self._out(f"- {code(_cut(step.replace('`', ''), 2 * WIDTH))}")
        if len(steps) > STEPS:
            self._out(f"- {len(steps) - STEPS} more: `mailseal check` tells them.")


def _cut(words: str, width: int = WIDTH) -> str:
    return words if len(words) <= width else words[: width - 1] + "…"
