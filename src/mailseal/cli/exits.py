"""Exit codes: the one place where they are given.

Strategy: scripts branch on these numbers, so they never change their meaning, and nothing that went
wrong by itself ever exits 1, which says "exposed". The one other table is that of monitors, whose
plugins have numbers of their own: with `--format nagios` a command speaks those.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mailseal.report.check import Sum
    from mailseal.report.result import FailOn, Tally


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

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


def of_scan(tally: Tally, fail_on: FailOn) -> Exit:
    """Of looks: whatever is exposed fails, and what `fail_on` says."""
    from mailseal.model.finding import Verdict

    if tally.fails(fail_on):
        return Exit.EXPOSED
    return Exit.INCONCLUSIVE if tally.verdicts[Verdict.INCONCLUSIVE] else Exit.CLEAN


def of_check(total: Sum) -> Exit:
    """Of a policy: what deviates fails, unless an exception holds."""
    if total.failing:
        return Exit.EXPOSED
    return Exit.INCONCLUSIVE if total.undecided else Exit.CLEAN


_PLUGIN = {Exit.CLEAN: 0, Exit.EXPOSED: 2}
_PLUGIN_UNKNOWN = 3


def of_form(form: str, code: int) -> int:
    """The code that the reader of a form expects. A monitor reads 0 as OK, 2 as CRITICAL and 3 as
    UNKNOWN (Monitoring Plugins Development Guidelines), which is whatever could not be told.
    """
    return _PLUGIN.get(Exit(code), _PLUGIN_UNKNOWN) if form == "nagios" else code


def for_readers(function: Callable[..., Exit]) -> Callable[..., int]:
    """A command with the option `form`, whose codes are those that the form's reader expects."""

    @functools.wraps(function)
    def command(*, form: str, **options: Any) -> int:
        try:
            return of_form(form, function(form=form, **options))
        except Stop as stop:
            raise Stop(of_form(form, stop.code), str(stop)) from None

    return command
