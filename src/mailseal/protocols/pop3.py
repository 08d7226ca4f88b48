"""POP3, Post Office Protocol version 3 (RFC 1939), ports 110/tcp and 995/tcp (TLS from the start).

The server speaks first. Every reply is one line that begins with "+OK" or "-ERR"; some commands add
lines, ended by a line of one dot. Passwords travel with USER and PASS (RFC 1939 section 7) and with
SASL mechanisms (AUTH, RFC 5034); APOP sends an MD5 digest instead. CAPA (RFC 2449) lists what there
is, STLS (RFC 2595) begins TLS. Old servers know neither.

    command (argument)      more lines after +OK    prompts ("+ ")
    USER name               no                      no
    PASS secret             no                      no
    APOP name digest        no                      no
    AUTH mechanism [text]   no                      yes
    AUTH                    yes                     no
    CAPA                    yes                     no
    STLS                    no, TLS begins          no
    LIST, UIDL              without argument        no
    RETR, TOP               yes                     no
    QUIT, others            no                      no

Asked carefully, `USER` with a name that nobody has and `AUTH PLAIN` without its text tell whether
the server would take a password: "+OK" and "+ " ask for it. USER may be missing from CAPA and still
work, or stand there and be refused, so both are tried whatever CAPA says.
"""

from __future__ import annotations

from typing import Generator, Optional

from mailseal.model.look import Outcome
from mailseal.protocols import sasl
from mailseal.protocols.base import (
    HEAR,
    Answer,
    Client,
    Credentials,
    Reply,
    Say,
    Side,
    Step,
    Task,
    printable,
)
from mailseal.protocols.session import Asked, TextSession, exchange_of

NAME = "pop3"
PORT = 110
MECHANISMS = ("USER", *sasl.PROBED)

LISTS = frozenset((b"CAPA", b"LIST", b"UIDL", b"RETR", b"TOP", b"AUTH"))
"""More lines follow their +OK."""
ONE = frozenset((b"LIST", b"UIDL", b"AUTH"))
"""But not where they have an argument."""

HARMLESS = b"CAPA\r\n"

NOBODY = "mailseal-nobody"
"""The name that the careful look gives: no account is called so."""


class Session(TextSession):
    """Both sides of a POP3 connection."""

    STARTTLS = b"STLS"

    __slots__ = ("_lists", "_user")

    def __init__(self, inside: bool = False) -> None:
        super().__init__(inside)
        self._lists = False
        self._user: Optional[Asked] = None

    def _command(self, line: bytes) -> None:
        verb, _, argument = line.partition(b" ")
        verb, argument = verb.upper(), argument.strip(b" ")
        if verb == b"USER":
            self._user = Asked(verb, "USER", printable(argument) or None)
            self._ask(self._user)
        elif verb == b"PASS":
            self._password(argument)
        elif verb == b"APOP":
            user, _, digest = argument.partition(b" ")
            self._ask(Asked(verb, "APOP", printable(user), (digest,)))
        elif verb == b"AUTH" and argument:
            self._ask(exchange_of(b"", argument))
        elif verb in LISTS and not (verb in ONE and argument):
            self._ask(Asked(verb))
        else:
            # What is not in the table gets an answer too, but leaves nothing of itself here.
            self._ask(Asked(verb if verb == b"STLS" else b""))

    def _password(self, secret: bytes) -> None:
        """PASS belongs to the USER before it: together they are one login."""
        user, self._user = self._user, None
        self._ask(Asked(b"PASS", "USER", user.user if user else None, (secret,), begun=user))

    def _line(self, line: bytes) -> None:
        if self._lists:
            if line != b".":
                self._collect(line)
                return
            self._lists = False
            self._replied(Answer.YES, line)
        elif line[:3] == b"+OK":
            waiting = self._waiting
            if waiting is not None and waiting.verb in LISTS:
                self._lists = True
            else:
                self._replied(Answer.YES, line)
        elif line[:1] == b"+":
            self._replied(Answer.MORE, line)
        else:
            self._replied(Answer.NO if line[:4] == b"-ERR" else Answer.NONE, line)

    def _forget(self, side: Side) -> None:
        if side is Side.CLIENT:
            self._user = None
        else:
            self._lists = False

    def _decided(self, asked: Asked, reply: Reply) -> None:
        if asked.verb == b"PASS" and reply.answer is not Answer.YES:
            at = asked.begun.event
            seen = self.torn if at is None else self.logins[at].outcome is Outcome.ACCEPTED
            if not seen:
                return  # USER was refused, or never said: nothing was looked at
        super()._decided(asked, reply)

    def _answered(self, asked: Asked, reply: Reply) -> None:
        if asked.verb == b"CAPA" and reply.answer is Answer.YES:
            self._capable(reply)

    def _capable(self, reply: Reply) -> None:
        words = [line.split() for line in reply.before]
        self.capabilities = tuple(printable(line) for line in reply.before)
        self.tls_offered = [b"STLS"] in [each[:1] for each in words]
        listed = [word for each in words if each[:1] == [b"SASL"] for word in each[1:]]
        user = ("USER",) if [b"USER"] in words else ()
        self.offers = tuple(dict.fromkeys((*self.offers, *user, *sasl.offered(listed))))

    def _greeting(self, reply: Reply) -> None:
        # RFC 1939 section 7: a timestamp in angle brackets offers APOP.
        begin = reply.line.find(b"<")
        if 0 <= begin < reply.line.find(b"@", begin) < reply.line.find(b">", begin):
            self.offers = ("APOP",)


_CAPA = Say(b"CAPA\r\n", "CAPA")
_USER = Say(b"USER %s\r\n" % NOBODY.encode("ascii"), "USER " + NOBODY)
_STLS = Say(b"STLS\r\n", "STLS")
_QUIT = Say(b"QUIT\r\n", "QUIT")


def _auth(mechanism: str) -> bytes:
    return b"AUTH %s\r\n" % mechanism.encode("ascii")


def client(session: TextSession, task: Task) -> Client:
    """The careful client: CAPA, USER, the SASL mechanisms up to their prompts, STLS where it is not
    listed (a listed one gets a connection of its own), QUIT.
    """
    if not task.inside:
        greeting = yield HEAR
        if greeting.answer is not Answer.YES:
            return
    yield _CAPA
    if task.upgrade:
        yield Say(_STLS.data + task.injected, _STLS.shown)
        return
    if task.login is not None:
        yield from _login(task.mechanisms[0], task.login)
        if task.then is not None:
            yield from task.then(session)
    else:
        if not task.mechanisms or "USER" in task.mechanisms:
            yield _USER
        yield from sasl.careful(sasl.to_try(task.mechanisms, session.offers), _auth)
        if not task.inside and not session.tls_offered:
            yield _STLS
    yield _QUIT


def _login(mechanism: str, credentials: Credentials) -> Generator[Step, Reply, None]:
    if mechanism != "USER":
        yield from sasl.login(mechanism, credentials, _auth)
        return
    name = credentials.name
    reply = yield Say(b"USER " + name + b"\r\n", "USER " + printable(name))
    if reply.answer is Answer.YES:
        yield Say(b"PASS " + credentials.secret + b"\r\n", "PASS [password not shown]")
