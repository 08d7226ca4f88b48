"""`mailseal purge`: who logged in, deleted from the store."""

from __future__ import annotations

import os
from typing import Any

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.hostcommon import asker
from mailseal.cli.storeoption import store_option
from mailseal.report.style import harmless


@click.command(
    "purge",
    epilog="""\b
Examples:
  mailseal purge --older-than 30d                  not seen for thirty days
  mailseal purge --user alice                      one person
  mailseal purge --client 192.0.2.0/24 --before 2026-01-31
  mailseal purge --all-logins --yes                everybody, without asking

All that is given must fit. Findings stay: they hold counts and no names. What goes is overwritten.
Logins not seen for 90 days, or for as many as MAILSEAL_KEEP_LOGINS says, go by themselves. Reading
the same log again brings its logins back. Exit code 0: done; 3: another process still holds what
was deleted; 6: nobody said yes, nothing was deleted.
""",
)
@click.option("--before", default="", metavar="DAY", help="Last seen before that day.")
@click.option(
    "--older-than", default="", metavar="SPAN", help="Last seen so long ago: 30d, 12h, 4w."
)
@click.option("--user", default="", metavar="NAME", help="Of this user; case does not count.")
@click.option("--client", default="", metavar="NETWORK", help="From this network, address or name.")
@click.option("--all-logins", "everything", is_flag=True, help="All of them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
def command(store: str | None, yes: bool, **options: Any) -> Exit:
    """Delete who logged in from the store, so that nothing of it is left in its file."""
    from mailseal.workflow import BadInput, findings, purge

    try:
        which = purge.asked(purge.Request(**options))
        with findings.opened(store, os.environ) as there:
            for note in there.notes:
                click.echo(f"mailseal: {harmless(note)}", err=True)
            ask = asker(yes)
            done = purge.purge(
                there,
                which,
                lambda kinds, users: ask(f"Delete {_number(kinds)} (users: {users})"),
            )
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None
    if done.kinds is None:
        raise Stop(Exit.REFUSED, "nothing was deleted")
    click.echo(f"deleted {_number(done.kinds)}" if done.kinds else "there are no such logins")
    if not done.whole:
        raise Stop(
            Exit.INCONCLUSIVE,
            "another process has the store open and holds what was deleted: run this again when it "
            "has ended",
        )
    return Exit.CLEAN


def _number(kinds: int) -> str:
    return "1 kind of login" if kinds == 1 else f"{kinds} kinds of logins"
