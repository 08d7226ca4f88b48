"""`mailseal facts`: what this host is, for planning elsewhere."""

from __future__ import annotations

import click

from mailseal.cli.exits import Exit
from mailseal.cli.hostcommon import far_argument, host_errors, host_of
from mailseal.cli.output import opened


@click.command(
    "facts",
    epilog="""\b
Examples:
  sudo mailseal facts -o mailhost.json             on the mail host
  mailseal plan --facts mailhost.json -o plan.json  on your own machine
  mailseal facts ssh://mailhost

The facts hold the service configuration of the host, no keys. Without root they are incomplete and
say what is missing.
""",
)
@far_argument
@click.option("--port", "ports", type=click.IntRange(1, 65535), multiple=True, metavar="N")
@click.option("--path", "paths", multiple=True, metavar="FILE", help="Also tell of this file.")
@click.option("-o", "--output", metavar="FILE", help="Write them there.")
@click.option("--overwrite", is_flag=True, help="Let -o replace a file.")
def command(
    target: str | None,
    ports: tuple[int, ...],
    paths: tuple[str, ...],
    output: str | None,
    overwrite: bool,
) -> Exit:
    """Print what this host is: one JSON record."""
    from mailseal.model import codec

    with host_errors(), host_of(target) as host:
        facts = host.facts(ports or (109,), paths)
    with opened(output, overwrite) as out:
        out.line(codec.dumps(facts))
    return Exit.CLEAN
