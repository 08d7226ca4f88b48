"""Both sides of a text protocol's connection, read passively: what all protocols have in common.

Strategy: `TextSession` cuts the two byte streams into lines, knows which commands wait for their
answer (clients may pipeline), and follows a SASL exchange. A protocol's own class says what a line
means: `_command` for the client's, `_line` for the server's, which calls `_replied` when an answer
is whole. The prober feeds it what it says itself and reads `reply` and `replies`; an observer of
captures feeds it what others said. Nothing is kept of the client's lines but who logs in and how.
"""

from __future__ import annotations

import collections
from typing import ClassVar, Deque, Iterable, List, Optional, Tuple

from mailseal.model.look import Outcome
from mailseal.protocols import answers, sasl
from mailseal.protocols.base import Answer, LineBuffer, LoginEvent, Reply, Side, hidden, printable
from mailseal.protocols.sasl import Exchange

PIPELINE = 64
"""Commands that may wait for their answer; a client that sends more without one is not followed."""

REPLY_LINES = 256
"""Lines of one answer that are kept (a capability list has some dozens); the rest is let go."""


class Asked:
    """A command that waits for its answer. What may be secret in it is kept no longer than that, to
    be found again in an answer that repeats it. `begun` is the command that this one goes on with
    (PASS with USER): both are one login. `event` is its place in `logins`, or None. `tag` is IMAP's
    name for it.
    """

    __slots__ = (
        "begun",
        "event",
        "exchange",
        "mechanism",
        "remote",
        "secrets",
        "tag",
        "user",
        "verb",
    )

    def __init__(
        self,
        verb: bytes,
        mechanism: str = "",
        user: Optional[str] = None,
        secrets: Iterable[bytes] = (),
        remote: Optional[str] = None,
        exchange: Optional[Exchange] = None,
        begun: Optional[Asked] = None,
        tag: bytes = b"",
    ) -> None:
        self.verb = verb
        self.mechanism = mechanism
        self.user = user
        self.secrets = tuple(secrets)
        self.remote = remote
        self.exchange = exchange
        self.begun = begun or self
        self.tag = tag
        self.event: Optional[int] = None

    def __repr__(self) -> str:
        return "Asked(%r)" % self.verb


def exchange_of(verb: bytes, argument: bytes, tag: bytes = b"") -> Asked:
    """A command that begins a SASL exchange: `mechanism [initial response]`. What names no known
    mechanism is some command: the word may be anything.
    """
    word, _, initial = argument.partition(b" ")
    mechanism = sasl.name(word)
    if mechanism is None or mechanism not in sasl.KNOWN:
        return Asked(b"", tag=tag)
    exchange = Exchange(mechanism)
    if initial:
        exchange.response(initial)
    return Asked(verb, mechanism, exchange=exchange, tag=tag)


def _sent(asked: Asked) -> bool:
    """Whether the secret was on its way: of LOGIN the name comes first."""
    exchange = asked.exchange
    if exchange is None or exchange.cancelled:
        return bool(asked.secrets) and exchange is None
    return exchange.sent > (exchange.mechanism == "LOGIN") or exchange.blind


class TextSession:
    """One connection. `logins` has an event for each login command once it was answered (a prompt
    is an answer; the end of the exchange replaces it).

    `reply` is the last whole answer and `replies` how many there were, the greeting included;
    `heard`, where it is a list, gets every line of the server's. `capabilities` are the server's
    own words, `offers` the mechanisms among them (and login commands by name), `tls_offered`
    whether STARTTLS or STLS is. `upgrade` is the answer to that command, and `sealed` is set where
    TLS begins: what follows is not text. `software` is what the client says of itself. `torn`: of
    the client's side something is missing.
    """

    STARTTLS: ClassVar[bytes] = b""
    """The command that begins TLS; empty where there is none."""

    __slots__ = (
        "_asked",
        "_blind",
        "_client",
        "_collected",
        "_exchange",
        "_server",
        "banner",
        "capabilities",
        "greeted",
        "heard",
        "inside",
        "logins",
        "offers",
        "preauth",
        "replies",
        "reply",
        "sealed",
        "software",
        "tls_offered",
        "torn",
        "upgrade",
    )

    def __init__(self, inside: bool = False) -> None:
        """`inside`: the session goes on inside TLS after STARTTLS, without another greeting."""
        self.inside = inside
        self.banner = ""
        self.logins: List[LoginEvent] = []
        self.capabilities: Tuple[str, ...] = ()
        self.offers: Tuple[str, ...] = ()
        self.tls_offered = False
        self.upgrade: Optional[Reply] = None
        self.sealed = False
        self.software: Tuple[str, ...] = ()
        self.torn = False
        self.preauth = False
        self.greeted = inside
        self.reply: Optional[Reply] = None
        self.replies = 0
        self.heard: Optional[List[bytes]] = None
        self._client = LineBuffer()
        self._server = LineBuffer()
        self._asked: Deque[Asked] = collections.deque()
        self._blind = False
        self._exchange: Optional[Asked] = None
        self._collected: List[bytes] = []

    # -- bytes ---------------------------------------------------------------------------------

    def feed(self, side: Side, data: bytes) -> Optional[int]:
        """Takes the next bytes of one side. None: all taken. A number: from that offset on the
        bytes belong to TLS, stop buffering.
        """
        if self.sealed:
            return 0
        buffer = self._server if side is Side.SERVER else self._client
        start, size = 0, len(data)
        while start < size and not buffer.overflow:
            if buffer.torn:
                start = data.find(b"\n", start) + 1
                if not start:
                    return None
                buffer.torn = False
                continue
            if buffer.skip:
                # Counted octets: mail of somebody, mostly.
                taken = min(buffer.skip, size - start)
                buffer.skip -= taken
                self._counted(side, data[start : start + taken])
                start += taken
                continue
            end = data.find(b"\n", start) + 1 or size
            lines = buffer.feed(data[start:end])
            start = end
            if lines and self._take(side, lines[0]):
                return start
        if buffer.overflow and side is Side.CLIENT:
            # An overlong line of a message, or a token: it is let go, and the next one taken up.
            self.lost(side)
            buffer.torn = data[start - 1 : start] != b"\n"
            self._blind = False
            behind = self.feed(side, data[start:])
            return None if behind is None else start + behind
        return None

    def lost(self, side: Side, octets: int = 0) -> None:
        """So many octets of one side were not seen (0: not known how many). What follows is never
        taken for the continuation of anything, and its first line names nobody: after a gap a
        password looks like a name.
        """
        buffer = self._server if side is Side.SERVER else self._client
        if 0 < octets <= buffer.skip and self._spares(side):
            buffer.skip -= octets
            return
        buffer.tear()
        self._forget(side)
        if side is Side.CLIENT:
            # Of an exchange the next line is a response; else a command, or the rest of one.
            exchange = any(asked.exchange is not None for asked in self._asked)
            buffer.torn, self._blind, self.torn = exchange, True, True
            for asked in self._asked:
                if asked.exchange is not None:
                    asked.exchange.blind = True
        else:
            self.logins += self.unanswered()
            self._asked.clear()
            self._collected.clear()
        self._exchange = None

    @property
    def undecided(self) -> bool:
        """A login waits for its answer."""
        return any(asked.mechanism for asked in self._asked)

    def unanswered(self) -> List[LoginEvent]:
        """The logins whose secret was sent and whose answer has not come."""
        waiting = [each for each in self._asked if each.mechanism and _sent(each)]
        return [
            LoginEvent(
                each.mechanism,
                each.user or (each.exchange.user if each.exchange else None),
                each.remote,
                Outcome.UNCLEAR,
                "no answer was seen",
                each.mechanism in self.offers,
                sent=True,
            )
            for each in waiting
        ]

    def _spares(self, side: Side) -> bool:
        """Whether the counted octets that come on this side are of no interest."""
        return True

    def _forget(self, side: Side) -> None:
        """A protocol's own notes of what would come next on this side."""

    def _take(self, side: Side, line: bytes) -> bool:
        """A whole line; True where TLS begins behind it."""
        if side is Side.SERVER:
            if self.heard is not None:
                self.heard.append(line)
            self._line(line)
        elif self._exchange is not None:
            self._response(self._exchange, line)
        else:
            known = len(self._asked)
            self._command(line)
            if self._blind:
                self._blind = False
                self._unnamed(known)
        return self.sealed

    def _unnamed(self, known: int) -> None:
        """What was asked with a line that may not be whole names nobody: the name may be a part of
        something else.
        """
        for asked in list(self._asked)[known:]:
            asked.user = None
            self._exchange = None
            if asked.exchange is not None:
                asked.exchange.user = None
                asked.exchange.blind = True

    @property
    def overflow(self) -> bool:
        """The server sent a line that no mail server sends; nothing more is read of it."""
        return self._server.overflow

    @property
    def held(self) -> bytes:
        """The server's last line as far as it has come."""
        return self._server.held

    # -- what a protocol says ------------------------------------------------------------------

    def _command(self, line: bytes) -> None:
        """A command of the client's."""
        raise NotImplementedError

    def _line(self, line: bytes) -> None:
        """A line of the server's."""
        raise NotImplementedError

    def _answered(self, asked: Asked, reply: Reply) -> None:
        """A command of the protocol's own, other than login and STARTTLS, was answered."""

    def _counted(self, side: Side, data: bytes) -> None:
        """Octets that are no lines. They are not looked at, unless a protocol has a reason."""

    def _response(self, asked: Asked, line: bytes) -> None:
        """A line of the client's within a SASL exchange."""
        assert asked.exchange is not None
        asked.exchange.response(line)

    # -- commands and answers ------------------------------------------------------------------

    def _ask(self, asked: Asked) -> None:
        """A command went out."""
        if len(self._asked) >= PIPELINE:
            return
        self._asked.append(asked)
        if asked.exchange is not None and not asked.exchange.sent:
            # With an initial response it may be over already, and the next line be a command.
            self._exchange = asked

    @property
    def _waiting(self) -> Optional[Asked]:
        """The command whose answer comes next."""
        return self._asked[0] if self._asked else None

    def _collect(self, line: bytes) -> None:
        """A line of an answer that is not whole yet."""
        if len(self._collected) < REPLY_LINES:
            self._collected.append(line)

    def _replied(self, answer: Answer, line: bytes) -> None:
        """An answer is whole."""
        reply = self._count(answer, line)
        if not self.greeted:
            self.greeted = True
            self.banner = printable(line)
            self._greeting(reply)
            return
        asked = self._waiting
        if asked is None:
            return
        if answer is Answer.MORE and asked.exchange is not None:
            self._prompted(asked, asked.exchange, reply)
            return
        self._asked.popleft()
        if self._exchange is asked:
            self._exchange = None
        if asked.verb == self.STARTTLS and asked.verb:
            self.upgrade = reply
            self.sealed = answer is Answer.YES
        elif asked.mechanism:
            self._decided(asked, reply)
        self._answered(asked, reply)

    def _count(self, answer: Answer, line: bytes) -> Reply:
        """One more reply, which may or may not be the answer to a command."""
        self.reply = Reply(answer, line, tuple(self._collected))
        self._collected.clear()
        self.replies += 1
        return self.reply

    def _greeting(self, reply: Reply) -> None:
        """The server's first words; `banner` is set."""

    def _prompted(self, asked: Asked, exchange: Exchange, reply: Reply) -> None:
        """The server wants the next part of an exchange; its first want tells."""
        self._exchange = asked
        if not exchange.prompted:
            exchange.prompted = True
            if not exchange.sent:
                self._note(asked, reply, answers.to_command(asked.mechanism, *reply[:2]))

    def _decided(self, asked: Asked, reply: Reply) -> None:
        """A login command has its last answer."""
        exchange = asked.exchange
        if exchange is not None:
            asked.user = asked.user or exchange.user
            asked.secrets += tuple(exchange.secrets)
            if exchange.cancelled and exchange.prompted:
                return
        line = hidden(reply.line, asked.secrets)
        told = answers.to_login if asked.secrets else answers.to_command
        self._note(asked, reply, told(asked.mechanism, reply.answer, line))

    def _note(self, asked: Asked, reply: Reply, meaning: Tuple[Outcome, str]) -> None:
        """Writes down how a login command was taken; a later word on the same one replaces it."""
        outcome, reason = meaning
        event = LoginEvent(
            mechanism=asked.mechanism,
            user=asked.user,
            remote=asked.remote,
            outcome=outcome,
            reason=reason,
            offered=asked.mechanism in self.offers,
            said=printable(hidden(reply.line, asked.secrets)),
            sent=_sent(asked),
        )
        place = asked.begun.event
        if place is None:
            asked.begun.event = len(self.logins)
            self.logins.append(event)
        else:
            self.logins[place] = event
