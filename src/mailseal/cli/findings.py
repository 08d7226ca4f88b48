"""`mailseal findings`: what is known, and one finding with its history."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from mailseal import __version__
from mailseal.cli.exits import Exit, Stop
from mailseal.cli.output import ReaderGone, opened, output_options
from mailseal.cli.policyoption import policy_option
from mailseal.cli.redactoption import redaction, redaction_options
from mailseal.cli.storeoption import store_option
from mailseal.model.finding import Severity
from mailseal.report.style import harmless


@click.command(
    "findings",
    epilog="""\b
Examples:
  mailseal findings                                what is open
  mailseal findings --network 192.0.2.0/24 --severity medium
  mailseal findings --fixed-since 2026-01-31       what was fixed since then
  mailseal findings --all --format ndjson > findings.ndjson
  mailseal findings 3f2a                           one, with its history, evidence and users
  mailseal findings --logins --redact-users        who logs in, for a report that leaves the house
  mailseal findings --assets                       software: who mends it, which updates wait
  mailseal findings 3f2a --reviewed                its endpoint was looked over today, by you

Sends no packet: it tells what scans and imports have recorded. Exit code 1 says that something
exposed is open, 3 that nothing is but an endpoint is undecided, or that nothing is known
at all, 2 that there is no such finding or no store, 0 that nothing exposed is open. USERS is how
many logged in in cleartext at the endpoint in the last 30 days; - where nobody looked (the commands
`wire` and `logs` do). With --logins, 1 says that somebody logs in in cleartext. With --assets, 1
says that an update is overdue or that nobody mends a product any more, 3 that it could not be told.
""",
)
@click.argument("finding", required=False, metavar="[ID]")
@click.option("--all", "fixed", is_flag=True, help="Fixed ones too.")
@click.option("--fixed-since", default="", metavar="DAY", help="Those fixed since, and no others.")
@click.option("--site", default="", metavar="NAME", help="Of this network alone.")
@click.option("--rule", "rules", multiple=True, metavar="ID", help="Of this rule.")
@click.option(
    "--severity",
    type=click.Choice([severity.value for severity in Severity]),
    default=Severity.INFO.value,
    metavar="SEVERITY",
    help="From info, low, medium, high or critical upwards.",
)
@click.option("--protocol", default="", metavar="NAME", help="Of pop2, pop3, imap, ...")
@click.option(
    "--host",
    "--network",
    "where",
    default="",
    metavar="WHERE",
    help="An address, a network or a name that was scanned.",
)
@click.option("--logins", is_flag=True, help="Who logs in, in place of findings.")
@click.option("--assets", is_flag=True, help="Software and updates, in place of findings.")
@click.option("--reviewed", is_flag=True, help="Note that the endpoint of ID was looked over.")
@policy_option
@redaction_options
@store_option
@output_options("text", "json", "ndjson")
def command(
    finding: str | None,
    store: str | None,
    form: str,
    output: str | None,
    overwrite: bool,
    severity: str,
    logins: bool,
    assets: bool,
    reviewed: bool,
    policy: str | None,
    redact_users: bool,
    redact_clients: bool,
    **options: Any,
) -> Exit:
    """What is known: open findings, or the one that begins with ID."""
    from mailseal.report import assets as assetlist
    from mailseal.report import records
    from mailseal.report.assets import AssetSum
    from mailseal.report.known import WRITERS, Run, Sum
    from mailseal.report.known import history as shown
    from mailseal.report.logins import FORMS
    from mailseal.workflow import BadInput, findings, policies

    request = findings.Request(severity=Severity(severity), **options)
    redact = redaction(redact_users, redact_clients)
    if finding is not None and (logins or assets):
        what = "--logins lists everybody" if logins else "--assets lists every endpoint"
        raise Stop(Exit.USAGE, "%s: leave %s out, or the option" % (what, finding))
    if logins and assets:
        raise Stop(Exit.USAGE, "--logins and --assets are two lists: ask for one of them")
    if reviewed and finding is None:
        raise Stop(Exit.USAGE, "--reviewed is of one finding: name its id")
    live = output is None and sys.stdout.isatty()
    try:
        terms = policies.terms(policy)
        with findings.opened(store, os.environ) as there:
            for note in there.notes:
                click.echo(f"mailseal: {harmless(note)}", err=True)
            if reviewed:
                findings.review(there, finding or "")
            total: Sum | AssetSum
            if assets:
                total, software = findings.assets(there, request, terms)
                with opened(output, overwrite) as out:
                    for line in assetlist.FORMS[form](software, total, out.style):
                        out.line(line)
            elif logins:
                total, seen = findings.logins(there, request)
                with opened(output, overwrite) as out:
                    for line in FORMS[form](redact.document(seen), out.style):
                        out.line(line)
            elif finding is None:
                total, results = findings.listed(there, request)
                with opened(output, overwrite) as out:
                    writer = WRITERS[form](Run(out.line, __version__, out.style, live))
                    for known in results:
                        writer.add(known)
                    writer.end(total)
            else:
                history, total = findings.shown(there, finding, terms)
                with opened(output, overwrite) as out:
                    hidden = redact.history(history)
                    text = shown(hidden, out.style)
                    for line in text if form == "text" else [records.line(hidden)]:
                        out.line(line)
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None
    except ReaderGone:
        return Exit.EXPOSED if total.exposed else Exit.INCONCLUSIVE
    if total.exposed:
        return Exit.EXPOSED
    return Exit.INCONCLUSIVE if total.doubtful else Exit.CLEAN
