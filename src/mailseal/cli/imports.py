"""`mailseal import`: what scanners and lists of sockets report, and what of it is so.

Strategy: as `scan`, whose writers it uses; options become one `workflow.imports.Request`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mailseal.cli import exits
from mailseal.cli.exits import Exit, Stop
from mailseal.cli.lookoptions import timeout_option
from mailseal.cli.output import Progress, ReaderGone, opened, output_options, writer
from mailseal.cli.scan import VANTAGES
from mailseal.cli.storeoption import recording_options
from mailseal.model.finding import Severity
from mailseal.model.look import Vantage
from mailseal.report.forms import FORMS
from mailseal.report.result import FailOn, Recheck, Tally
from mailseal.report.style import harmless

if TYPE_CHECKING:
    from mailseal.workflow.imports import Request

FORMATS = ("nessus", "nmap", "openvas", "sockets")
"""Said here again, so that help and completion need not load the readers."""


@click.command(
    "import",
    epilog="""\b
Examples:
  mailseal import scan.nessus                      what the scanner found, as findings
  mailseal import --verify scan.nessus gvm.xml     look at each endpoint again, from here
  nmap -oX - -sV -p 109,110 192.0.2.0/24 | mailseal import -
  ss -ltn | mailseal import --host 192.0.2.7 -     what listens on that host
  mailseal import --verify --format ndjson scan.nessus

Reads Nessus (.nessus), OpenVAS and GVM (XML), nmap (-oX), netstat -an and ss -ltn of any host. A
scanner's word alone is the grade `reported`; --verify says `confirmed`, `not confirmed` (the look
could not tell) or `fixed`. Exit code 1 says that something is exposed, be it only by report, 3 that
nothing is but something is undecided, 2 that a file could not be read to its end.
""",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--from",
    "source",
    type=click.Choice(FORMATS),
    help="The format. Default: recognised by the content.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="ADDRESS",
    help="The host a list of sockets comes from, for what listens on all its addresses.",
)
@click.option(
    "--ports",
    metavar="N,N",
    help="Ports of mail services in nmap's and in lists of sockets. "
    " [default: 109,110,143,25,465,587,993,995,4190]",
)
@click.option("--verify", is_flag=True, help="Look at each endpoint again.")
@click.option("--ca", metavar="FILE", default="", help="Looking: trust these CAs too (PEM).")
@timeout_option("Looking: patience for each answer.")
@click.option("--vantage", type=click.Choice(VANTAGES), help="Looking: what the look counts as.")
@click.option("--site", default="default", show_default=True, help="Name of the network.")
@click.option(
    "--fail-on",
    type=click.Choice([severity.value for severity in Severity]),
    metavar="SEVERITY",
    help="Exit 1 for findings from info, low, medium, high or critical upwards, too.",
)
@recording_options
@output_options(*FORMS)
@exits.for_readers
def command(
    form: str,
    output: str | None,
    overwrite: bool,
    fail_on: str | None,
    store: str | None,
    no_store: bool,
    **options: Any,
) -> Exit:
    """What others report: scanners' reports, lists of sockets.

    FILE is a report of any of the known formats; "-" reads one from stdin.
    """
    from mailseal.workflow import BadInput
    from mailseal.workflow.imports import run
    from mailseal.workflow.recording import recorder

    notes: list[str] = []
    stack = contextlib.ExitStack()
    try:
        memory = stack.enter_context(recorder(not no_store, store, os.environ, notes.append))
        results = memory.recorded(run(_request(**options), notes.append))
    except BadInput as error:
        stack.close()
        raise Stop(Exit.USAGE, str(error)) from None
    tally, progress = Tally(), Progress(time.monotonic)
    again: Counter[Recheck] = Counter()
    failing = FailOn(Severity(fail_on) if fail_on else None)
    fault, code = "", Exit.CLEAN
    with stack, contextlib.closing(results), opened(output, overwrite, streamed=True) as out:
        try:
            lines = writer(form, out, failing)
            progress.show("reading")
            try:
                for result in results:
                    tally.add(result)
                    if result.recheck is not None:
                        again[result.recheck] += 1
                    progress.clear()
                    lines.add(result)
                    progress.show(f"{tally.total} endpoints")
            except BadInput as error:
                # What stood before the fault is as good as ever.
                fault = str(error)
            progress.clear()
            code = Exit.USAGE if fault else exits.of_scan(tally, failing)
            lines.end(tally, code)
        except ReaderGone:
            # Not all was read, and nobody read all there was.
            code = exits.of_scan(tally, failing) or Exit.INCONCLUSIVE
        finally:
            progress.clear()
    if again:
        notes.append(
            "looked again: " + ", ".join(f"{again[word]} {word.value}" for word in Recheck)
        )
    for note in notes:
        click.echo(f"mailseal: {harmless(note)}", err=True)
    if fault:
        raise Stop(Exit.USAGE, fault)
    return Exit.USAGE if memory.failed else code


def _request(
    *,
    files: tuple[str, ...],
    source: str | None,
    hosts: tuple[str, ...],
    ports: str | None,
    verify: bool,
    ca: str,
    timeout: float,
    vantage: str | None,
    site: str,
) -> Request:
    """The options as the workflow wants them. Raises BadInput."""
    from mailseal.workflow import scan
    from mailseal.workflow.imports import Request

    looks = scan.Request(
        words=(),
        authority=ca,
        timeout=timeout,
        vantage=None if vantage is None else Vantage(vantage),
    )
    plain = Request(files, source or "", hosts=hosts, site=site, verify=looks if verify else None)
    return plain if ports is None else replace(plain, ports=scan.ports_of(ports))
