"""The strategy of a look: which connections it takes, and what they add up to.

A *dialogue* owns one connection; a *look* may need several: a silent port may be waiting for TLS, a
certificate that does not verify is read without verifying, each old TLS version is asked for by
itself. `look` is a generator that yields `Dial`s and is sent `Call`s; the drivers make the
connections. So the strategy is written once, runs in both drivers, and is tested without a socket.
"""

from __future__ import annotations

import dataclasses
import enum
import secrets
from dataclasses import dataclass
from typing import Callable, Generator, List, Optional, Tuple

from mailseal.model.look import (
    Attempt,
    Channel,
    Endpoint,
    Observation,
    Outcome,
    Reach,
    TlsFacts,
    Vantage,
)
from mailseal.model.moment import Clock, rfc3339
from mailseal.protocols.base import Credentials, End, printable
from mailseal.protocols.conversation import Conversation, transcript_digest
from mailseal.protocols.recognise import LOGIN_PROTOCOLS, is_tls, recognise
from mailseal.protocols.tlshello import VERSIONS, accepts, client_hello


class Layer(enum.Enum):
    """What the connection carries."""

    CLEAR = "clear"
    TLS_VERIFIED = "tls, verified"
    TLS_ANY = "tls, whatever the certificate"
    RAW = "one exchange of octets"


@dataclass(frozen=True)
class Limits:
    """Seconds: for the connection, for each answer (a server may greet late: postscreen waits 6 s,
    and UW takes 3 s to refuse a login), for one whole connection.
    """

    connect: float = 5.0
    answer: float = 8.0
    total: float = 30.0

    def scaled(self, answer: float) -> "Limits":
        """The same with another patience for answers."""
        total = max(answer, self.total * answer / self.answer)
        return Limits(min(self.connect, answer), answer, total)


@dataclass(frozen=True)
class Question:
    """What one look shall find out. `name` is what a certificate must fit (the address if empty),
    `authority` a PEM file trusted besides the system's roots.
    `login` is tried in cleartext after the careful dialogue; `throwaway` tries one with a made-up
    user. Where there is TLS at all, `eager` also talks in cleartext at once, and `versions` asks
    for old TLS versions. `implicit` begins with TLS: for a port of our own, where a cleartext
    client's wait for a greeting would only cost time.
    """

    endpoint: Endpoint
    vantage: Vantage = Vantage.REMOTE
    name: str = ""
    authority: str = ""
    throwaway: bool = False
    login: Optional[Credentials] = None
    versions: bool = False
    eager: bool = False
    implicit: bool = False
    limits: Limits = Limits()

    @property
    def server_name(self) -> str:
        """What a certificate must fit."""
        return self.name or self.endpoint.address.partition("%")[0]


@dataclass
class Dial:
    """One connection to make. `conversation` is carried on, or `hello` sent and the beginning of
    the answer read (`raw_complete`).
    """

    layer: Layer
    conversation: Optional[Conversation] = None
    hello: bytes = b""


@dataclass
class Call:
    """What became of a Dial. `reach` is open where the TCP connection came about; `fault` is set
    where a TLS handshake failed, with `untrusted` telling that only the certificate was at fault.
    `answer` is of a RAW exchange, and `reason` why it is shorter than was waited for.
    """

    reach: Reach
    reason: str = ""
    tls: Optional[TlsFacts] = None
    fault: str = ""
    untrusted: bool = False
    answer: bytes = b""


LookSteps = Generator[Dial, Call, Observation]

SILENT = ("timeout", "eof", "reset")

HANDSHAKE_TIMEOUT = "the handshake did not end in time"

RAW_OCTETS = 512
"""Of a RAW answer no more than this is waited for."""


def raw_complete(answer: bytes) -> bool:
    """Enough of a raw answer to tell what it is: a TLS record's head, or a line."""
    if is_tls(answer):
        return answer[0] == 0x15 or len(answer) >= 11
    return b"\n" in answer or len(answer) >= RAW_OCTETS


class _Notes:
    """What a look has gathered so far."""

    def __init__(self, question: Question, start: str) -> None:
        self.question = question
        self.start = start
        self.protocol: Optional[str] = None
        self.banner = ""
        self.tls: Optional[TlsFacts] = None
        self.attempts: List[Attempt] = []
        self.transcript: List[str] = []
        self.gaps: List[str] = []

    def take(self, conversation: Conversation, channel: Channel) -> None:
        if conversation.protocol:
            self.protocol = conversation.protocol
        if conversation.session is not None:
            self.banner = self.banner or conversation.session.banner
        elif conversation.first and not is_tls(conversation.first):
            self.banner = self.banner or printable(conversation.first)
        self.attempts += [event.attempt(channel) for event in conversation.logins]
        if conversation.transcript:
            self.transcript.append("-- %s" % channel.value)
            self.transcript += conversation.transcript
        end = conversation.ended
        if end is not None and not conversation.logins:
            self.gaps.append("%s: %s" % (channel.value, end.reason))

    def observation(self, reach: Reach, end: str) -> Observation:
        transcript = tuple(self.transcript)
        return Observation(
            endpoint=self.question.endpoint,
            vantage=self.question.vantage,
            start=self.start,
            end=end,
            reach=reach,
            protocol=self.protocol,
            banner=self.banner,
            tls=self.tls,
            attempts=tuple(self.attempts),
            transcript=transcript,
            digest=transcript_digest(transcript),
            gaps=tuple(self.gaps),
            name=self.question.name,
        )


def look(question: Question, now: Clock) -> LookSteps:
    """The steps of one look; returns the Observation (as StopIteration's value)."""
    notes = _Notes(question, rfc3339(now()))
    clear = Conversation()
    if question.implicit:
        clear.end(End("tls", "not asked: TLS is expected here from the first octet"))
        yield from _inside_tls(question, notes, clear)
        return notes.observation(Reach.OPEN, rfc3339(now()))
    call = yield Dial(Layer.CLEAR, clear)
    if call.reach is not Reach.OPEN:
        notes.gaps.append(call.reason)
        return notes.observation(call.reach, rfc3339(now()))
    if clear.session is None and clear.protocol is None and _may_be_tls(clear):
        yield from _inside_tls(question, notes, clear)
    else:
        notes.take(clear, Channel.CLEAR)
        if clear.protocol in LOGIN_PROTOCOLS and clear.logins:
            yield from _logins(question, notes)
    return notes.observation(Reach.OPEN, rfc3339(now()))


def _may_be_tls(clear: Conversation) -> bool:
    """A server that spoke TLS, or nothing at all, may be waiting for a ClientHello."""
    if clear.ended is None:
        return False
    return clear.ended.kind == "tls" or (not clear.first and clear.ended.kind in SILENT)


def _logins(question: Question, notes: _Notes) -> Generator[Dial, Call, None]:
    """The logins that were asked for, each on a connection of its own, in cleartext. The real one
    comes last: no later answer of the server's can repeat its secret.
    """
    logins = [throwaway()] if question.throwaway else []
    for credentials in logins + ([question.login] if question.login else []):
        conversation = Conversation(credentials)
        call = yield Dial(Layer.CLEAR, conversation)
        if call.reach is Reach.OPEN:
            notes.take(conversation, Channel.CLEAR)
        else:
            notes.gaps.append("no second connection for the login: " + call.reason)


def throwaway() -> Credentials:
    """A user that exists nowhere, with a password that nobody has."""
    return Credentials("mailseal-" + secrets.token_hex(4), secrets.token_hex(16))


def _inside_tls(
    question: Question, notes: _Notes, clear: Conversation
) -> Generator[Dial, Call, None]:
    silence = clear.ended or End("eof", "the server closed without a word")
    notes.transcript += ["-- clear", "S: [%s]" % silence.reason]
    inside = Conversation()
    call = yield Dial(Layer.TLS_VERIFIED, inside)
    trust = call.fault
    if call.tls is None and not call.untrusted:
        trust = "not verified: " + call.fault
        raw = Call(Reach.OPEN)
        if call.fault != HANDSHAKE_TIMEOUT:
            raw = yield Dial(Layer.RAW, hello=_hello(VERSIONS["TLSv1.2"]))
        if not is_tls(raw.answer):
            _not_tls(notes, silence, call, raw.answer)
            return
    if call.tls is None:
        # It speaks TLS, but not as a client of today wants it: read what can be read.
        inside = Conversation()
        call = yield Dial(Layer.TLS_ANY, inside)
    if call.tls is None:
        notes.gaps.append("TLS: " + (call.fault or call.reason))
        return
    facts = call.tls
    notes.transcript.append("-- %s, %s" % (facts.version, facts.cipher))
    notes.take(inside, Channel.TLS)
    if question.eager:
        yield from _eager(notes)
    accepted: Tuple[str, ...] = (facts.version,)
    rejected: Tuple[str, ...] = ()
    for name, number in VERSIONS.items() if question.versions else ():
        call = yield Dial(Layer.RAW, hello=_hello(number))
        answer = accepts(number, call.answer)
        if answer and name not in accepted:
            accepted += (name,)
        elif answer is False:
            rejected += (name,)
        elif answer is None:
            notes.gaps.append("%s: neither accepted nor refused in a readable way" % name)
    notes.tls = dataclasses.replace(facts, trust=trust, accepted=accepted, rejected=rejected)


def _eager(notes: _Notes) -> Generator[Dial, Call, None]:
    """A client that does not wait for the greeting: does anybody answer it in cleartext?"""
    raw = yield Dial(Layer.RAW, hello=b"HELO\r\n")
    if raw.reach is not Reach.OPEN:
        reason = "no connection for an eager client: " + raw.reason
        notes.attempts.append(Attempt("HELO", Channel.CLEAR, False, Outcome.UNCLEAR, reason))
        return
    line = raw.answer.split(b"\n", 1)[0].rstrip(b"\r")
    shown = "[TLS]" if is_tls(line) else printable(line) or "[%s]" % raw.reason
    notes.transcript += ["-- clear, eager", "C: HELO", "S: " + shown]
    if is_tls(line):
        return
    # A greeting, or the answer to the HELO (RFC 937: replies begin so).
    if recognise(line) in LOGIN_PROTOCOLS or line[:1] in (b"+", b"-", b"#"):
        reason = "a client that does not wait is answered in cleartext: " + shown
        attempt = Attempt("HELO", Channel.CLEAR, True, Outcome.ACCEPTED, reason)
        notes.attempts.append(attempt)


def _hello(version: int) -> bytes:
    return client_hello(version, secrets.token_bytes(32))


def _not_tls(notes: _Notes, silence: End, call: Call, answer: bytes) -> None:
    """Silent in cleartext, and no handshake came about. An answer in plain text (HTTP's "400")
    still tells who lives there.
    """
    if answer:
        line = answer.split(b"\n", 1)[0].rstrip(b"\r")
        notes.protocol = recognise(line)
        notes.banner = printable(line)
        notes.transcript += ["-- raw", "C: [TLS ClientHello]", "S: " + notes.banner]
    notes.gaps.append("cleartext: " + silence.reason)
    notes.gaps.append("TLS: " + (call.fault or call.reason))


Observe = Callable[[Question], Observation]
"""A look, wherever it is taken from: what `prove` and the workflows are handed."""
