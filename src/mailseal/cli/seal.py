"""`mailseal seal`: plan, show, ask, apply, prove, confirm, in one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.hostcommon import (
    asked,
    asker,
    change_options,
    exit_of,
    host_errors,
    host_of,
    plan_options,
    service_of,
    tell,
    wish,
)
from mailseal.cli.output import Output, terminal_style

if TYPE_CHECKING:
    from mailseal.model.plan import Plan


@click.command(
    "seal",
    epilog="""\b
Examples:
  mailseal seal ssh://mailhost                     change there, prove from here
  sudo mailseal seal mail.example:109              on the mail host itself
  mailseal seal --stage offer ssh://mailhost       first offer TLS on port 1109
  sudo mailseal seal mail.example:110              POP3 too, there and on port 995
  mailseal seal ssh://gateway --strategy gateway --backend 192.0.2.5:109 --stage offer \\
      --trust-leg 'a cable between the two'        TLS there, for a host too old to touch

The plan is shown and you are asked before anything changes. What is not confirmed is undone after
five minutes, whatever became of the connection. Over SSH the look from here confirms; on the mail
host itself you do. Exit code 0: done; 4: it failed and was undone; 6: refused, nothing changed.
""",
)
@click.argument("target", metavar="TARGET|ssh://HOST")
@plan_options
@change_options
def command(
    target: str,
    port: int | None,
    yes: bool,
    accept_unproven: bool,
    confirm_within: float,
    change_policy: str | None,
    **options: Any,
) -> Exit:
    """Seal a service of this host or of ssh://HOST: no login in cleartext any more."""
    from mailseal.plan import AlreadySealed
    from mailseal.report import plan as report
    from mailseal.workflow import plans
    from mailseal.workflow.control import control
    from mailseal.workflow.seal import Talk, seal

    out = Output(sys.stdout, terminal_style(sys.stdout))
    logins = asked(options)
    try:
        with host_errors(), host_of(target) as host:
            service, name = service_of(target, port, host, options["backend"])
            made, facts = plans.make(host, wish(options, service, name=name), logins)
            contents = {fact.path: fact.content for fact in facts.files if fact.content is not None}

            def show(shown: Plan) -> None:
                for line in report.plan(shown, contents, out.style):
                    out.line(line)

            talk = Talk(show, asker(yes), tell, accept_unproven)
            given = control(host, given=change_policy)
            done = seal(host, made, talk, confirm_within, given)
    except AlreadySealed as sealed:
        out.line("%s: nothing was changed" % sealed)
        return Exit.CLEAN
    if done.receipt is None:
        raise Stop(Exit.REFUSED, "nothing was changed")
    for line in (*report.proofs(done.proofs, out.style), *report.receipt(done.receipt, out.style)):
        out.line(line)
    code = exit_of(done.receipt)
    if code is Exit.CLEAN:
        for line in _next(done.sealed, made, target, private=not options["cert"]):
            out.line(line)
    return code


def _next(sealed: bool, made: Plan, target: str, *, private: bool) -> list[str]:
    from mailseal.model.plan import STAGED

    lines = []
    if sealed and made.strategy != "retire" and made.stage == "enforce":
        lines.append("SEALED: proven from here.")
    elif made.stage == "enforce" and not target.startswith("ssh://"):
        lines.append(
            "Applied and confirmed. It is proven only from another host: run `mailseal %s %s` "
            "there." % ("verify" if made.strategy in STAGED else "scan", made.endpoint)
        )
    if made.strategy in STAGED and private:
        lines.append("Clients need the CA file /etc/mailseal/ca.crt of %s." % made.host)
    lines.append(
        "To go back: mailseal rollback%s"
        % (" --on " + target if target.startswith("ssh://") else "")
    )
    return lines
