"""`mailseal policy`: the file that says what a site asks for."""

from __future__ import annotations

import os

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.output import opened
from mailseal.cli.storeoption import store_option
from mailseal.report.style import harmless


@click.command(
    "policy",
    epilog="""\b
Examples:
  mailseal policy init                             writes mailseal.toml
  mailseal policy init --site lab -o lab.toml

The file says what is asked of the mail services: no logins in cleartext, TLS versions, how long
certificates must last, and every exception with its end, owner and reason. `init` writes one with
comments from what scans and imports have recorded: the hosts, and what is broken now as exceptions
that wait to be filled in. Keep it in Git; the command `check` works by it. docs/reference/policy.md
has every key. Exit code 2: it exists already, or cannot be written; 0: it is written.
""",
)
@click.argument("action", metavar="init", type=click.Choice(["init"]))
@click.option("--site", default="", metavar="NAME", help="Of this network alone.")
@store_option
@click.option(
    "-o",
    "--output",
    default="mailseal.toml",
    show_default=True,
    metavar="FILE",
    help="Write it there.",
)
@click.option("--overwrite", is_flag=True, help="Let -o replace a file.")
def command(action: str, site: str, store: str | None, output: str, overwrite: bool) -> Exit:
    """Write the policy of this site from what is known."""
    from mailseal.workflow import BadInput, findings, policies

    try:
        with findings.opened(store, os.environ) as there:
            for note in there.notes:
                click.echo(f"mailseal: {harmless(note)}", err=True)
            text = policies.init(there, site)
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None
    with opened(output, overwrite) as out:
        out.line(text.rstrip("\n"))
    click.echo(f"mailseal: {harmless(output)} is written: read it, then `mailseal check`", err=True)
    return Exit.CLEAN
