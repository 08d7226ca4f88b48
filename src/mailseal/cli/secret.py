"""A password from where no other process can read it: a file descriptor, the environment, a prompt.

Strategy: never from the command line, which every user of the machine sees. The order is the order
of explicitness; without a terminal there is no prompt, and the message says what to use instead.
"""

from __future__ import annotations

import os
import sys

import click

from mailseal.cli.exits import Exit, Stop

VARIABLE = "MAILSEAL_PASSWORD"
LIMIT = 4096
"""Octets of a password."""


def password(user: str, descriptor: int | None) -> str:
    """The password of a test account: the first line of `descriptor`, else the environment
    variable, else asked for. Raises Stop. Octets that are no UTF-8 are kept as such.
    """
    if descriptor is not None:
        return _first_line(descriptor)
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if sys.stdin is None or not sys.stdin.isatty():
        words = "no terminal to ask for the password of %s: use --password-fd or %s"
        raise Stop(Exit.USAGE, words % (user, VARIABLE))
    answer: str = click.prompt(f"Password of {user}", hide_input=True, err=True)
    return answer


def _first_line(descriptor: int) -> str:
    read = b""
    try:
        while b"\n" not in read and len(read) <= LIMIT:
            data = os.read(descriptor, LIMIT)
            if not data:
                break
            read += data
    except OSError as error:
        words = f"--password-fd {descriptor} cannot be read: {error.strerror}"
        raise Stop(Exit.USAGE, words) from None
    line = read.partition(b"\n")[0].removesuffix(b"\r")
    if not line or len(line) > LIMIT:
        words = f"--password-fd {descriptor} holds no password in its first line"
        raise Stop(Exit.USAGE, words)
    return line.decode("utf-8", "surrogateescape")
