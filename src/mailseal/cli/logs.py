"""`mailseal logs`: who logs in in cleartext, from the logs of mail servers.

Strategy: as the other commands, only words in and lines out. A log that is followed is a table that
is drawn again and again on a terminal; where lines are read by a program (ndjson) each login goes
out as it is seen.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.output import Output, Progress, ReaderGone, opened, output_options

if TYPE_CHECKING:
    from mailseal.workflow.logs import Request

DIALECTS = (
    *("uw-imap", "dovecot", "cyrus", "courier", "postfix", "exim", "popa3d", "qpopper", "stunnel"),
)
"""Said here again, so that help and completion need not load the records of the daemons."""


@click.command(
    "logs",
    epilog="""\b
Examples:
  mailseal logs /var/log/mail.log*                 all that rotation has kept, in order
  mailseal logs /var/log/mail.log /var/log/stunnel4/stunnel.log
  journalctl -o export -u dovecot | mailseal logs -
  mailseal logs --host 192.0.2.7 --zone UTC --since 2026-01-01 exim_mainlog.gz
  mailseal logs --follow /var/log/mail.log         as they come; Ctrl-C ends

Reads syslog (RFC 3164, RFC 5424, RFC 3339), what journalctl prints (-o short, short-iso, json,
export), Exim's and stunnel's own files, also compressed (gzip, xz, zstd). Which daemon wrote a line
shows by itself; --dialect spares the search for the others. Exit code 1 says that somebody logs in
in cleartext, 3 that nobody was seen to but something could not be told, 2 that nothing could be
read.
""",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--dialect",
    "dialects",
    type=click.Choice(DIALECTS),
    multiple=True,
    metavar="NAME",
    help="Only lines of this daemon: " + ", ".join(DIALECTS) + ".",
)
@click.option("--follow", is_flag=True, help="Read on as the files grow and are rotated.")
@click.option("--since", default="", metavar="MOMENT", help="From this day or moment on.")
@click.option("--until", default="", metavar="MOMENT", help="Before this day or moment.")
@click.option(
    "--zone",
    default="",
    metavar="ZONE",
    help="Of moments that name none: +02:00, UTC, Europe/Berlin. Default: this machine's.",
)
@click.option("--host", default="", metavar="ADDRESS", help="The server's, where a log has none.")
@output_options("text", "json", "ndjson", "csv")
def command(
    files: tuple[str, ...],
    follow: bool,
    form: str,
    output: str | None,
    overwrite: bool,
    **options: Any,
) -> Exit:
    """Who logs in in cleartext, from the logs of mail servers.

    FILE is a log; "-" reads one from stdin. Files that rotation made of one log are read as one.
    """
    from mailseal.workflow import BadInput
    from mailseal.workflow.logs import Request

    request = Request(files, **options)
    try:
        with opened(output, overwrite) as out:
            if follow:
                return _followed(request, out, form, output is not None)
            return _files(request, out, form)
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None
    except ReaderGone:
        return Exit.INCONCLUSIVE


def _files(request: Request, out: Output, form: str) -> Exit:
    from mailseal.cli.loginscommon import finish
    from mailseal.workflow.logs import read

    progress = Progress(time.monotonic)
    try:
        seen = read(request, _shown(progress, request.paths))
    finally:
        progress.clear()
    return finish(seen, out, form)


def _shown(progress: Progress, paths: tuple[str, ...]) -> Callable[[int, int], None]:
    total = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))

    def show(size: int, logins: int) -> None:
        # Of compressed files more comes out than lies there.
        of = f" of {total / 1e6:.0f}" if size <= total else ""
        progress.show(f"{size / 1e6:.0f}{of} MB, {logins} kinds of logins")

    return show


def _followed(request: Request, out: Output, form: str, to_file: bool) -> Exit:
    from mailseal.cli.loginscommon import Board, amounts_to, finish
    from mailseal.report import logins as report
    from mailseal.report import records
    from mailseal.workflow.logs import Following

    progress = Progress(time.monotonic)
    show = _shown(progress, ())
    with Following(request) as logs, _stoppable() as stopped, Board(form, to_file) as board:
        for new in logs.sightings(stopped, (lambda *_: None) if board.shows else show):
            if form == "ndjson":
                progress.clear()
                for each in new:
                    out.line(records.line(each))
            board.show(logs.seen.document)
    progress.clear()
    seen = logs.seen.document()
    if form != "ndjson":
        return finish(seen, out, form)
    *_, last = report.ndjson(seen)
    out.line(last)
    return amounts_to(seen)


@contextlib.contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
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
