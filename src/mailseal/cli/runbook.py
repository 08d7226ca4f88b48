"""`mailseal runbook`: what to do by hand on a system that mailseal does not change."""

from __future__ import annotations

import click

from mailseal.cli.exits import Exit
from mailseal.cli.hostcommon import host_errors
from mailseal.cli.output import opened

_SYSTEMS = ("freebsd", "openbsd", "macos", "solaris", "windows", "sysv")


@click.command(
    "runbook",
    epilog="""\b
Examples:
  mailseal runbook freebsd mail.example:109
  mailseal runbook windows 192.0.2.10:110 '[2001:db8::10]:110' --name mail.example -o pop3.md
  mailseal runbook sysv imap://192.0.2.10 --name mail.example

Each step with its commands: install stunnel, the certificate, the very configuration, its start at
boot, the old service off the network, the proof, the way back. Every address at which the service
is reached has to be named: one that is left out is served no more. sysv is Linux without systemd.
""",
)
@click.argument("system", type=click.Choice(_SYSTEMS), metavar="SYSTEM")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option("--name", metavar="NAME", default="", help="Host name for the certificate.")
@click.option("--protocol", metavar="NAME", default="", help="What is served. Default: by port.")
@click.option("-o", "--output", metavar="FILE", help="Write it there.")
@click.option("--overwrite", is_flag=True, help="Let -o replace a file.")
def command(
    system: str,
    targets: tuple[str, ...],
    name: str,
    protocol: str,
    output: str | None,
    overwrite: bool,
) -> Exit:
    """Write down how a service is put inside TLS on freebsd, openbsd, macos, solaris, windows, or
    sysv, step by step; changes nothing.
    """
    from mailseal.workflow import runbook

    with host_errors():
        text = runbook.write(system, targets, protocol, name)
    with opened(output, overwrite) as out:
        for line in text.splitlines():
            out.line(line)
    return Exit.CLEAN
