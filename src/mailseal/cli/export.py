"""`mailseal export`: a plan for people with a shell, a ticket, clients, Ansible, scanners."""

from __future__ import annotations

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.hostcommon import content, host_errors
from mailseal.cli.output import write_folder

_FORMS = ("shell", "markdown", "client-pack", "ansible", "openscap", "inspec", "nagios")
_WITH_CA = ("client-pack", "openscap", "nagios")


@click.command(
    "export",
    epilog="""\b
Examples:
  mailseal export plan.json --to shell -o runbook        runbook.sh and undo.sh
  mailseal export plan.json --to markdown -o ticket      change-request.md
  mailseal export plan.json --to client-pack --ca ca.crt -o pack
  mailseal export a.json b.json --to ansible -o fleet    playbook.yml, undo.yml, a role
  mailseal export plan.json --to openscap -o scap        benchmark.xml, for oscap
  mailseal export plan.json --to inspec -o profile       inspec.yml, controls
  mailseal export a.json b.json --to nagios --ca ca.crt -o monitor    for Nagios and Icinga 2

shell is the plan as commands, for hosts where this program may not run: it checks each step and can
be taken back, but proves nothing from the network and does not undo itself. ansible is for a fleet:
one role, and variables for each host; a host where a step fails is taken back. client-pack is for
mail programs that cannot speak TLS: stunnel beside them, for Unix and Windows. openscap, inspec and
nagios are what the plan promises, for the scanner or monitor that is there already. A plan must be
whole (no draft) and unedited. Several are taken by ansible (of a host each), openscap and inspec
(of one host) and nagios.
""",
)
@click.argument("plans", metavar="PLAN...", nargs=-1, required=True)
@click.option("--to", "form", type=click.Choice(_FORMS), required=True, help="Form of the export.")
@click.option("-o", "--output", metavar="DIR", required=True, help="Write the files there.")
@click.option("--overwrite", is_flag=True, help="Let -o replace files.")
@click.option("--ca", metavar="FILE", help="CA to trust, for client-pack, openscap and nagios.")
def command(
    plans: tuple[str, ...], form: str, output: str, overwrite: bool, ca: str | None
) -> Exit:
    """Turn plans into what others use.

    A runbook, a change request, a pack for clients, a role for Ansible; checks for OpenSCAP,
    InSpec, Nagios and Icinga.
    """
    from mailseal.workflow import BadInput
    from mailseal.workflow import export as workflow

    if bool(ca) and form not in _WITH_CA:
        raise Stop(Exit.USAGE, "--ca goes with --to " + ", ".join(_WITH_CA))
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
