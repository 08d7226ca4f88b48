"""`mailseal rehearse`: the transaction, on a throwaway copy of the host."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mailseal.cli.exits import Exit
from mailseal.cli.hostcommon import content, exit_of, far_option, host_errors, tell
from mailseal.cli.output import Output, terminal_style
from mailseal.report.style import harmless

if TYPE_CHECKING:
    from mailseal.workflow.rehearse import Rehearsal


@click.command(
    "rehearse",
    epilog="""\b
Examples:
  sudo mailseal rehearse plan.json                 on the host that the plan is for
  mailseal rehearse plan.json --on ssh://mailhost  there, from here

The copy has the host's files, units, addresses and firewall rules, and reaches nobody. There the
plan is applied, proven from outside the copy, and rolled back; then the copy is thrown away. Exit
code 0: it held and went back; 3: it held, but something could not be seen; 4: it failed and was
undone; 5: it could not be undone; 6: it was refused, or no copy can be made there.
""",
)
@click.argument("plan", metavar="PLAN")
@far_option
def command(plan: str, target: str | None) -> Exit:
    """Try a plan on a throwaway copy of its host; the host itself is not touched."""
    from mailseal.report import plan as report
    from mailseal.workflow import plans
    from mailseal.workflow.rehearse import rehearse

    text = content(plan)
    out = Output(sys.stdout, terminal_style(sys.stdout))
    with host_errors():
        made, payload = plans.read_file(text)
        done = rehearse(made, payload, target, tell)
    assert done.applied.receipt is not None
    out.line("Rehearsed on a throwaway copy of %s; the host is untouched." % harmless(made.host))
    for gap in done.gaps:
        out.line("  the copy: " + harmless(gap))
    for line in report.proofs(done.applied.proofs, out.style):
        out.line(line)
    for receipt in filter(None, (done.applied.receipt, done.back)):
        for line in report.receipt(receipt, out.style):
            out.line(line)
    return exit_code(done)


def exit_code(done: Rehearsal) -> Exit:
    """Of both ways together."""
    from mailseal.model.plan import RunState

    assert done.applied.receipt is not None
    if done.back is not None and done.back.state is not RunState.UNDONE:
        return Exit.UNDO_FAILED
    code = exit_of(done.applied.receipt)
    return Exit.INCONCLUSIVE if code is Exit.CLEAN and not done.applied.sealed else code
