"""The option of commands that tell when updates and reviews are due."""

from __future__ import annotations

import click

policy_option = click.option(
    "--policy",
    metavar="FILE",
    help="This policy says when updates and reviews are due (`report`: and what is let pass).",
)
"""Its path: `policy: str | None`."""
