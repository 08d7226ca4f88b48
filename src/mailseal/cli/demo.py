"""`mailseal demo`: the whole story on this machine."""

from __future__ import annotations

import sys

import click

from mailseal.cli.output import terminal_style


@click.command(
    "demo",
    epilog="""\b
Example:
  sudo mailseal demo

As root it has network namespaces of its own and an eavesdropper; else it runs on loopback and high
ports, and says what it could not show.
A legacy POP2 service comes up on a toy host, is found exposed, sealed with the real stunnel,
proven, and rolled back. Nothing of this machine is changed, and nothing is left behind.
""",
)
def command() -> int:
    """Show the whole story: find, prove, plan, seal, verify, roll back."""
    from mailseal.demo import story

    return story.run(sys.stdout, sys.stderr, terminal_style(sys.stderr).colour)
