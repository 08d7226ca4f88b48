"""The table of commands, and a group that imports a command only when it is called.

Strategy: a command is one module here with a click command of the same name, and one line in
`COMMANDS`. The short help stands in the table, so `mailseal --help` imports none of them.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple

import click

from mailseal import __version__


class Entry(NamedTuple):
    """`module` in this package holds a click command called `command`."""

    module: str
    short: str


COMMANDS: dict[str, Entry] = {
    "demo": Entry("demo", "Show the whole story on this machine."),
    "scan": Entry("scan", "Look at services: who takes a password in cleartext?"),
    "import": Entry("imports", "What others report: scanners' reports, lists of sockets."),
    "logs": Entry("logs", "Who logs in in cleartext, from the logs of mail servers."),
    "local": Entry("local", "What this host exposes: socket, process, unit, config line."),
    "wire": Entry("wire", "Who logs in in cleartext, from captures or live."),
    "findings": Entry("findings", "What is known: open findings, or one with its history."),
    "watch": Entry("watch", "Look again and again, and tell of drift and recovery."),
    "report": Entry("report", "How it stands, as one HTML file or Markdown for others."),
    "purge": Entry("purge", "Delete who logged in from the store."),
    "seal": Entry("seal", "Plan, show, ask, apply and prove in one."),
    "plan": Entry("plan", "Plan the fix and show it; changes nothing."),
    "approve": Entry("approve", "Sign off exactly this plan."),
    "export": Entry("export", "Turn a plan into a runbook, a change request, a client pack."),
    "runbook": Entry("runbook", "The steps by hand, for systems that are not changed from here."),
    "rehearse": Entry("rehearse", "Try a plan on a throwaway copy of this host."),
    "apply": Entry("apply", "Apply a plan: journaled, proven, undone on any failure."),
    "verify": Entry("verify", "Prove that a service is sealed, line by line."),
    "confirm": Entry("confirm", "Keep a change that waits to be confirmed."),
    "rollback": Entry("rollback", "Undo a change, and prove that the old service is back."),
    "runs": Entry("runs", "List what was changed on a host."),
    "receipts": Entry("receipts", "Who changed what on a host, with whose approval."),
    "lint": Entry("lint", "Find faults of stunnel.conf and of the daemons' configurations."),
    "policy": Entry("policy", "Write the policy of this site from what is known."),
    "check": Entry("check", "Hold looks, what is known and configurations against the policy."),
    "facts": Entry("facts", "What this host is, for planning elsewhere."),
    "completion": Entry("completion", "Print the completion script of a shell."),
}


class Lazy(click.Group):
    """A group whose commands are the table's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command; None where there is none of that name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module("mailseal.cli." + entry.module)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in `--help`, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short) for name, entry in COMMANDS.items()])


EXIT_CODES = """\b
Exit codes:
  0    nothing exposed
  1    exposed, or a check failed
  2    the command line or an input cannot be used
  3    inconclusive: nothing exposed, something undecided
  4    a change failed and was rolled back
  5    a change failed and could not be rolled back
  6    refused, nothing changed
  70   a fault of mailseal
  130  interrupted
"""


@click.group(
    cls=Lazy,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", message="mailseal %(version)s")
def mailseal() -> None:
    """Closes the finding "cleartext logins permitted": finds, seals and proves."""
