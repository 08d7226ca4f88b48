"""The options of commands that use the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

store_option = click.option(
    "--store",
    metavar="FILE",
    help="The store. Else MAILSEAL_STORE, else mailseal/store.sqlite3 in XDG_DATA_HOME.",
)
"""Where it is: `store: str | None`."""


def recording_options(function: F) -> F:
    """Where it is, and whether to record at all: `store: str | None`, `no_store: bool`."""
    flag = click.option("--no-store", is_flag=True, help="Record nothing of what is found.")
    return flag(store_option(function))
