"""`mailseal report`: how it stands, as a file for others."""

from __future__ import annotations

import os
from typing import Any

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.output import ReaderGone, opened, output_options
from mailseal.cli.policyoption import policy_option
from mailseal.cli.redactoption import redaction, redaction_options
from mailseal.cli.storeoption import store_option
from mailseal.report.style import harmless


@click.command(
    "report",
    epilog="""\b
Examples:
  mailseal report -o report.html
  mailseal report --since 2026-01-01 --site lab -o lab.html
  mailseal report --redact-users --redact-clients -o for-the-auditor.html
  mailseal receipts --on ssh://mailhost --format ndjson > changes.ndjson
  mailseal report --receipts changes.ndjson --format markdown -o report.md

Sends no packet: it tells what scans, imports, captures and logs have recorded. The HTML file needs
no other file, runs no script and can reach nothing. Exit code 0 says that the report was written,
whatever it says; 2 that there is no store, or an input cannot be used.
""",
)
@click.option("--site", default="", metavar="NAME", help="Of this network alone.")
@click.option(
    "--since",
    default="90d",
    show_default=True,
    metavar="TIME",
    help="What was fixed and who logged in since (30d, 4w, 2026-01-31).",
)
@click.option(
    "--receipts",
    default="",
    metavar="FILE",
    help="The record of changes too, as `receipts --format ndjson` gives it; - is stdin.",
)
@policy_option
@redaction_options
@store_option
@output_options("html", "markdown")
def command(
    store: str | None,
    policy: str | None,
    form: str,
    output: str | None,
    overwrite: bool,
    redact_users: bool,
    redact_clients: bool,
    **options: Any,
) -> Exit:
    """How it stands: exposed, fixed, undecided, who uses cleartext."""
    from mailseal.report import statushtml, statusmarkdown
    from mailseal.workflow import BadInput, findings, policies, report

    forms = {"html": statushtml.lines, "markdown": statusmarkdown.lines}
    redact = redaction(redact_users, redact_clients)
    try:
        given = None if policy is None else policies.load(policy)
        with findings.opened(store, os.environ) as there:
            for note in there.notes:
                click.echo(f"mailseal: {harmless(note)}", err=True)
            made = report.report(there, report.Request(**options), redact, policy=given)
        with opened(output, overwrite) as out:
            for line in forms[form](made):
                out.line(line)
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None
    except ReaderGone:
        pass
    return Exit.CLEAN
