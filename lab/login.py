"""What a real login shows: `login.py PROTOCOL ADDRESS PORT USER [HOW [SECONDS]]`, the password on
stdin.

Strategy: the oracle for verdicts, so nothing of the program under test is in it: plain sockets,
each way to log in on a connection of its own, whether it is offered or not. `HOW` is `clear`
(unless said otherwise), `upgrade` (TLS after STARTTLS) or `implicit` (TLS from the first octet); a
server may be silent for so many `SECONDS`.
Prints a JSON object from the way to true (logged in), false (not) or null (no answer that says).
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import sys
from collections.abc import Callable

SECONDS = "20"


class Wire:
    """Lines to and from a server."""

    def __init__(self, address: str, port: int, seconds: float) -> None:
        self.sock: socket.socket = socket.create_connection((address, port), seconds)
        self.file = self.sock.makefile("rb")

    def encrypt(self) -> None:
        """TLS from here on, whoever the server is: it is the lab's own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.file.close()
        self.sock = context.wrap_socket(self.sock)
        self.file = self.sock.makefile("rb")

    def say(self, text: bytes) -> None:
        self.sock.sendall(text + b"\r\n")

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def line(self) -> bytes:
        return self.file.readline(4096).rstrip(b"\r\n")

    def until(self, *beginnings: bytes) -> bytes:
        """The first line that begins so; empty at the end."""
        while True:
            line = self.line()
            if not line or line.startswith(beginnings):
                return line


def pop2(wire: Wire, way: str, user: bytes, password: bytes) -> bool | None:
    wire.say(b"HELO " + user + b" " + password)
    line = wire.line()
    return line.startswith(b"#") if line else None


def pop3(wire: Wire, way: str, user: bytes, password: bytes) -> bool | None:
    if way == "USER":
        wire.say(b"USER " + user)
        if not wire.line().startswith(b"+OK"):
            return False
        wire.say(b"PASS " + password)
        return wire.line().startswith(b"+OK")
    wire.say(b"AUTH " + way.encode())
    return exchange(wire, way, user, password, (b"+",), (b"+OK",), (b"-ERR",))


def imap(wire: Wire, way: str, user: bytes, password: bytes) -> bool | None:
    if way == "LOGIN command":
        wire.say(b'a LOGIN "%s" "%s"' % (user, password))
        return wire.until(b"a ").startswith(b"a OK")
    wire.say(b"a AUTHENTICATE " + way.encode())
    return exchange(wire, way, user, password, (b"+",), (b"a OK",), (b"a ",))


def smtp(wire: Wire, way: str, user: bytes, password: bytes) -> bool | None:
    wire.say(b"EHLO client.example")
    wire.until(b"250 ")
    wire.say(b"AUTH " + way.encode())
    return exchange(wire, way, user, password, (b"334",), (b"235",), (b"4", b"5"))


def managesieve(wire: Wire, way: str, user: bytes, password: bytes) -> bool | None:
    wire.say(b'AUTHENTICATE "' + way.encode() + b'"')
    ends = (b"NO", b"BYE")
    return exchange(wire, way, user, password, (b'"', b"{"), (b"OK",), ends, quoted)


Marks = tuple[bytes, ...]


def quoted(text: bytes) -> bytes:
    return b'"' + text + b'"'


def exchange(
    wire: Wire,
    way: str,
    user: bytes,
    password: bytes,
    more: Marks,
    yes: Marks,
    no: Marks,
    write: Callable[[bytes], bytes] = bytes,
) -> bool | None:
    """One answer to each prompt."""
    messages = [b"\0" + user + b"\0" + password] if way == "PLAIN" else [user, password]
    line = wire.until(*more, *yes, *no)
    for message in messages:
        if not line.startswith(more) or line.startswith(yes):
            break
        if line.startswith(b"{"):
            wire.line()
        wire.say(write(base64.b64encode(message)))
        line = wire.until(*more, *yes, *no)
    if line.startswith(yes):
        return True
    return False if line.startswith(no) else None


WAYS = {
    "pop2": (pop2, ("HELO",)),
    "pop3": (pop3, ("USER", "PLAIN", "LOGIN")),
    "imap": (imap, ("LOGIN command", "PLAIN", "LOGIN")),
    "smtp": (smtp, ("PLAIN", "LOGIN")),
    "managesieve": (managesieve, ("PLAIN", "LOGIN")),
}


UPGRADES = {
    "pop2": (b"+", (), b""),
    "pop3": (b"+OK", (b"STLS",), b"+OK"),
    "imap": (b"* ", (b"a STARTTLS",), b"a OK"),
    "smtp": (b"220 ", (b"EHLO client.example", b"STARTTLS"), b"220 "),
    "managesieve": (b"OK", (b"STARTTLS",), b"OK"),
}
"""How the greeting's last line begins, how TLS is asked for, and how that is agreed to."""


def greet(wire: Wire, protocol: str, how: str) -> None:
    """Brings a new connection to where a login may begin. OSError where that is not to be had."""
    greeting, questions, agreed = UPGRADES[protocol]
    if how == "implicit":
        wire.encrypt()
    if not wire.until(greeting):
        raise ConnectionError
    if how == "upgrade":
        *before, question = questions
        for hello in before:
            wire.say(hello)
            wire.until(b"250 ")
        wire.say(question)
        if not wire.until(agreed, b"-ERR", b"a ", b"4", b"5", b"NO").startswith(agreed):
            raise ConnectionError
        wire.encrypt()
        if protocol == "managesieve":  # RFC 5804, 2.2: the capabilities once more
            wire.until(greeting)


def main(
    protocol: str,
    address: str,
    port: str,
    user: str,
    how: str = "clear",
    seconds: str = SECONDS,
) -> None:
    password = sys.stdin.buffer.readline().rstrip(b"\n")
    login, ways = WAYS[protocol]
    told: dict[str, bool | None] = {}
    for way in ways:
        told[way] = None
        with contextlib.suppress(OSError):
            wire = Wire(address, int(port), float(seconds))
            with contextlib.closing(wire):
                greet(wire, protocol, how)
                told[way] = login(wire, way, user.encode(), password)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:7])
