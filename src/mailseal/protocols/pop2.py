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

import collections
import functools
import re
from typing import Deque, Dict, List, NamedTuple, Optional, Tuple

from mailseal.model.look import Outcome
from mailseal.protocols.base import (
    HEAR,
    Client,
    Credentials,
    LineBuffer,
    LoginEvent,
    Say,
    Side,
    hidden,
    printable,
)

NAME = "pop2"
PORT = 109


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

PIPELINE = 64
"""Commands that may wait for their answer; a client that sends more without one is not followed."""

_POLICY = re.compile(
    rb"disabled|not (allowed|permitted|available|supported)|TLS|SSL|plain ?text|clear ?text"
    rb"|encrypt|secur",
    re.IGNORECASE,
)
"""A server that says no for everybody, whoever asks. "Bad login" is not that."""

_ASKS = re.compile(rb"missing|user|password|argument|syntax", re.IGNORECASE)
"""A server that processed a bare HELO complains of what it lacks."""

_COUNT = re.compile(rb"([#=])\s?(\d{1,10})")
_PRODUCT = re.compile(rb"\bv?(\d{4}[a-z]?\.\d+)\b")


class _Asked(NamedTuple):
    """A command that waits for its answer. The secret is kept no longer than that, to be found
    again in an answer that repeats it.
    """

    verb: bytes
    user: Optional[str] = None
    remote: Optional[str] = None
    secret: bytes = b""

    def __repr__(self) -> str:
        return "_Asked(verb=%r)" % self.verb


class Session:
    """Both sides of a POP2 connection. `logins` grows by one event a HELO, when it is answered.

    `state` is "GREETING" until the server has spoken, then a state of the table, or "DONE".
    """

    __slots__ = (
        "_asked",
        "_client",
        "_octets",
        "_server",
        "_skip",
        "banner",
        "logins",
        "messages",
        "product",
        "state",
    )

    def __init__(self) -> None:
        self.banner = ""
        self.product = ""
        self.logins: List[LoginEvent] = []
        self.state = "GREETING"
        self.messages: Optional[int] = None
        self._client = LineBuffer()
        self._server = LineBuffer()
        self._asked: Deque[_Asked] = collections.deque()
        self._octets = 0
        self._skip = 0

    def feed(self, side: Side, data: bytes) -> Optional[int]:
        """See `base.Session.feed`. POP2 has no TLS inside: always None."""
        if side is Side.CLIENT:
            for line in self._client.feed(data):
                self._command(line)
            return None
        start, size = 0, len(data)
        while start < size and not self._server.overflow:
            if self._skip:
                # The message after RETR: counted octets, mail of somebody, never looked at.
                taken = min(self._skip, size - start)
                self._skip -= taken
                start += taken
                continue
            end = data.find(b"\n", start) + 1 or size
            for line in self._server.feed(data[start:end]):
                self._reply(line)
            start = end
        return None

    def _command(self, line: bytes) -> None:
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        if len(self._asked) >= PIPELINE:
            return
        if verb == b"HELO":
            self._asked.append(_who(argument))
        else:
            # What is not in the table gets an answer too, but leaves nothing of itself here.
            self._asked.append(_Asked(verb if verb in COMMANDS else b""))
        self._retrieve()

    def _retrieve(self) -> None:
        """RETR has no reply line: when its turn comes, the octets promised before follow."""
        if self.state == "ITEM" and self._asked and self._asked[0].verb == b"RETR":
            self._asked.popleft()
            self._skip, self._octets, self.state = self._octets, 0, "NEXT"

    def _reply(self, line: bytes) -> None:
        if self.state == "GREETING":
            self._greeting(line)
        elif self._asked:
            self._answer(self._asked.popleft(), line)
            self._retrieve()
        elif line.startswith(b"+"):
            self.state = "DONE"

    def _answer(self, asked: _Asked, line: bytes) -> None:
        if asked.verb == b"HELO":
            self._answered(asked, line)
        row = COMMANDS.get(asked.verb)
        if row is None or not row.yes or not line.startswith(row.yes):
            return
        self.state = row.then
        if row.yes == b"=":
            count = _COUNT.match(line)
            self._octets = int(count.group(2)) if count else 0
            if not self._octets:
                self.state = "MBOX"

    def _greeting(self, line: bytes) -> None:
        self.banner = printable(line)
        product = _PRODUCT.search(line)
        self.product = "UW ipop2d " + product.group(1).decode() if product else ""
        self.state = "AUTH" if line.startswith(b"+") else "DONE"
        if line.startswith(b"-"):
            outcome = Outcome.REFUSED if _POLICY.search(line) else Outcome.UNCLEAR
            self.logins.append(
                LoginEvent("HELO", None, None, outcome, "the greeting says: " + self.banner)
            )

    def _answered(self, asked: _Asked, line: bytes) -> None:
        outcome, reason = _judge(hidden(line, asked.secret), bool(asked.secret))
        if outcome is Outcome.PROVEN:
            count = _COUNT.match(line)
            self.messages = int(count.group(2)) if count else None
        self.logins.append(LoginEvent("HELO", asked.user, asked.remote, outcome, reason))


def _who(argument: bytes) -> _Asked:
    """Who wants to log in, of HELO's argument."""
    name, _, secret = argument.strip(b" ").partition(b" ")
    host, colon, user = name.partition(b":")
    if colon:
        return _Asked(b"HELO", printable(user), printable(host), secret)
    return _Asked(b"HELO", printable(name) or None, None, secret)


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


def client(credentials: Optional[Credentials] = None) -> Client:
    """The careful client: greeting, bare HELO, QUIT. With `credentials` it logs in instead, looks
    at the count alone and quits; no message is read or marked.
    """
    greeting = yield HEAR
    if greeting.startswith(b"+"):
        yield _HELO if credentials is None else _login(credentials)
        # The server may have said goodbye and closed already (UW does, after any "-").
        yield _QUIT


def _login(credentials: Credentials) -> Say:
    name = credentials.remote + ":" if credentials.remote else ""
    user = (name + credentials.user).encode("utf-8", "surrogateescape")
    return Say(
        b"HELO " + user + b" " + credentials.quoted + b"\r\n",
        "HELO %s [password not shown]" % printable(user),
    )
