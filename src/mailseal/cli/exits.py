"""Exit codes: the one place where they are given.

Strategy: scripts branch on these numbers, so they never change their meaning, and nothing that went
wrong by itself ever exits 1, which says "exposed".
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailseal.model.finding import Severity
    from mailseal.report.check import Sum
    from mailseal.report.result import Tally


class Exit(enum.IntEnum):
    """What a run of mailseal amounts to."""

    CLEAN = 0
    """Nothing is exposed; done."""
    EXPOSED = 1
    """Something is exposed, or a check failed."""
    USAGE = 2
    """The command line or a file given cannot be used."""
    INCONCLUSIVE = 3
    """Nothing is exposed, something is undecided."""
    UNDONE = 4
    """A change failed and was rolled back."""
    UNDO_FAILED = 5
    """A change failed and could not be rolled back."""
    REFUSED = 6
    """Refused, nothing changed: stale plan, no approval, lock held, not root."""
    FAULT = 70
    """A fault of mailseal."""
    INTERRUPTED = 130
    """Ended by the operator."""


class Stop(Exception):
    """Ends a command with a code and one line that says who must do what."""

    def __init__(self, code: Exit, words: str) -> None:
        super().__init__(words)
        self.code = code


def of_scan(tally: Tally, fail_on: Severity | None) -> Exit:
    """Of looks: whatever is exposed fails; so does a finding from `fail_on` upwards."""
    from mailseal.model.finding import Verdict

    if tally.verdicts[Verdict.EXPOSED] or (fail_on is not None and tally.reaches(fail_on)):
        return Exit.EXPOSED
    return Exit.INCONCLUSIVE if tally.verdicts[Verdict.INCONCLUSIVE] else Exit.CLEAN


def of_check(total: Sum) -> Exit:
    """Of a policy: what deviates fails, unless an exception holds."""
    if total.failing:
        return Exit.EXPOSED
    return Exit.INCONCLUSIVE if total.undecided else Exit.CLEAN
