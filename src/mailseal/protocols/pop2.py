"""POP2, Post Office Protocol version 2 (RFC 937), port 109/tcp.

The server speaks first. Each reply is one line whose first octet says what it is (RFC 937, "The
replies"); after RETR the message follows as the number of octets promised before. There is no TLS
command and no capability command: **every working POP2 login is cleartext** unless the whole
connection lies in TLS. HELO carries user and password in one line; UW's server also takes
`HELO host:user password` and logs in to that host's IMAP service for the client.

    state   command (argument)        awaits   reply           next state
    AUTH    HELO (user password)      HELO     `#` count       MBOX
                                               `-` error       (closed by most servers)
    MBOX    FOLD (mailbox)            FOLD     `#` count       MBOX
    MBOX    READ [number]             READ     `=` octets      ITEM (0: MBOX)
    ITEM    RETR                      RETR     octets          NEXT
    NEXT    ACKS, ACKD, NACK          ACK      `=` octets      ITEM (0: MBOX)
    any     QUIT                      QUIT     `+`             closed

Asked carefully, a bare `HELO` tells it all: a server that answers "missing user or password" has
processed a login command in the clear, and no secret was sent.
"""

from __future__ import annotations

import functools
import re
from typing import Dict, NamedTuple, Optional, Tuple

from mailseal.model.look import Outcome
from mailseal.protocols.base import (
    HEAR,
    Answer,
    Client,
    Credentials,
    LoginEvent,
    Reply,
    Say,
    Task,
    hidden,
    printable,
)
from mailseal.protocols.session import Asked, TextSession

NAME = "pop2"
PORT = 109
MECHANISMS = ("HELO",)


class Command(NamedTuple):
    """Of the table above: the reply mark that means yes, and the state that follows it."""

    yes: bytes
    then: str


COMMANDS: Dict[bytes, Command] = {
    b"HELO": Command(b"#", "MBOX"),
    b"FOLD": Command(b"#", "MBOX"),
    b"READ": Command(b"=", "ITEM"),
    b"RETR": Command(b"", "NEXT"),
    b"ACKS": Command(b"=", "ITEM"),
    b"ACKD": Command(b"=", "ITEM"),
    b"NACK": Command(b"=", "ITEM"),
    b"QUIT": Command(b"+", "DONE"),
}

_POLICY = re.compile(
    rb"disabled|not (allowed|permitted|available|supported)|TLS|SSL|plain ?text|clear ?text"
    rb"|encrypt|secur",
    re.IGNORECASE,
)
"""A server that says no for everybody, whoever asks. "Bad login" is not that."""

_ASKS = re.compile(rb"missing|user|password|argument|syntax", re.IGNORECASE)
"""A server that processed a bare HELO complains of what it lacks."""

_COUNT = re.compile(rb"([#=])\s?(\d{1,10})")


class Session(TextSession):
    """Both sides of a POP2 connection. `logins` grows by one event a HELO, when it is answered.

    `state` is "GREETING" until the server has spoken, then a state of the table, or "DONE".
    """

    __slots__ = ("_octets", "messages", "state")

    def __init__(self, inside: bool = False) -> None:
        super().__init__(inside)
        self.state = "GREETING"
        self.messages: Optional[int] = None
        self._octets = 0

    def _command(self, line: bytes) -> None:
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        # What is not in the table gets an answer too, but leaves nothing of itself here.
        self._ask(_who(argument) if verb == b"HELO" else Asked(verb if verb in COMMANDS else b""))
        self._retrieve()

    def _retrieve(self) -> None:
        """RETR has no reply line: when its turn comes, the octets promised before follow."""
        if self.state == "ITEM" and self._asked and self._asked[0].verb == b"RETR":
            self._asked.popleft()
            self._server.skip, self._octets, self.state = self._octets, 0, "NEXT"

    def _line(self, line: bytes) -> None:
        if self.greeted and not self._asked and line.startswith(b"+"):
            self.state = "DONE"
        self._replied(Answer.NO if line.startswith(b"-") else Answer.YES, line)
        self._retrieve()

    def _answered(self, asked: Asked, reply: Reply) -> None:
        row = COMMANDS.get(asked.verb)
        if row is None or not row.yes or not reply.line.startswith(row.yes):
            return
        self.state = row.then
        if row.yes == b"=":
            count = _COUNT.match(reply.line)
            self._octets = int(count.group(2)) if count else 0
            if not self._octets:
                self.state = "MBOX"

    def _greeting(self, reply: Reply) -> None:
        self.state = "AUTH" if reply.line.startswith(b"+") else "DONE"
        if reply.answer is Answer.NO:
            outcome = Outcome.REFUSED if _POLICY.search(reply.line) else Outcome.UNCLEAR
            reason = "the greeting says: " + self.banner
            self.logins.append(LoginEvent("HELO", None, None, outcome, reason, False, self.banner))

    def _decided(self, asked: Asked, reply: Reply) -> None:
        outcome, reason = _judge(hidden(reply.line, asked.secrets), bool(asked.secrets))
        if outcome is Outcome.PROVEN:
            count = _COUNT.match(reply.line)
            self.messages = int(count.group(2)) if count else None
        # There is no other way to log in, so whoever answers it has it.
        self.offers = ("HELO",) if outcome is not Outcome.REFUSED else ()
        self._note(asked, reply, (outcome, reason))


def _who(argument: bytes) -> Asked:
    """Who wants to log in, of HELO's argument."""
    name, _, secret = argument.strip(b" ").partition(b" ")
    host, colon, user = name.partition(b":")
    secrets = (secret,) if secret else ()
    if colon:
        return Asked(b"HELO", "HELO", printable(user), secrets, printable(host))
    return Asked(b"HELO", "HELO", printable(name) or None, secrets)


@functools.lru_cache(maxsize=128)
def _judge(line: bytes, secret: bool) -> Tuple[Outcome, str]:
    """What the answer to a HELO means. `secret`: it carried a password."""
    said = printable(line)
    if line.startswith(b"#"):
        return Outcome.PROVEN, "the login succeeded: " + said
    if not line.startswith(b"-"):
        return Outcome.UNCLEAR, "an answer RFC 937 does not know: " + said
    if secret:
        if _POLICY.search(line):
            return Outcome.REFUSED, "the login was refused by policy: " + said
        return Outcome.ACCEPTED, "user and password were processed in cleartext: " + said
    if _ASKS.search(line) and not _POLICY.search(line):
        return Outcome.ACCEPTED, "the login command was processed in cleartext: " + said
    if _POLICY.search(line):
        return Outcome.REFUSED, "the login command was refused by policy: " + said
    # "Bogus or out of sequence": the service is there and offers its only way to log in, which
    # is cleartext, but this answer does not show that it would take it.
    return Outcome.OFFERED, "a POP2 service is offered, HELO without a name was answered: " + said


_HELO = Say(b"HELO\r\n", "HELO")
_QUIT = Say(b"QUIT\r\n", "QUIT")


def client(session: TextSession, task: Task) -> Client:
    """The careful client: greeting, bare HELO, QUIT. With a login to try it logs in instead, looks
    at the count alone and quits; no message is read or marked.
    """
    greeting = yield HEAR
    if greeting.line.startswith(b"+"):
        yield _HELO if task.login is None else _login(task.login)
        if task.then is not None:
            yield from task.then(session)
        # The server may have said goodbye and closed already (UW does, after any "-").
        yield _QUIT


def _login(credentials: Credentials) -> Say:
    name = credentials.remote + ":" if credentials.remote else ""
    user = name.encode("utf-8", "surrogateescape") + credentials.name
    return Say(
        b"HELO " + user + b" " + credentials.secret.replace(b"\\", b"\\\\") + b"\r\n",
        "HELO %s [password not shown]" % printable(user),
    )
