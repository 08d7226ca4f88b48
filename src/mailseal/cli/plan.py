"""`mailseal plan`: the fix, with differences, risks and the way back. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.hostcommon import (
    asked,
    content,
    host_errors,
    host_of,
    plan_options,
    service_of,
    wish,
)
from mailseal.cli.output import Output, opened, terminal_style

if TYPE_CHECKING:
    from mailseal.model.plan import Plan


@click.command(
    "plan",
    epilog="""\b
Examples:
  sudo mailseal plan mail.example:109 -o plan.json  on the mail host
  mailseal plan ssh://mailhost -o plan.json        from here; nothing is changed there
  mailseal plan --facts mailhost.json --name mail.example -o plan.json
  mailseal plan --stage offer ssh://mailhost       TLS beside cleartext, nobody is cut off
  mailseal plan --strategy retire ssh://mailhost   turn the service off
  sudo mailseal plan 192.0.2.10:587 --strategy native  the daemon enforces TLS itself
  sudo mailseal plan mail.example:143 --except 10.1.2.0/24 --until 2034-03-31 \\
      --owner NAME --reason TEXT                   for everyone else, until that day is over

Without root the plan is a draft that names what it could not read; `apply` refuses drafts. Its
first lines name who would be cut off: who was seen to log in, by the commands `wire` and `logs`.
""",
)
@click.argument("target", required=False, metavar="[TARGET|ssh://HOST]")
@plan_options
@click.option("--facts", "facts_file", metavar="FILE", help="Plan for the host of these facts.")
@click.option("--protocol", default="", metavar="NAME", help="What the port serves: pop2, imap...")
@click.option("-o", "--output", metavar="FILE", help="Write the plan there, for `apply`.")
@click.option("--overwrite", is_flag=True, help="Let -o replace a file.")
def command(
    target: str | None,
    facts_file: str | None,
    protocol: str,
    port: int | None,
    output: str | None,
    overwrite: bool,
    **options: Any,
) -> Exit:
    """Plan the fix for a service of this host, of ssh://HOST, or of a host by its facts."""
    import sys

    from mailseal.model import codec
    from mailseal.model.host import HostFacts
    from mailseal.plan import AlreadySealed
    from mailseal.report import plan as report
    from mailseal.workflow import plans

    if facts_file is not None and target is not None:
        raise Stop(Exit.USAGE, "--facts names the host already: leave %s out" % target)
    logins = asked(options)
    try:
        with host_errors():
            if facts_file is not None:
                facts = codec.loads(HostFacts, content(facts_file), lenient=True)
                wanted = wish(options, port or 109, protocol)
                made = plans.from_facts(facts, wanted, logins)
            else:
                with host_of(target) as host:
                    service, name = service_of(target, port, host, options["backend"])
                    wanted = wish(options, service, protocol, name)
                    made, facts = plans.make(host, wanted, logins)
    except AlreadySealed as sealed:
        click.echo("mailseal: %s: there is nothing to plan" % sealed, err=True)
        return Exit.CLEAN
    contents = {fact.path: fact.content for fact in facts.files if fact.content is not None}
    out = Output(sys.stdout, terminal_style(sys.stdout))
    for line in report.plan(made, contents, out.style):
        out.line(line)
    if output is not None:
        with opened(output, overwrite) as file:
            file.line(plans.file_text(made).rstrip("\n"))
        click.echo("mailseal: wrote %s%s" % (output, _next(made, target, output)), err=True)
    return Exit.CLEAN


def _next(made: Plan, target: str | None, output: str) -> str:
    if made.draft:
        return ", a draft: plan again as root"
    if target is not None and target.startswith("ssh://"):
        return "; next: mailseal apply %s --on %s" % (output, target)
    return "; next, on %s: sudo mailseal apply %s" % (made.host, output)
