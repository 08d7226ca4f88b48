"""What a server answers, as text: `questions.py PROTOCOL ADDRESS PORT HOW`.

Strategy: one session, one question after the other, each from a table a reader can hold beside the
RFC. Plain sockets and nothing of the program under test, so that what is recorded can be held
against it. The lines behind the first of a question are sent only where the server asks for more.
Names and passwords are made up. `HOW` is `clear`, `upgrade` (TLS after STARTTLS), `implicit` (TLS
from the first octet) or `greet` (in cleartext, to come and go). Prints `C: ` and `S: ` lines, and
`# ` where something happened that is no line: TLS began, the server was slow, or it closed (the
rest is asked on a new connection).
"""

from __future__ import annotations

import re
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

SECONDS = 20.0
SLOW = 0.5
"""Seconds; an answer that takes longer is noted."""
LINES = 200
"""What an answer has at most."""

NOBODY = "AG1haWxzZWFsLW5vYm9keQB3cm9uZw=="
"""RFC 4616: user `mailseal-nobody`, password `wrong`."""

Question = tuple[str, ...]


@dataclass(frozen=True)
class Protocol:
    """`end` is what the last line of an answer looks like, `more` a line that asks for more,
    `long` a question whose good answer ends with a dot alone, `greeting` the first line of all
    where that is not an `end`. `hello` is said on each connection.
    """

    end: str
    more: str
    questions: tuple[Question, ...]
    upgrade: str
    upgraded: str
    farewell: str
    hello: str = ""
    greeting: str = ""
    long: str = "(?!)"


PROTOCOLS: Mapping[str, Protocol] = {
    # RFC 1939, 2449, 2595, 5034
    "pop3": Protocol(
        end=r"\+OK|-ERR|\+ ",
        more=r"\+ ?(?!OK)",
        long=r"CAPA|AUTH$",
        questions=(
            ("CAPA",),
            ("USER mailseal-nobody",),
            ("PASS wrong",),
            ("AUTH",),
            ("AUTH PLAIN", "*"),
            ("AUTH LOGIN", "*"),
            ("AUTH PLAIN", NOBODY),
        ),
        upgrade="STLS",
        upgraded=r"\+OK",
        farewell="QUIT",
    ),
    # RFC 9051, 7888
    "imap": Protocol(
        greeting=r"\* ",
        end=r"a |\+",
        more=r"\+",
        questions=(
            ("a CAPABILITY",),
            ("a LOGIN",),
            ('a LOGIN "" ""',),
            ("a LOGIN x {3}", "abc"),
            ("a LOGIN mailseal-nobody wrong",),
            ("a AUTHENTICATE PLAIN", "*"),
            ("a AUTHENTICATE LOGIN", "*"),
            ("a AUTHENTICATE PLAIN " + NOBODY,),
        ),
        upgrade="a STARTTLS",
        upgraded=r"a OK",
        farewell="a LOGOUT",
    ),
    # RFC 5321, 4954, 3207
    "smtp": Protocol(
        end=r"\d{3}( |$)",
        more=r"334",
        hello="EHLO client.example",
        questions=(
            ("AUTH PLAIN", "*"),
            ("AUTH LOGIN", "*"),
            ("AUTH PLAIN " + NOBODY,),
        ),
        upgrade="STARTTLS",
        upgraded="220",
        farewell="QUIT",
    ),
    # RFC 5804
    "managesieve": Protocol(
        end=r'(OK|NO|BYE)\b|""|\{0',
        more=r'"|\{',
        questions=(
            ("CAPABILITY",),
            ('AUTHENTICATE "PLAIN"', '"*"'),
            ('AUTHENTICATE "LOGIN"', '"*"'),
            ('AUTHENTICATE "PLAIN" "%s"' % NOBODY,),
        ),
        upgrade="STARTTLS",
        upgraded="OK",
        farewell="LOGOUT",
    ),
}


class Closed(Exception):
    """The server ended the connection."""


class Session:
    """One connection, written down while it goes on."""

    def __init__(self, protocol: Protocol, address: str, port: int, how: str) -> None:
        self.protocol = protocol
        self.sock: socket.socket = socket.create_connection((address, port), SECONDS)
        self.buffer = b""
        if how == "implicit":
            self.encrypt()
        self.answer()
        if protocol.hello:
            self.say(protocol.hello)
        if how == "upgrade":
            if not re.match(protocol.upgraded, self.say(protocol.upgrade)):
                raise ConnectionAbortedError
            self.encrypt()
            if protocol.hello:
                self.say(protocol.hello)
            elif protocol.upgrade == "STARTTLS":
                self.answer()  # RFC 5804, 2.2: the server says its capabilities again

    def encrypt(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock)
        note("from here on inside TLS")

    def line(self) -> str:
        """The next line; Closed at the end of the stream."""
        while b"\n" not in self.buffer:
            try:
                data = self.sock.recv(4096)
            except (ConnectionError, ssl.SSLError):
                data = b""
            if not data:
                raise Closed
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        text = line.rstrip(b"\r").decode("latin-1")
        print("S: " + text)
        return text

    def answer(self, question: str = "") -> str:
        """The last line of an answer."""
        started = time.monotonic()
        end = self.protocol.end if question else self.protocol.greeting or self.protocol.end
        long = re.match(self.protocol.long, question)
        prompts = re.match("[aA ]*AUTH", question)
        for _ in range(LINES):
            line = self.line()
            if long and line.startswith("+OK"):
                while line != ".":
                    line = self.line()
            elif not re.match(end, line) and not (prompts and re.match(self.protocol.more, line)):
                continue
            if line.startswith("{"):
                self.line()
            break
        took = time.monotonic() - started
        if took > SLOW:
            note("after %.0f s" % took)
        return line

    def say(self, question: str) -> str:
        print("C: " + question)
        try:
            self.sock.sendall(question.encode() + b"\r\n")
        except OSError:
            raise Closed from None
        return self.answer(question)

    def ask(self, question: Question) -> None:
        first, *rest = question
        answer = self.say(first)
        for line in rest:
            if re.match(self.protocol.more, answer):
                answer = self.say(line)


def note(text: str) -> None:
    print("# " + text)


def main(name: str, address: str, port: str, how: str) -> None:
    """Asks everything; on new connections where the server closes one. With `greet` it only comes
    and goes.
    """
    protocol = PROTOCOLS[name]
    questions = () if how == "greet" else protocol.questions
    session: Session | None = None
    try:
        for question in (*questions, (protocol.farewell,)):
            session = session or Session(protocol, address, int(port), how)
            try:
                session.ask(question)
            except Closed:
                note("the server closed the connection")
                session.sock.close()
                session = None
    except Closed:
        note("the server closed the connection")
    except ConnectionAbortedError:
        note("no TLS to be had")
    except TimeoutError:
        note("no answer within %.0f s" % SECONDS)
    finally:
        if session is not None:
            session.sock.close()


if __name__ == "__main__":
    main(*sys.argv[1:5])
