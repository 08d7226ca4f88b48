"""`mailseal verify`: the proof, from here."""

from __future__ import annotations

import os

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.hostcommon import host_errors
from mailseal.cli.output import opened, output_options


@click.command(
    "verify",
    epilog="""\b
Examples:
  mailseal verify mail.example:109 --ca ca.crt     every address of the name
  mailseal verify plan.json --ca ca.crt            what the plan promised
  mailseal verify 192.0.2.10:109 --name mail.example --ca ca.crt
  mailseal verify mail.example:10110 --protocol pop3

Run it on another host than the mail server: only that proves a service as sealed. Exit code 0:
every claim holds; 1: one fails; 3: one could not be told.
""",
)
@click.argument("target", metavar="TARGET|PLAN")
@click.option("--ca", metavar="FILE", default="", help="CA of the service's certificate (PEM).")
@click.option("--name", metavar="NAME", default="", help="What the certificate must be for.")
@click.option(
    "--protocol", default="", metavar="NAME", help="What is served. Default: by the port."
)
@output_options("text", "ndjson")
def command(
    target: str,
    ca: str,
    name: str,
    protocol: str,
    form: str,
    output: str | None,
    overwrite: bool,
) -> Exit:
    """Prove from here that a service is sealed."""
    from mailseal.model import codec
    from mailseal.report import plan as report
    from mailseal.workflow import plans, verify

    if ca and not os.access(ca, os.R_OK):
        raise Stop(Exit.USAGE, "%s cannot be read: give the CA's PEM file" % ca)
    lost: tuple[str, ...] = ()
    with host_errors():
        if os.path.isfile(target):
            with open(target, "rb") as file:
                made, _ = plans.read_file(file.read())
            claims = verify.claims_of_plan(made, ca)
        else:
            claims, lost = verify.claims_of(target, protocol, ca, name)
        for reason in lost:
            click.echo("mailseal: " + reason, err=True)
        proofs = verify.verify(claims)
    with opened(output, overwrite) as out:
        lines = report.proofs(proofs, out.style) if form == "text" else map(codec.dumps, proofs)
        for line in lines:
            out.line(line)
    return Exit(verify.exit_code(proofs))
