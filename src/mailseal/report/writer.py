"""What every form of results is: a writer that is told of the run, of each result, and of the end.

Strategy: a writer gives whole lines to a callable and keeps no result, so that a scan of a million
addresses takes no more memory than one of ten. It begins to write when it is made. Whoever makes it
hands in what `report` has no door to: the clock, the terminal's style, the pages of the rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from mailseal.model.moment import Clock
from mailseal.report.result import FailOn, ScanResult, Tally
from mailseal.report.style import PLAIN, Style


def no_page(rule: str) -> str:
    """Where the pages are not at hand."""
    return ""


class Run(NamedTuple):
    """`line` takes a line without its end. `version` is the program's. `fail_on` is what
    fails the run as an exposed endpoint does. `page` gives the documentation
    of a rule as Markdown, empty where there is none.
    """

    line: Callable[[str], None]
    version: str
    now: Clock
    style: Style = PLAIN
    fail_on: FailOn = FailOn()
    page: Callable[[str], str] = no_page


class Writer(Protocol):
    """Results in one form."""

    def add(self, found: ScanResult) -> None:
        """Writes one result."""

    def end(self, tally: Tally, code: int) -> None:
        """Writes what comes after the last. `code` is what the program will exit with."""
