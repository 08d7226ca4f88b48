"""The option of commands that tell when updates and reviews are due."""

from __future__ import annotations

import click

policy_option = click.option(
    "--policy",
    metavar="FILE",
    help="When updates and reviews are due, this policy says.",
)
"""Its path: `policy: str | None`."""
