"""IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051), ports 143/tcp and 993/tcp (TLS from the start).

The server speaks first: `* OK`, `* PREAUTH` (logged in from the start) or `* BYE`. Each command has
a tag of the client's; lines of data begin with `*` and come before the tagged line that ends the
answer, `+` asks for more. LOGIN carries user and password as atoms, quoted strings or literals;
AUTHENTICATE begins a SASL exchange (with an initial response where there is SASL-IR, RFC 4959);
STARTTLS begins TLS. Capabilities come in the greeting, in `* CAPABILITY` and behind a tagged OK.

    command (argument)               answer                     prompts ("+ ")
    CAPABILITY                       * CAPABILITY, tagged OK    no
    LOGIN (user password)            tagged OK, NO, BAD         for literals
    AUTHENTICATE (mechanism [text])  tagged OK, NO, BAD         yes
    STARTTLS                         tagged OK, TLS begins      no
    LOGOUT                           * BYE, tagged OK           no
    others                           tagged OK, NO, BAD         for literals, IDLE

LOGINDISABLED speaks of LOGIN alone: AUTH=PLAIN can remain. Neither of them listed means that LOGIN
is probably taken. Asked carefully, `LOGIN "" ""` (no name, no secret) shows whether the command is
processed or refused, and `AUTHENTICATE PLAIN` without its text whether the server would ask for it.
"""

from __future__ import annotations

import itertools
import re
from typing import Callable, Generator, Optional, Tuple

from mailseal.model.look import Outcome
from mailseal.protocols import answers, sasl
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
from mailseal.protocols.literals import LiteralSession, quoted, words
from mailseal.protocols.session import Asked, TextSession, exchange_of

NAME = "imap"
PORT = 143
LOGIN = "LOGIN command"
MECHANISMS = (LOGIN, *sasl.PROBED)
HARMLESS = b"m0 NOOP\r\n"

ANSWERS = {b"OK": Answer.YES, b"NO": Answer.NO, b"BAD": Answer.BAD}
GREETINGS = {b"OK": Answer.YES, b"PREAUTH": Answer.YES, b"BYE": Answer.BYE}
KNOWN = frozenset((b"CAPABILITY", b"LOGIN", b"AUTHENTICATE", b"STARTTLS", b"LOGOUT"))
"""Commands that leave a trace here."""

_CAPABILITY = re.compile(
    rb"\* CAPABILITY (.*)|\* (?:OK|PREAUTH) \[CAPABILITY ([^\]]*)\]", re.IGNORECASE
)
_EXISTS = re.compile(rb"\* (\d{1,10}) EXISTS\Z", re.IGNORECASE)
_TAG = re.compile(rb'[^\s"(){%*\\+]+\Z')
_CODE = re.compile(rb"\w+ \[CAPABILITY ([^\]]*)\]", re.IGNORECASE)


class Session(LiteralSession):
    """Both sides of an IMAP connection."""

    STARTTLS = b"STARTTLS"

    __slots__ = ("messages",)

    def __init__(self, inside: bool = False) -> None:
        super().__init__(inside)
        self.messages: Optional[int] = None

    def _keeps(self, side: Side, line: bytes) -> bool:
        """Of all literals those of LOGIN, and of ID, alone."""
        return side is Side.CLIENT and line.upper().split(b" ", 2)[1:2] in ([b"LOGIN"], [b"ID"])

    def _command(self, line: bytes) -> None:
        tag, _, rest = line.partition(b" ")
        verb, _, argument = rest.partition(b" ")
        verb = verb.upper()
        if not _TAG.match(tag) or not verb:
            return  # DONE, or no command at all: nobody answers it
        if verb == b"LOGIN":
            self._ask(_login_of(tag, argument))
        elif verb == b"AUTHENTICATE":
            self._ask(exchange_of(verb, argument, tag))
        elif verb == b"ID":
            self.software = _software(argument) or self.software
            self._ask(Asked(b"", tag=tag))
        else:
            # What is not in the table gets an answer too, but leaves nothing of itself here.
            self._ask(Asked(verb if verb in KNOWN else b"", tag=tag))

    def _line(self, line: bytes) -> None:
        if line[:2] == b"* ":
            self._untagged(line)
        elif line[:1] == b"+":
            waiting = self._waiting
            if waiting is not None and waiting.exchange is not None:
                self._replied(Answer.MORE, line)
            else:
                self._count(Answer.MORE, line)
        else:
            self._tagged(line)

    def _untagged(self, line: bytes) -> None:
        found = _CAPABILITY.match(line)
        waiting = self._waiting
        # Behind a login it is what the client may do from then on.
        if found is not None and not (waiting is not None and waiting.mechanism):
            self._capable(found.group(1) or found.group(2) or b"")
        exists = _EXISTS.match(line)
        if exists is not None:
            self.messages = int(exists.group(1))
        if not self.greeted:
            word = line[2:].split(b" ", 1)[0].upper()
            self.preauth = word == b"PREAUTH"
            self._replied(GREETINGS.get(word, Answer.NONE), line)

    def _tagged(self, line: bytes) -> None:
        tag, _, rest = line.partition(b" ")
        answer = ANSWERS.get(rest.split(b" ", 1)[0].upper())
        begun = self._of_client.begun
        if begun is not None and begun.startswith(tag + b" ") and self._refused():
            self._command(begun)
        asked = next((each for each in self._asked if each.tag == tag), None)
        if not self.greeted:
            self._replied(Answer.NONE, line)
        elif answer is not None and asked is not None:
            found = _CODE.match(rest)
            # What a logged-in client is offered is no longer about logins.
            if found is not None and not asked.mechanism:
                self._capable(found.group(1))
            # Commands that wait are answered in whatever order the server likes.
            self._asked.remove(asked)
            self._asked.appendleft(asked)
            self._replied(answer, rest)

    def _capable(self, listed: bytes) -> None:
        found = listed.upper().split()
        self.capabilities = tuple(printable(word) for word in found)
        self.tls_offered = b"STARTTLS" in found
        login = () if b"LOGINDISABLED" in found else (LOGIN,)
        self.offers = login + sasl.offered(w[5:] for w in found if w[:5] == b"AUTH=")

    def _decided(self, asked: Asked, reply: Reply) -> None:
        if asked.mechanism != LOGIN or asked.secrets:
            super()._decided(asked, reply)
            return
        outcome, reason = answers.to_command(LOGIN, reply.answer, reply.line)
        said = printable(reply.line)
        words_of_it = reply.line.partition(b" ")[2]
        if reply.answer is Answer.BAD and not answers.is_a_no(words_of_it):
            # Not understood without a name: only a login with a password would decide.
            outcome = Outcome.UNCLEAR
            reason = "%s: only a login would decide: %s" % (LOGIN, said)
        if outcome is Outcome.UNCLEAR and LOGIN in self.offers:
            outcome = Outcome.OFFERED
            reason = "%s is offered (no LOGINDISABLED): %s" % (LOGIN, said)
            if reply.answer is Answer.NO and answers.REJECTED.search(reply.line):
                # With LOGINDISABLED it would show nothing: UW calls every LOGIN failed then.
                outcome = Outcome.ACCEPTED
                reason = "%s: it was processed in cleartext: %s" % (LOGIN, said)
        self._note(asked, reply, (outcome, reason))


def _login_of(tag: bytes, argument: bytes) -> Asked:
    """LOGIN by the grammar; a command without a trace where it is none, or has begun alone."""
    found = words(argument)
    if found is None or len(found) > 2:
        return Asked(b"", tag=tag)
    user, secret = (*found, b"", b"")[:2]
    secrets = (secret,) if secret else ()
    return Asked(b"LOGIN", LOGIN, printable(user) or None, secrets, tag=tag)


_FIELD = re.compile(rb'"(name|version)" "((?:[^"\\]|\\["\\]){0,64})"', re.IGNORECASE)


def _software(argument: bytes) -> Tuple[str, ...]:
    """Name and version of ID (RFC 2971), as one text."""
    found = {key.lower(): printable(value) for key, value in _FIELD.findall(argument)}
    words = " ".join(found[key] for key in (b"name", b"version") if found.get(key))
    return (words,) if words else ()


_Write = Callable[[bytes], bytes]


def _writer() -> _Write:
    """Makes a command a line, with the next tag."""
    numbers = itertools.count(1)
    return lambda command: b"m%d %s\r\n" % (next(numbers), command)


def _say(line: bytes) -> Say:
    return Say(line, printable(line[:-2]))


def client(session: TextSession, task: Task) -> Client:
    """The careful client: CAPABILITY, the SASL mechanisms up to their prompts, LOGIN without a name
    where none of them asked, STARTTLS where it is not listed (a listed one gets a connection of its
    own), LOGOUT. A session that is logged in from the start is left alone.
    """
    write = _writer()
    if not task.inside:
        greeting = yield HEAR
        if greeting.answer is not Answer.YES or session.preauth:
            return
    if not session.capabilities:
        yield _say(write(b"CAPABILITY"))
    if task.upgrade:
        line = write(b"STARTTLS")
        yield Say(line + task.injected, printable(line[:-2]))
        return
    if task.login is not None:
        yield from _login(write, task.mechanisms[0], task.login)
        if task.then is not None:
            yield from task.then(session)
    else:
        mechanisms = sasl.to_try(task.mechanisms, session.offers)
        yield from sasl.careful(mechanisms, lambda name: write(_authenticate(name)))
        # A prompt is cancelled, a LOGIN fails: some servers let whoever comes from this address
        # wait for it (Dovecot's auth penalty). It is spared where the answer is known already.
        asked = any(event.outcome is Outcome.ACCEPTED for event in session.logins)
        if not asked and (not task.mechanisms or LOGIN in task.mechanisms):
            yield _say(write(b'LOGIN "" ""'))
        if not task.inside and not session.tls_offered:
            yield _say(write(b"STARTTLS"))
    yield _say(write(b"LOGOUT"))


def _authenticate(mechanism: str) -> bytes:
    return b"AUTHENTICATE " + mechanism.encode("ascii")


def _login(write: _Write, mechanism: str, credentials: Credentials) -> Generator[Step, Reply, None]:
    if mechanism != LOGIN:
        yield from sasl.login(mechanism, credentials, lambda name: write(_authenticate(name)))
        return
    parts = _arguments(credentials)
    shown = "LOGIN %s [password not shown]" % printable(credentials.name)
    reply = yield Say(write(b"LOGIN " + parts[0]), shown)
    for part in parts[1:]:
        if reply.answer is not Answer.MORE:
            return
        reply = yield Say(part + b"\r\n", "[password not shown]")


def _arguments(credentials: Credentials) -> Tuple[bytes, ...]:
    """Name and password as quoted strings; as literals, one line each, where a quoted string may
    not hold them (RFC 3501 section 9: seven bits).
    """
    name, secret = credentials.name, credentials.secret
    if all(32 <= octet < 127 for octet in name + secret):
        return (quoted(name) + b" " + quoted(secret),)
    return (b"{%d}" % len(name), name + b" {%d}" % len(secret), secret)
