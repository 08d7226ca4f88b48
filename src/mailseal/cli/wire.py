"""`mailseal wire`: who logs in in cleartext, from captures or live.

Strategy: as the other commands, only words in and lines out. On a terminal the live table is drawn
again and again and the last one stays; where lines are read by a program (ndjson) each login goes
out as it is seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from mailseal.cli.exits import Exit
from mailseal.cli.loginscommon import Teller, size_of, stoppable, telling, telling_options
from mailseal.cli.output import ReaderGone

if TYPE_CHECKING:
    from mailseal.model.login import JudgedLogin
    from mailseal.workflow.wire import Live, Request


@click.command(
    "wire",
    epilog="""\b
Examples:
  mailseal wire mail.pcap                          who logged in, and how
  mailseal wire ring.pcap0 ring.pcap1 ring.pcap2   files that follow one another
  ssh gw tcpdump -w - 'tcp port 110' | mailseal wire -
  mailseal wire --any-port --format csv all.pcapng.gz
  sudo mailseal wire --interface eth0 --seconds 3600

Reads pcap and pcapng, also compressed (gzip, xz, zstd), of Ethernet, VLANs, Linux "any", raw IP and
loopback. Looks at the ports of mail unless told otherwise. A secret is never kept or shown. What
began inside TLS, or went on in it after STARTTLS, is counted and cannot be read. Exit code 1 says
that somebody logs in in cleartext, 3 that nobody was seen to but something could not be told.
""",
)
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("--interface", "-i", metavar="NAME", help="Listen there instead; needs root.")
@click.option(
    "--seconds", type=click.FloatRange(0.1), metavar="N", help="Listening: end after so long."
)
@click.option(
    "--packets", type=click.IntRange(1), metavar="N", help="Listening: end after so many of mail."
)
@click.option("--any-port", is_flag=True, help="Find mail at whatever port; slower.")
@click.option("--ports", metavar="N,N", default="", help="Ports of mail beside the usual ones.")
@click.option("--site", default="default", show_default=True, help="Name of the network.")
@telling_options
def command(
    files: tuple[str, ...],
    interface: str | None,
    seconds: float | None,
    packets: int | None,
    any_port: bool,
    ports: str,
    site: str,
    **options: Any,
) -> Exit:
    """Who logs in in cleartext, from captures or live.

    FILE is a capture; "-" reads one from stdin.
    """
    from mailseal.workflow.wire import Live, Request

    if bool(files) == bool(interface):
        raise click.UsageError("give captures, or --interface, and not both")
    if not interface and (seconds or packets):
        raise click.UsageError("--seconds and --packets go with --interface")
    request = Request(_ports(ports), any_port, site)
    with telling(**options) as teller:
        try:
            if interface:
                with Live(interface, request) as live:
                    return _live(live, teller, seconds, packets)
            return _files(files, request, teller)
        except ReaderGone:
            return Exit.INCONCLUSIVE


def _ports(words: str) -> tuple[int, ...]:
    try:
        ports = tuple(int(word) for word in words.split(",") if word.strip())
    except ValueError:
        ports = (0,)
    if not all(0 < port < 65536 for port in ports):
        raise click.BadParameter(f"{words!r}: write numbers, as in 1109,2110", param_hint="--ports")
    return ports


def _files(files: tuple[str, ...], request: Request, teller: Teller) -> Exit:
    from mailseal.workflow.wire import read

    words = size_of(files)
    try:
        seen = read(files, request, lambda *far: teller.progress.show(words(*far)))
    finally:
        teller.progress.clear()
    return teller.finish(seen)


def _live(live: Live, teller: Teller, seconds: float | None, packets: int | None) -> Exit:
    end = time.monotonic() + seconds if seconds else None
    with stoppable() as stopped, teller.board():
        for each in _while(live, stopped, end, packets):
            if each is not None:
                teller.one(each)
            heard = live.heard
            words = f"{heard.packets} packets, {heard.dropped} dropped; Ctrl-C ends"
            teller.show(live.document, words)
    return teller.finish(live.document(), told=True)


def _while(
    live: Live, stopped: Callable[[], bool], end: float | None, packets: int | None
) -> Iterator[JudgedLogin | None]:
    """Logins as they are seen, None at times, until the end and a bit: what came is read out."""
    from mailseal.workflow.wire import Ended

    asked = False
    try:
        while True:
            over = stopped() or (end is not None and time.monotonic() >= end)
            over = over or (packets is not None and live.heard.packets >= packets)
            if over and not asked:
                asked = True
                live.stop()
            yield from live.logins(0.2)
            yield None
    except Ended:
        return
