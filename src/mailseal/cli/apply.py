"""`mailseal apply`: the transaction, for a plan that was made and read before."""

from __future__ import annotations

import sys

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.hostcommon import (
    asker,
    change_options,
    content,
    exit_of,
    far_option,
    host_errors,
    host_of,
    tell,
)
from mailseal.cli.output import Output, terminal_style
from mailseal.report.style import harmless


@click.command(
    "apply",
    epilog="""\b
Examples:
  sudo mailseal apply plan.json                    on the host that the plan is for
  mailseal apply plan.json --on ssh://mailhost     there, proven from here

The plan must be for this host, whole (no draft), unedited, and the host unchanged since. Where
/etc/mailseal/change.toml asks for approvals or change windows, it must have them.
""",
)
@click.argument("plan", metavar="PLAN")
@far_option
@change_options
def command(
    plan: str,
    target: str | None,
    yes: bool,
    accept_unproven: bool,
    confirm_within: float,
    change_policy: str | None,
) -> Exit:
    """Apply a plan: journaled, proven, undone on any failure."""
    from mailseal.report import plan as report
    from mailseal.workflow import plans
    from mailseal.workflow.control import control
    from mailseal.workflow.seal import Talk, apply

    text = content(plan)
    out = Output(sys.stdout, terminal_style(sys.stdout))
    with host_errors():
        made, payload, approvals = plans.read_approved(text)
        for line in made.headline:
            out.line(harmless(line))
        ask = asker(yes)
        if not ask("Apply this plan to %s" % made.host):
            raise Stop(Exit.REFUSED, "nothing was changed")
        with host_of(target) as host:
            talk = Talk(lambda shown: None, ask, tell, accept_unproven)
            given = control(host, approvals, change_policy)
            done = apply(host, made, payload, talk, confirm_within, given)
    assert done.receipt is not None
    for line in (*report.proofs(done.proofs, out.style), *report.receipt(done.receipt, out.style)):
        out.line(line)
    return exit_of(done.receipt)
