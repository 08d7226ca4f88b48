"""ManageSieve (RFC 5804), port 4190/tcp.

The server speaks first: its capabilities, one line each (`"NAME" "value"`), then `OK`, or `NO` or
`BYE` alone, each with an optional code in parentheses and a text. Strings are quoted or literals.
After STARTTLS it lists its capabilities again inside TLS, unasked (section 2.2). `"SASL" ""` before
TLS says that no login is offered there; what it does is asked all the same.

    command (argument)               answer                     challenges
    AUTHENTICATE (mechanism [text])  OK, NO, BYE                strings
    STARTTLS                         OK, TLS begins             no
    CAPABILITY                       capabilities, OK           no
    LOGOUT                           OK                         no
    others                           lines, OK, NO, BYE         no

Asked carefully, `AUTHENTICATE "PLAIN"` without its text is answered by an empty string where the
server would take a password; `"*"` cancels.
"""

from __future__ import annotations

import re

from mailseal.protocols import sasl
from mailseal.protocols.base import HEAR, Answer, Client, Reply, Say, Side, Task, printable
from mailseal.protocols.literals import LiteralSession, quoted, words
from mailseal.protocols.session import Asked, TextSession, exchange_of

NAME = "managesieve"
PORT = 4190
MECHANISMS = sasl.PROBED
HARMLESS = b'NOOP "mailseal"\r\n'
ANNOUNCES = 1
"""Replies that come by themselves inside TLS."""

_FINAL = re.compile(rb"(OK|NO|BYE)\b", re.IGNORECASE)
ANSWERS = {b"OK": Answer.YES, b"NO": Answer.NO, b"BYE": Answer.BYE}


class Session(LiteralSession):
    """Both sides of a ManageSieve connection. Inside TLS the announcement is the greeting."""

    STARTTLS = b"STARTTLS"

    __slots__ = ()

    def __init__(self, inside: bool = False) -> None:
        super().__init__(inside)
        self.greeted = False

    def _keeps(self, side: Side, line: bytes) -> bool:
        """What the server says is short; of the client's literals those of a login count."""
        if side is Side.SERVER or self._exchange is not None:
            return True
        return line.lstrip()[:12].upper() == b"AUTHENTICATE"

    def _command(self, line: bytes) -> None:
        verb = line.split(b" ", 1)[0].upper()
        if verb == b"AUTHENTICATE":
            found = words(line) if line[12:14] == b' "' else None
            self._ask(exchange_of(verb, b" ".join(found[1:]) if found else b""))
        else:
            known = verb in (b"CAPABILITY", b"STARTTLS")
            self._ask(Asked(verb if known else b""))

    def _response(self, asked: Asked, line: bytes) -> None:
        assert asked.exchange is not None
        asked.exchange.response((words(line) or (b"",))[0])

    def _line(self, line: bytes) -> None:
        found = _FINAL.match(line)
        if found is not None:
            self._replied(ANSWERS[found.group(1).upper()], line)
        elif self._exchange is not None and line[:1] == b'"':
            self._replied(Answer.MORE, line)
        else:
            self._collect(line)

    def _greeting(self, reply: Reply) -> None:
        self._capable(reply)

    def _answered(self, asked: Asked, reply: Reply) -> None:
        if asked.verb == b"CAPABILITY" and reply.answer is Answer.YES:
            self._capable(reply)

    def _capable(self, reply: Reply) -> None:
        lines = [(*(words(line) or ()), b"", b"") for line in reply.before]
        listed = {name.upper(): value for name, value, *_ in lines}
        self.capabilities = tuple(printable(line) for line in reply.before)
        self.tls_offered = b"STARTTLS" in listed
        self.offers = sasl.offered(listed.get(b"SASL", b"").split())
        if b"IMPLEMENTATION" in listed:
            self.banner = printable(listed[b"IMPLEMENTATION"])


_STARTTLS = Say(b"STARTTLS\r\n", "STARTTLS")
_LOGOUT = Say(b"LOGOUT\r\n", "LOGOUT")


def _begin(mechanism: str) -> bytes:
    return b'AUTHENTICATE "%s"\r\n' % mechanism.encode("ascii")


def client(session: TextSession, task: Task) -> Client:
    """The careful client: the SASL mechanisms up to their challenge, STARTTLS where it is not
    listed (a listed one gets a connection of its own), LOGOUT.
    """
    greeting = yield HEAR
    if greeting.answer is not Answer.YES:
        return
    if task.upgrade:
        yield Say(_STARTTLS.data + task.injected, _STARTTLS.shown)
        return
    if task.login is not None:
        mechanism, login = task.mechanisms[0], task.login
        yield from sasl.login(mechanism, login, _begin, lambda text: quoted(text) + b"\r\n")
    else:
        mechanisms = sasl.to_try(task.mechanisms, session.offers)
        yield from sasl.careful(mechanisms, _begin, b'"*"\r\n')
        if not task.inside and not session.tls_offered:
            yield _STARTTLS
    yield _LOGOUT
