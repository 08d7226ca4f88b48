"""The options of commands whose reports may leave the house, and what they ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mailseal.cli.exits import Exit, Stop

if TYPE_CHECKING:
    from mailseal.workflow.redact import Redaction

F = TypeVar("F", bound=Callable[..., Any])


def redaction_options(function: F) -> F:
    """What to hide: `redact_users: bool`, `redact_clients: bool`."""
    for option in (
        click.option(
            "--redact-clients", is_flag=True, help="Show networks in place of clients (/24, /64)."
        ),
        click.option(
            "--redact-users",
            is_flag=True,
            help="Show pseudonyms in place of users, always the same.",
        ),
    ):
        function = option(function)
    return function


def redaction(redact_users: bool, redact_clients: bool) -> Redaction:
    """What the two options ask for. Raises Stop where the key cannot be used."""
    from mailseal.workflow import BadInput
    from mailseal.workflow.redact import redaction as asked

    try:
        return asked(redact_users, redact_clients, os.environ)
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None
