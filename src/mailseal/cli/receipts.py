"""`mailseal receipts`: the record of every change of a host."""

from __future__ import annotations

import click

from mailseal.cli.exits import Exit
from mailseal.cli.hostcommon import far_option, host_errors, host_of
from mailseal.cli.output import opened, output_options


@click.command(
    "receipts",
    epilog="""\b
Examples:
  sudo mailseal receipts
  mailseal receipts --on ssh://mailhost --verify
  sudo mailseal receipts --format ndjson > changes.ndjson

With --verify, exit code 1 says that the record is broken or does not fit the journals of the runs.
Note the hash of the last line elsewhere, in the ticket: root can write the whole record anew.
""",
)
@far_option
@click.option("--verify", is_flag=True, help="Say where it was changed, or lines are missing.")
@output_options("text", "ndjson")
def command(
    target: str | None, verify: bool, form: str, output: str | None, overwrite: bool
) -> Exit:
    """List who changed what on a host, with whose approval, oldest first."""
    from mailseal.model import codec
    from mailseal.report import change as report

    with host_errors(), host_of(target) as host:
        history = host.changes()
    with opened(output, overwrite) as out:
        for line in history.lines:
            for text in report.line(line, out.style) if form == "text" else [codec.dumps(line)]:
                out.line(text)
        for text in report.judgement(history, out.style) if verify else ():
            if form == "text":
                out.line(text)
            else:
                click.echo("mailseal: " + text, err=True)
    return Exit.EXPOSED if verify and history.problems else Exit.CLEAN
