"""What the commands that tell who logs in have in common: where it goes, and the end of a run.

Strategy: a `Teller` stands between what was seen and whoever is told: the store gets the names, the
reader gets what may be shown. Results are written whatever was wrong with a source, and the exit
code says the worst of it: a login in cleartext is 1 whatever else is missing, and what may be
missing is never 0.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.output import (
    Output,
    Progress,
    opened,
    output_options,
    terminal_style,
)
from mailseal.cli.redactoption import redaction, redaction_options
from mailseal.cli.storeoption import recording_options
from mailseal.model.login import JudgedLogin, Meaning, TlsFailure
from mailseal.report.logins import FORMS, Logins

if TYPE_CHECKING:
    from mailseal.workflow.recording import Recorder
    from mailseal.workflow.redact import Redaction

F = TypeVar("F", bound=Callable[..., Any])


def telling_options(function: F) -> F:
    """The options of `telling`."""
    return recording_options(redaction_options(output_options(*FORMS)(function)))


@contextlib.contextmanager
def telling(
    form: str,
    output: str | None,
    overwrite: bool,
    store: str | None,
    no_store: bool,
    redact_users: bool,
    redact_clients: bool,
) -> Iterator[Teller]:
    """A Teller as the options ask for it. Raises Stop for what is wrong with one of them."""
    from mailseal.workflow import BadInput
    from mailseal.workflow.recording import recorder

    hidden = redaction(redact_users, redact_clients)
    notes: list[str] = []
    try:
        with contextlib.ExitStack() as stack:
            memory = stack.enter_context(recorder(not no_store, store, os.environ, notes.append))
            out = stack.enter_context(opened(output, overwrite, streamed=True))
            yield Teller(out, form, output is not None, hidden, memory)
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None
    finally:
        for note in notes:
            click.echo(f"mailseal: {note}", err=True)


class Teller:
    """Tells what was seen: as it comes (`one`, `show`), and at the end (`finish`)."""

    INTERVAL = 0.5
    """Seconds between two drawings on a terminal."""

    def __init__(
        self, out: Output, form: str, to_file: bool, hidden: Redaction, memory: Recorder
    ) -> None:
        self._out = out
        self._form = form
        self._hidden = hidden
        self._memory = memory
        self._draws = form == "text" and not to_file and sys.stdout.isatty()
        self._board: Any = None
        self._next = 0.0
        self.progress = Progress(time.monotonic)

    def one(self, seen: JudgedLogin | TlsFailure) -> None:
        """What was seen, as it is seen: for programs that read lines."""
        if self._form == "ndjson":
            from mailseal.report import records

            self.progress.clear()
            if isinstance(seen, TlsFailure):
                self._out.line(records.line(self._hidden.failure(seen)))
            else:
                login = self._hidden.login(seen.login)
                self._out.line(records.line(replace(seen, login=login)))

    @contextlib.contextmanager
    def board(self) -> Iterator[None]:
        """While it lasts, what is given to `show` is drawn over and over on a terminal; then it
        goes, so that the whole can be written in its place.
        """
        if not self._draws:
            yield
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(highlight=False, soft_wrap=True)
        with Live(
            console=console, auto_refresh=False, transient=True, vertical_overflow="ellipsis"
        ) as self._board:
            yield
        self._board = None

    def show(self, seen: Callable[[], Logins], words: str) -> None:
        """Draws all that was seen so far, or elsewhere on a terminal the words; not too often."""
        if self._board is None:
            self.progress.show(words)
        elif time.monotonic() >= self._next:
            from rich.text import Text

            self._next = time.monotonic() + self.INTERVAL
            shown = self._hidden.document(seen())
            lines = FORMS["text"](shown, terminal_style(sys.stdout))
            self._board.update(Text.from_ansi("\n".join(lines)), refresh=True)

    def finish(self, seen: Logins, told: bool = False) -> Exit:
        """Records and writes the document; what it amounts to. `told`: each login was given to
        `one`. Raises as `Output.line` does.
        """
        self.progress.clear()
        few = ", ".join(seen.sources[:3]) + (", ..." if len(seen.sources) > 3 else "")
        self._memory.take_logins([each.login for each in seen.logins], few)
        self._memory.finish()
        shown = self._hidden.document(seen)
        if told and self._form == "ndjson":
            shown = replace(shown, logins=(), failures=())
        for line in FORMS[self._form](shown, self._out.style):
            self._out.line(line)
        return Exit.USAGE if self._memory.failed else amounts_to(seen)


def amounts_to(seen: Logins) -> Exit:
    """Its exit code."""
    meanings = {each.meaning for each in seen.logins}
    if Meaning.CLEARTEXT in meanings:
        return Exit.EXPOSED
    if Meaning.UNDECIDED in meanings or seen.partial:
        return Exit.INCONCLUSIVE
    return Exit.CLEAN


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Whether somebody asked for the end: what was seen until then is the result."""
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        asked = True

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def size_of(paths: tuple[str, ...]) -> Callable[[int, int], str]:
    """Words on the way through files: from octets read and kinds of logins found."""
    total = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))

    def words(size: int, logins: int) -> str:
        # Of compressed files more comes out than lies there.
        of = f" of {total / 1e6:.0f}" if size <= total else ""
        return f"{size / 1e6:.0f}{of} MB, {logins} kinds of logins"

    return words
