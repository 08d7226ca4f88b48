"""`mailseal rollback`: a change is taken back."""

from __future__ import annotations

import sys

import click

from mailseal.cli.exits import Exit
from mailseal.cli.hostcommon import far_option, host_errors, host_of, tell
from mailseal.cli.output import Output, terminal_style


@click.command(
    "rollback",
    epilog="""\b
Examples:
  sudo mailseal rollback                           the last change of this host
  mailseal rollback --on ssh://mailhost
  sudo mailseal rollback 000002-20261120T232859 --force

Where somebody changed a file since, nothing is undone (exit code 6); --force puts back the bytes
from before all the same, and keeps a copy of the change.
""",
)
@click.argument("run", default="last", metavar="[RUN]")
@far_option
@click.option("--force", is_flag=True, help="Also put back files that were changed since.")
def command(run: str, target: str | None, force: bool) -> Exit:
    """Undo a change, and prove that the old service is back."""
    from mailseal.model.plan import RunState
    from mailseal.report import plan as report

    out = Output(sys.stdout, terminal_style(sys.stdout))
    with host_errors(), host_of(target) as host:
        receipt = host.rollback(run, force, tell)
    for line in report.receipt(receipt, out.style):
        out.line(line)
    return Exit.CLEAN if receipt.state is RunState.UNDONE else Exit.UNDO_FAILED
