"""`mailseal check`: the gate for pipelines, against the policy file."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import click

from mailseal import __version__
from mailseal.cli.exits import Exit, Stop, of_check
from mailseal.cli.lookoptions import timeout_option
from mailseal.cli.output import ReaderGone, opened, output_options, page_of
from mailseal.cli.storeoption import recording_options
from mailseal.report.checkforms import FORMS, MONITORING
from mailseal.report.style import harmless

if TYPE_CHECKING:
    from mailseal.workflow.check import Request


@click.command(
    "check",
    epilog="""\b
Examples:
  mailseal check                                   looks at the policy's targets
  mailseal check --policy lab.toml mail.example    looks at this host
  mailseal check --stored                          what is known; sends no packet
  mailseal check --config roles --config playbooks --format sarif -o check.sarif
  mailseal check --stored --format markdown -o comment.md
  mailseal check --stored --format ndjson -o baseline.ndjson     to be kept in Git, and then
  mailseal check --baseline baseline.ndjson        what is new since

A deviation is new, unchanged, fixed, exempt (an exception holds), expired (its exception is over)
or undecided (it could not be told). Before is what the store knew when the looks began, or with
--stored a day ago. Exit code 1: something deviates and no exception holds; 3: nothing does, but
something is undecided, or there was nothing to check; 2: the policy or an input cannot be used; 0:
the policy is kept. With --format nagios alone the codes are those of monitoring plugins: 0 kept, 1
broken at most medium, 2 broken high or critical, 3 undecided, or a policy that cannot be used.
""",
)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option(
    "--policy", default="mailseal.toml", show_default=True, metavar="FILE", help="The policy."
)
@click.option("--stored", is_flag=True, help="Check what is known, in place of looking.")
@click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="FILE|DIR",
    help="Check configuration files; without a TARGET nothing else.",
)
@click.option("--baseline", default="", metavar="FILE", help="What deviated before (NDJSON).")
@click.option(
    "--since",
    default="",
    metavar="TIME",
    help="Before is what the store knew then (1d, 4w, 2026-01-31).",
)
@click.option("--site", default="", metavar="NAME", help="Of this network alone.")
@click.option("--ports", default="", metavar="PORTS", help="Where a target names none.")
@click.option("--ca", "authority", metavar="FILE", default="", help="Trust these CAs too (PEM).")
@timeout_option()
@recording_options
@output_options(*FORMS)
def command(
    store: str | None,
    no_store: bool,
    form: str,
    output: str | None,
    overwrite: bool,
    **options: Any,
) -> Exit | int:
    """Hold looks, what is known and configurations against the policy."""
    from mailseal.report.check import UNKNOWN, plugin
    from mailseal.workflow import BadInput
    from mailseal.workflow.check import Request

    try:
        with contextlib.ExitStack() as stack:
            request = Request(**options)
            return _check(request, store, no_store, form, output, overwrite, stack)
    except (BadInput, Stop) as error:
        if form == MONITORING:
            click.echo(plugin(UNKNOWN, str(error)))
            return UNKNOWN
        raise Stop(Exit.USAGE, str(error)) from None


def _check(
    request: Request,
    option: str | None,
    no_store: bool,
    form: str,
    output: str | None,
    overwrite: bool,
    stack: contextlib.ExitStack,
) -> Exit | int:
    from mailseal.report.check import UNKNOWN, Monitoring, Sum
    from mailseal.report.writer import Run
    from mailseal.workflow import check, findings, policies
    from mailseal.workflow.recording import recorder

    if no_store and request.stored:
        raise Stop(Exit.USAGE, "--stored is what the store knows: leave --no-store out")
    total = Sum(policies.load(request.policy))
    records = check.looks(request) and not no_store
    memory = stack.enter_context(recorder(records, option, os.environ, _tell))
    known = None
    if records or request.stored:
        known = stack.enter_context(findings.opened(option, os.environ))
    found = stack.enter_context(
        contextlib.closing(check.check(request, total, memory, known, _tell))
    )
    try:
        out = stack.enter_context(opened(output, overwrite))
        run = Run(out.line, __version__, time.time, out.style, page=_page)
        writer = FORMS[form](run, total)
        for each in found:
            writer.add(each)
        code = of_check(total)
        writer.end(code)
    except ReaderGone:
        return of_check(total) or Exit.INCONCLUSIVE
    if isinstance(writer, Monitoring):
        return UNKNOWN if memory.failed else writer.code
    return Exit.USAGE if memory.failed else code


def _tell(words: str) -> None:
    click.echo(f"mailseal: {harmless(words)}", err=True)


def _page(rule: str) -> str:
    """The documentation of a rule for services or for files."""
    return page_of("rules")(rule) or page_of("lint")(rule)
