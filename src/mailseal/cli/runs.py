"""`mailseal runs`: what was changed on a host."""

from __future__ import annotations

import click

from mailseal.cli.exits import Exit
from mailseal.cli.hostcommon import far_option, host_errors, host_of
from mailseal.cli.output import opened, output_options


@click.command("runs", epilog="\b\nExample:\n  sudo mailseal runs\n")
@far_option
@output_options("text", "ndjson")
def command(target: str | None, form: str, output: str | None, overwrite: bool) -> Exit:
    """List what mailseal changed on a host, oldest first."""
    from mailseal.model import codec
    from mailseal.report import plan as report

    with host_errors(), host_of(target) as host:
        receipts = host.receipts()
    with opened(output, overwrite) as out:
        for receipt in receipts:
            lines = report.receipt(receipt, out.style)
            for line in lines if form == "text" else [codec.dumps(receipt)]:
                out.line(line)
    return Exit.CLEAN
