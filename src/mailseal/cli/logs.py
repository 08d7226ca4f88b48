"""`mailseal logs`: who logs in in cleartext, from the logs of mail servers.

Strategy: as the other commands, only words in and lines out. A log that is followed is a table that
is drawn again and again on a terminal; where lines are read by a program (ndjson) each login goes
out as it is seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mailseal.cli.exits import Exit
from mailseal.cli.loginscommon import Teller, size_of, stoppable, telling, telling_options
from mailseal.cli.output import ReaderGone

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
@telling_options
def command(
    files: tuple[str, ...],
    dialects: tuple[str, ...],
    follow: bool,
    since: str,
    until: str,
    zone: str,
    host: str,
    **options: Any,
) -> Exit:
    """Who logs in in cleartext, from the logs of mail servers.

    FILE is a log; "-" reads one from stdin. Files that rotation made of one log are read as one.
    """
    from mailseal.workflow.logs import Request

    request = Request(files, dialects=dialects, since=since, until=until, zone=zone, host=host)
    with telling(**options) as teller:
        try:
            return (_followed if follow else _files)(request, teller)
        except ReaderGone:
            return Exit.INCONCLUSIVE


def _files(request: Request, teller: Teller) -> Exit:
    from mailseal.workflow.logs import read

    words = size_of(request.paths)
    try:
        seen = read(request, lambda *far: teller.progress.show(words(*far)))
    finally:
        teller.progress.clear()
    return teller.finish(seen)


def _followed(request: Request, teller: Teller) -> Exit:
    from mailseal.workflow.logs import Following

    words = size_of(())
    with Following(request) as logs, stoppable() as stopped, teller.board():

        def show(size: int, kinds: int) -> None:
            teller.show(logs.seen.document, words(size, kinds))

        for new in logs.sightings(stopped, show):
            for each in new:
                teller.one(each)
    return teller.finish(logs.seen.document(), told=True)
