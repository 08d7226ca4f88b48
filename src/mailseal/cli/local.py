"""`mailseal local`: what this host exposes, from the inside."""

from __future__ import annotations

import contextlib
import os

import click

from mailseal import __version__
from mailseal.cli import exits
from mailseal.cli.exits import Exit, Stop
from mailseal.cli.hostcommon import far_argument, host_errors, host_of
from mailseal.cli.lookoptions import timeout_option
from mailseal.cli.output import Output, ReaderGone, opened, output_options
from mailseal.cli.policyoption import policy_option
from mailseal.cli.storeoption import recording_options
from mailseal.report import records, text
from mailseal.report.local import Local
from mailseal.report.local import text as listeners
from mailseal.report.style import harmless


def _text(out: Output, found: Local) -> None:
    for line in listeners(found.local, out.style, found.assets):
        out.line(line)
    for result in found.results:
        for line in text.result(result, out.style):
            out.line(line)


def _lines(out: Output, found: Local) -> None:
    for what, why in found.local.unread.items():
        click.echo(harmless(f"not read: {what}: {why}"), err=True)
    for value in (*found.local.listeners, *found.results):
        out.line(records.line(value))


def _document(out: Output, found: Local) -> None:
    out.line(records.document(found))


WRITERS = {"text": _text, "json": _document, "ndjson": _lines}


@click.command(
    "local",
    epilog="""\b
Examples:
  sudo mailseal local                    mail services: socket, process, unit, config line
  sudo mailseal local --all              every listening TCP socket
  sudo mailseal local --port 2525        this port too
  sudo mailseal local --look             and look at each: who takes a password in cleartext?
  mailseal local ssh://mailhost --format ndjson

Without root it cannot see the processes of others, and says so for each listener. The package
manager is asked what it knows of updates; nothing is fetched and nothing changed on the host. What
it says is kept in the store where there is one, or --store names it. The exit code is 0 whatever is
found; with --look it is that of a scan.
""",
)
@far_argument
@click.option("--all", "every", is_flag=True, help="Every listener, not those of mail alone.")
@click.option(
    "--port",
    "ports",
    type=click.IntRange(1, 65535),
    multiple=True,
    metavar="N",
    help="This port beside those of mail.",
)
@click.option("--look", is_flag=True, help="Look at each listener, from this host.")
@timeout_option("Patience of --look for each answer.")
@click.option("--site", default="default", show_default=True, help="Name of the network.")
@policy_option
@recording_options
@output_options("text", "json", "ndjson")
def command(
    target: str | None,
    every: bool,
    ports: tuple[int, ...],
    look: bool,
    timeout: float,
    site: str,
    policy: str | None,
    store: str | None,
    no_store: bool,
    form: str,
    output: str | None,
    overwrite: bool,
) -> Exit:
    """Show what this host exposes: socket, process, unit, config line, updates.

    Listeners on this host's network, on loopback, in containers and in other network namespaces are
    told apart. What inetd, xinetd or systemd is to open on a mail port and nobody has open is shown
    as configured, not listening.
    """
    from mailseal.report.result import FailOn, ScanResult, Tally
    from mailseal.workflow import BadInput, policies
    from mailseal.workflow.assets import keeping, of_host
    from mailseal.workflow.local import local, look_at, not_far

    try:
        terms = policies.terms(policy)
        if look:
            not_far(target)
        with keeping(not no_store, store, os.environ) as kept:
            with host_errors(), host_of(target) as host:
                found = local(host, ports, every)
            software, failed = of_host(found, kept, site, terms)
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None
    if failed:
        click.echo(f"mailseal: {harmless(failed)}", err=True)
    tally = Tally()
    results: list[ScanResult] = []
    if look:
        for result in look_at(found, timeout):
            tally.add(result)
            results.append(result)
    with opened(output, overwrite) as out, contextlib.suppress(ReaderGone):
        WRITERS[form](out, Local(__version__, found, tuple(results), software))
    return Exit.USAGE if failed else exits.of_scan(tally, FailOn())
