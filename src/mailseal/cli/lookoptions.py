"""The options of commands that look at services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

SECONDS = click.FloatRange(0.1, 600)
"""Of a patience."""


def timeout_option(words: str = "Patience for each answer.") -> Callable[[F], F]:
    """`timeout: float`, in seconds."""
    return click.option(
        "--timeout",
        type=SECONDS,
        default=8.0,
        show_default=True,
        metavar="SECONDS",
        help=words,
    )


def scope_options(function: F) -> F:
    """What is not contacted: `exclude` and `exclude_files`, tuples of str; `scope: str | None`."""
    for option in reversed(_SCOPE):
        function = option(function)
    return function


_SCOPE: tuple[Callable[[F], F], ...] = (
    click.option(
        "--exclude",
        multiple=True,
        metavar="WHAT",
        help="Address, network or name (*.example.org: all below) that is not contacted.",
    ),
    click.option(
        "--exclude-file", "exclude_files", multiple=True, metavar="FILE", help="The same."
    ),
    click.option(
        "--scope",
        metavar="FILE",
        envvar="MAILSEAL_SCOPE",
        help="Networks and names, outside which nothing is contacted. Else MAILSEAL_SCOPE.",
    ),
)
