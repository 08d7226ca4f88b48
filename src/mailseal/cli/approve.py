"""`mailseal approve`: a plan is signed off."""

from __future__ import annotations

import sys

import click

from mailseal.cli.exits import Exit
from mailseal.cli.hostcommon import host_errors
from mailseal.cli.output import Output, terminal_style
from mailseal.report.style import harmless


@click.command(
    "approve",
    epilog="""\b
Examples:
  mailseal approve plan.json --ticket CHG-1234
  mailseal approve plan.json --by "Change Advisory Board" --until 2034-03-31

The approval stands in the plan's file and is for exactly this plan, by its hash. It is a record
and no signature: who can write the file could have written it. What is wanted stands in
/etc/mailseal/change.toml of the host; `apply` refuses (exit code 6) what that does not allow.
""",
)
@click.argument("plan", metavar="PLAN")
@click.option("--ticket", default="", metavar="TICKET", help="Where the change was agreed.")
@click.option("--by", default="", metavar="NAME", help="Who said yes. Default: your account.")
@click.option(
    "--until",
    default="",
    metavar="MOMENT",
    help="From that day (0:00 UTC) or moment on it is void.",
)
def command(plan: str, ticket: str, by: str, until: str) -> Exit:
    """Sign off exactly this plan: hash, who, ticket, when, until when."""
    from mailseal.report import change as report
    from mailseal.workflow.approve import Request, approve_file

    out = Output(sys.stdout, terminal_style(sys.stdout))
    with host_errors():
        done = approve_file(plan, Request(ticket, by, until))
    for text in done.plan.headline:
        out.line(harmless(text))
    out.line("Plan for %s, SHA-256 %s" % (harmless(done.plan.host), done.approvals[-1].plan_sha))
    for each in done.approvals:
        out.line("  approved  " + report.approval(each))
    return Exit.CLEAN
