"""`mailseal verify`: the proof, from here or from another host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.hostcommon import far, host_errors, tell
from mailseal.cli.lookoptions import timeout_option
from mailseal.cli.output import opened, output_options
from mailseal.cli.secret import password_file

if TYPE_CHECKING:
    from mailseal.workflow.verifying import Request

_FORMS = ("text", "json", "ndjson", "markdown", "junit")


@click.command(
    "verify",
    epilog="""\b
Examples:
  mailseal verify mail.example:109 --ca ca.crt     every address of the name
  mailseal verify plan.json --ca ca.crt            what the plan promised
  mailseal verify 192.0.2.10:109 --name mail.example --ca ca.crt
  mailseal verify mail.example:10110 --protocol pop3
  mailseal verify mail.example:109 --ca ca.crt --on ssh://mailhost --reload
  mailseal verify mail.example:993 --from ssh://outside --format markdown -o ticket.md
  mailseal verify mail.example:995 --login alice --password-file alice.txt

Run it on another host than the mail server: only that proves a service as sealed. A line that was
left out is told at the end, with the option that asks for it. The password of --login is used
inside verified TLS alone, and stored nowhere.

Exit code 0: every line passes; 1: one fails; 3: one could not be told.
""",
)
@click.argument("target", metavar="ENDPOINT|PLAN")
@click.option("--ca", metavar="FILE", default="", help="CA of the service's certificate (PEM).")
@click.option("--cert", metavar="FILE", default="", help="The certificate that is to be served.")
@click.option("--name", metavar="NAME", default="", help="What the certificate must be for.")
@click.option(
    "--valid-days",
    type=click.IntRange(0, 3650),
    default=0,
    metavar="N",
    help="Fail also where it ends within so many days.",
)
@click.option(
    "--protocol",
    type=click.Choice(("pop2", "pop3", "imap", "smtp", "managesieve")),
    help="What is served. Default: by the port.",
)
@click.option("--login", "user", metavar="USER", help="Use a real account: in, a look, out.")
@click.option("--password-file", metavar="FILE", help="Its password, the first line; - is stdin.")
@click.option(
    "--closed",
    "closed",
    multiple=True,
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="A port that must not be reachable: the old one, the backend's. Repeatable.",
)
@click.option("--intrusive", is_flag=True, help="Also try to inject a command before STARTTLS.")
@click.option("--eavesdrop", metavar="IF", default="", help="Listen there for our login, as root.")
@click.option("--from", "source", metavar="ssh://HOST", callback=far, help="Look from there.")
@click.option("--on", metavar="ssh://HOST", callback=far, help="The mail host: ask it as well.")
@click.option("--reload", is_flag=True, help="Reload the service on the mail host, then look.")
@timeout_option()
@output_options(*_FORMS)
def command(target: str, form: str, output: str | None, overwrite: bool, **options: Any) -> Exit:
    """Prove that a service is sealed, line by line."""
    from mailseal.report.verification import FORMS
    from mailseal.workflow import verify

    with host_errors():
        request = _request(target, options)
        made = verify.verified(request, tell)
    with opened(output, overwrite) as out:
        for line in FORMS[form](made, out.style):
            out.line(line)
    return Exit(verify.exit_code(made.proofs))


def _request(target: str, options: dict[str, Any]) -> Request:
    """The options as the workflow wants them. Raises Stop, BadInput."""
    from mailseal.workflow import plans
    from mailseal.workflow.scan import check_authority, credentials
    from mailseal.workflow.verifying import Request

    if options["ca"]:
        check_authority(options["ca"])
    if options["cert"] and not os.access(options["cert"], os.R_OK):
        raise Stop(
            Exit.USAGE, "%s cannot be read: give the certificate's PEM file" % options["cert"]
        )
    if bool(options["user"]) != bool(options["password_file"]):
        raise Stop(Exit.USAGE, "--login and --password-file go together")
    account = None
    if options["user"]:
        account = credentials(options["user"], password_file(options["password_file"]))
    made = None
    if os.path.isfile(target):
        with open(target, "rb") as file:
            made, _ = plans.read_file(file.read())
    elif target.endswith(".json") or "/" in target.rpartition("://")[2].rstrip("/"):
        raise Stop(Exit.USAGE, f"there is no plan {target}; an endpoint is HOST or HOST:PORT")
    return Request(
        target=target,
        plan=made,
        protocol=options["protocol"] or "",
        authority=options["ca"],
        name=options["name"],
        certificate=options["cert"],
        account=account,
        intrusive=options["intrusive"],
        eavesdrop=options["eavesdrop"],
        reload=options["reload"],
        closed=tuple(options["closed"]),
        source=options["source"] or "",
        on=options["on"] or "",
        valid_days=options["valid_days"],
        timeout=options["timeout"],
    )
