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
        return _first_line(descriptor, f"--password-fd {descriptor}")
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if sys.stdin is None or not sys.stdin.isatty():
        words = "no terminal to ask for the password of %s: use --password-fd or %s"
        raise Stop(Exit.USAGE, words % (user, VARIABLE))
    answer: str = click.prompt(f"Password of {user}", hide_input=True, err=True)
    return answer


def password_file(path: str) -> str:
    """The password in the first line of a file; `-` is stdin. Raises Stop."""
    if path == "-":
        return _first_line(0, "standard input")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Stop(Exit.USAGE, f"{path} cannot be read: {error.strerror}") from None
    try:
        return _first_line(descriptor, path)
    finally:
        os.close(descriptor)


def _first_line(descriptor: int, source: str) -> str:
    read = b""
    try:
        while b"\n" not in read and len(read) <= LIMIT:
            data = os.read(descriptor, LIMIT)
            if not data:
                break
            read += data
    except OSError as error:
        words = f"{source} cannot be read: {error.strerror}"
        raise Stop(Exit.USAGE, words) from None
    line = read.partition(b"\n")[0].removesuffix(b"\r")
    if not line or len(line) > LIMIT:
        words = f"{source} holds no password in its first line"
        raise Stop(Exit.USAGE, words)
    return line.decode("utf-8", "surrogateescape")
