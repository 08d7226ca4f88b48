"""What the commands that tell who logs in have in common: the end of a run.

Strategy: results are written whatever was wrong with a source, and the exit code says the worst of
it: a login in cleartext is 1 whatever else is missing, and what may be missing is never 0.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from mailseal.cli.exits import Exit
from mailseal.cli.output import Output, terminal_style
from mailseal.model.login import Meaning
from mailseal.report.logins import FORMS, Logins


def finish(seen: Logins, out: Output, form: str) -> Exit:
    """Writes the document and says what it amounts to. Raises as `Output.line` does."""
    for line in FORMS[form](seen, out.style):
        out.line(line)
    return amounts_to(seen)


def amounts_to(seen: Logins) -> Exit:
    """Its exit code."""
    meanings = {each.meaning for each in seen.logins}
    if Meaning.CLEARTEXT in meanings:
        return Exit.EXPOSED
    if Meaning.UNDECIDED in meanings or seen.partial:
        return Exit.INCONCLUSIVE
    return Exit.CLEAN


class Board:
    """The document on a terminal, drawn again as it grows; nothing elsewhere. `with` takes it away,
    so that the whole document can be written below.
    """

    INTERVAL = 0.5
    """Seconds between two drawings."""

    def __init__(self, form: str, to_file: bool) -> None:
        self._live: Any = None
        self._next = 0.0
        self.shows = form == "text" and not to_file and sys.stdout.isatty()

    def __enter__(self) -> Board:
        if self.shows:
            from rich.console import Console
            from rich.live import Live

            console = Console(highlight=False, soft_wrap=True)
            self._live = Live(
                console=console, auto_refresh=False, transient=True, vertical_overflow="ellipsis"
            )
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, seen: Callable[[], Logins]) -> None:
        """Draws it, not too often."""
        if self._live is not None and time.monotonic() >= self._next:
            from rich.text import Text

            self._next = time.monotonic() + self.INTERVAL
            lines = FORMS["text"](seen(), terminal_style(sys.stdout))
            self._live.update(Text.from_ansi("\n".join(lines)), refresh=True)
