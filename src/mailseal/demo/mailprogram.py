"""The user's mail program: logs in by POP2 and fetches the first message (RFC 937).

With a certificate authority it does so inside TLS. It runs as a process of its own, from wherever
its packets are to come. Order on standard input and Mail on standard output, both JSON; the
password never stands on a command line. What it shows of its dialogue has no password.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailseal.model import codec
from mailseal.protocols.base import printable

SECONDS = 10.0
MAX_LINE = 1024
MAX_MESSAGE = 64 * 1024


@dataclass(frozen=True)
class Order:
    """Whose mail to fetch where. `authority`: a PEM file, and then inside TLS for `name`."""

    address: str
    port: int
    user: str
    password: str = field(repr=False)
    authority: str = ""
    name: str = ""


@dataclass(frozen=True)
class Mail:
    """What came of it: the dialogue as it may be shown, and the message; `problem` says why not."""

    dialogue: tuple[str, ...]
    message: bytes
    tls: str
    problem: str = ""


class _Unexpected(Exception):
    """The server gave an answer that a mail program cannot go on with."""


def fetch(order: Order) -> Mail:
    """Logs in, takes the count and one message, leaves it there. Never raises for the network."""
    said: list[str] = []
    message, tls, problem = b"", "", ""
    try:
        with _connection(order) as connection:
            if isinstance(connection, ssl.SSLSocket):
                tls = connection.version() or ""
            message = _dialogue(connection, order, said)
    except (OSError, _Unexpected) as error:
        problem = str(error)
    return Mail(tuple(said), message, tls, problem)


@contextlib.contextmanager
def _connection(order: Order) -> Iterator[socket.socket]:
    with socket.create_connection((order.address, order.port), SECONDS) as plain:
        if not order.authority:
            yield plain
            return
        context = ssl.create_default_context(cafile=order.authority)
        with context.wrap_socket(plain, server_hostname=order.name) as secured:
            yield secured


def _dialogue(connection: socket.socket, order: Order, said: list[str]) -> bytes:
    password = order.password.replace("\\", "\\\\")
    with connection.makefile("rb") as answers:

        def hear(start: bytes) -> bytes:
            line = answers.readline(MAX_LINE)
            said.append("S: " + printable(line.rstrip(b"\r\n")))
            if not line.startswith(start):
                raise _Unexpected("the server answered: " + printable(line.rstrip(b"\r\n")))
            return line

        def say(command: str, shown: str = "") -> None:
            said.append("C: " + (shown or command))
            connection.sendall(command.encode("ascii") + b"\r\n")

        hear(b"+")
        say(f"HELO {order.user} {password}", f"HELO {order.user} ********")
        hear(b"#")
        say("READ 1")
        size = re.match(rb"=(\d+)", hear(b"="))
        say("RETR")
        message = answers.read(min(int(size.group(1)), MAX_MESSAGE) if size else 0)
        said.append(f"S: [{len(message)} octets of mail]")
        say("ACKS")
        hear(b"=")
        say("QUIT")
        hear(b"+")
    return message


if __name__ == "__main__":
    print(codec.dumps(fetch(codec.loads(Order, sys.stdin.buffer.read(), lenient=False))))
