"""`mailseal export`: a plan for people with a shell, for a ticket, for clients, for Ansible."""

from __future__ import annotations

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.hostcommon import content, host_errors
from mailseal.cli.output import write_folder

_FORMS = ("shell", "markdown", "client-pack", "ansible")


@click.command(
    "export",
    epilog="""\b
Examples:
  mailseal export plan.json --to shell -o runbook        runbook.sh and undo.sh
  mailseal export plan.json --to markdown -o ticket      change-request.md
  mailseal export plan.json --to client-pack --ca ca.crt -o pack
  mailseal export a.json b.json --to ansible -o fleet    playbook.yml, undo.yml, a role

shell is the plan as commands, for hosts where this program may not run: it checks each step and can
be taken back, but proves nothing from the network and does not undo itself. ansible is for a fleet:
one role, and variables for each host; a host where a step fails is taken back. client-pack is for
mail programs that cannot speak TLS: stunnel beside them, for Unix and Windows. A plan must be whole
(no draft) and unedited. Only ansible takes several, of a host each.
""",
)
@click.argument("plans", metavar="PLAN...", nargs=-1, required=True)
@click.option("--to", "form", type=click.Choice(_FORMS), required=True, help="Form of the export.")
@click.option("-o", "--output", metavar="DIR", required=True, help="Write the files there.")
@click.option("--overwrite", is_flag=True, help="Let -o replace files.")
@click.option("--ca", metavar="FILE", help="CA that clients are to trust, for client-pack.")
def command(
    plans: tuple[str, ...], form: str, output: str, overwrite: bool, ca: str | None
) -> Exit:
    """Turn plans into a runbook, a change request, a pack for clients or a role for Ansible."""
    from mailseal.workflow import BadInput
    from mailseal.workflow import export as workflow

    if bool(ca) and form != "client-pack":
        raise Stop(Exit.USAGE, "--ca goes with --to client-pack")
    texts, trusted = [content(plan) for plan in plans], content(ca) if ca else b""
    try:
        with host_errors():
            files = workflow.export(texts, form, trusted)
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None
    write_folder(output, [(each.name, each.mode, each.content) for each in files], overwrite)
    names = list(dict.fromkeys(each.name.partition("/")[0] for each in files))
    click.echo("mailseal: wrote %s in %s" % (", ".join(names), output), err=True)
    return Exit.CLEAN
