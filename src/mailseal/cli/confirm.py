"""`mailseal confirm`: a change that waits is kept."""

from __future__ import annotations

import sys

import click

from mailseal.cli.exits import Exit
from mailseal.cli.hostcommon import exit_of, far_option, host_errors, host_of
from mailseal.cli.output import Output, terminal_style


@click.command("confirm", epilog="\b\nExample:\n  sudo mailseal confirm 000002-20261120T232859\n")
@click.argument("run", metavar="RUN")
@far_option
def command(run: str, target: str | None) -> Exit:
    """Keep a change that waits to be confirmed."""
    from mailseal.report import plan as report

    out = Output(sys.stdout, terminal_style(sys.stdout))
    with host_errors(), host_of(target) as host:
        receipt = host.confirm(run, "the operator", ())
    for line in report.receipt(receipt, out.style):
        out.line(line)
    return exit_of(receipt)
