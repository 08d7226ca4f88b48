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
from typing import Callable, Generator, List, NamedTuple, Optional, Tuple

from mailseal.model.look import (
    Attempt,
    Channel,
    Endpoint,
    Observation,
    Outcome,
    Reach,
    StartTls,
    TlsFacts,
    Upgrade,
    Vantage,
)
from mailseal.model.moment import Clock, rfc3339
from mailseal.protocols import answers
from mailseal.protocols.base import Answer, Credentials, End, Reply, Task, printable
from mailseal.protocols.conversation import DIALOGUES, Conversation, transcript_digest
from mailseal.protocols.recognise import LOGIN_PROTOCOLS, is_tls, recognise
from mailseal.protocols.tlshello import SERVER_HELLO, VERSIONS, accepts, client_hello


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
    client's wait for a greeting would only cost time. `intrusive` also sends a command in the same
    segment behind STARTTLS, to see whether it is answered inside TLS. The rest is for
    `probe.errands`: `suites` asks for weak cipher suites, `relay` whether mail of strangers is
    taken for elsewhere, `dummy` is a made-up login that is tried inside TLS, `account` a real one
    that is used there, and nowhere else.
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
    intrusive: bool = False
    suites: bool = False
    relay: bool = False
    dummy: Optional[Credentials] = None
    account: Optional[Credentials] = None
    limits: Limits = Limits()

    @property
    def server_name(self) -> str:
        """What a certificate must fit."""
        return self.name or self.endpoint.address.partition("%")[0]


@dataclass
class Dial:
    """One connection to make. `before` is carried on first, in cleartext, until the server agrees
    to TLS (`Conversation.sealed`); the layer begins then, and not at all where it does not agree.
    Then `conversation` is carried on, or `hello` sent and the beginning of the answer read
    (`raw_complete`).
    """

    layer: Layer
    conversation: Optional[Conversation] = None
    hello: bytes = b""
    before: Optional[Conversation] = None


@dataclass
class Call:
    """What became of a Dial. `reach` is open where the TCP connection came about; `fault` is set
    where a TLS handshake failed, with `untrusted` telling that only the certificate was at fault.
    `answer` is of a RAW exchange, and `reason` why it is shorter than was waited for, or why the
    layer never began.
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
    """Enough of a raw answer to tell what it is: a ServerHello up to its cipher suite, the head of
    another TLS record, or a line.
    """
    if is_tls(answer):
        return answer[0] == 0x15 or len(answer) >= min(
            SERVER_HELLO, 5 + int.from_bytes(answer[3:5], "big")
        )
    return b"\n" in answer or len(answer) >= RAW_OCTETS


def refused(before: Conversation) -> str:
    """Why the layer behind `before` never began."""
    if before.ended is not None:
        return before.ended.reason
    return "the server did not agree to TLS"


class _Notes:
    """What a look has gathered so far."""

    def __init__(self, question: Question, start: str) -> None:
        self.question = question
        self.start = start
        self.protocol: Optional[str] = None
        self.banner = ""
        self.tls: Optional[TlsFacts] = None
        self.starttls: Optional[StartTls] = None
        self.preauth = False
        self.attempts: List[Attempt] = []
        self.transcript: List[str] = []
        self.gaps: List[str] = []

    def take(self, conversation: Conversation, channel: Channel) -> None:
        self.protocol = conversation.protocol or self.protocol
        session = conversation.session
        if session is not None:
            self.banner = self.banner or session.banner
            self.preauth = self.preauth or (session.preauth and channel is Channel.CLEAR)
        elif conversation.first and not is_tls(conversation.first):
            self.banner = self.banner or printable(conversation.first)
        self.attempts += [event.attempt(channel) for event in conversation.logins]
        self.quote(conversation, channel.value)
        end = conversation.ended
        if end is not None and not conversation.logins:
            self.gaps.append("%s: %s" % (channel.value, end.reason))

    def busy(self, what: str, reply: Reply) -> None:
        """A gap, where the reply is a no for now."""
        if reply.answer is Answer.BYE or answers.TRANSIENT.search(reply.line):
            self.gaps.append(what + answers.NOT_NOW + printable(reply.line))

    def offers(self, conversation: Conversation, channel: Channel) -> None:
        """What the server lists, as far as no answer has told more."""
        known = {each.mechanism for each in self.attempts if each.channel is channel}
        for mechanism in conversation.session.offers if conversation.session else ():
            if mechanism not in known:
                reason = "%s is listed" % mechanism
                self.attempts.append(Attempt(mechanism, channel, True, Outcome.OFFERED, reason))

    def quote(self, conversation: Conversation, title: str) -> None:
        """The dialogue's words, under a title."""
        if conversation.transcript:
            self.transcript.append("-- " + title)
            self.transcript += conversation.transcript

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
            starttls=self.starttls,
            preauth=self.preauth,
        )


IMPLICIT_PORTS = (465, 993, 995)
"""TLS is tried first: a cleartext client would wait there for a greeting that never comes."""


def look(question: Question, now: Clock) -> LookSteps:
    """The steps of one look; returns the Observation (as StopIteration's value)."""
    notes = _Notes(question, rfc3339(now()))
    shaken: Optional[_Shaken] = None
    if question.implicit or question.endpoint.port in IMPLICIT_PORTS:
        shaken = yield from _handshake(_AT_ONCE)
    if shaken is None or not (question.implicit or shaken.settled):
        clear = Conversation()
        call = yield Dial(Layer.CLEAR, clear)
        if call.reach is not Reach.OPEN:
            notes.gaps.append(call.reason)
            return notes.observation(call.reach, rfc3339(now()))
        if not _may_be_tls(clear):
            notes.take(clear, Channel.CLEAR)
            if clear.protocol in DIALOGUES:
                yield from _service(question, notes, clear)
            return notes.observation(Reach.OPEN, rfc3339(now()))
        silence = clear.ended or End("eof", "the server closed without a word")
        if shaken is None:
            shaken = yield from _handshake(_AT_ONCE)
    else:
        silence = End("tls", "not asked: TLS is expected here from the first octet")
    if shaken.call.reach is not Reach.OPEN:
        notes.gaps.append(shaken.call.reason)
        return notes.observation(shaken.call.reach, rfc3339(now()))
    yield from _implicit(question, notes, shaken, silence)
    return notes.observation(Reach.OPEN, rfc3339(now()))


def _may_be_tls(clear: Conversation) -> bool:
    """A server that spoke TLS, or nothing at all, may be waiting for a ClientHello."""
    if clear.ended is None or clear.session is not None or clear.protocol is not None:
        return False
    return clear.ended.kind == "tls" or (not clear.first and clear.ended.kind in SILENT)


def _service(question: Question, notes: _Notes, clear: Conversation) -> Generator[Dial, Call, None]:
    """A mail service answers in cleartext: what is left to ask it."""
    assert clear.protocol is not None
    session = clear.session
    dialogue = DIALOGUES[clear.protocol]
    if session is None or session.reply is None:
        return
    if not (clear.logins or session.upgrade):
        notes.busy(Channel.CLEAR.value, session.reply)
        return
    yield from _rest(notes, clear, dialogue.mechanisms)
    notes.offers(clear, Channel.CLEAR)
    if dialogue.tls:
        yield from _upgrade(question, notes, clear)
    yield from _logins(question, notes)


def _rest(
    notes: _Notes, clear: Conversation, mechanisms: Tuple[str, ...]
) -> Generator[Dial, Call, None]:
    """Some servers hang up after the first no: what was not asked then gets a new connection. One
    open way in is enough: where there is one, no more is asked.
    """
    if any(each.outcome is Outcome.ACCEPTED for each in notes.attempts):
        return
    left = _not_asked(notes, mechanisms)
    while left and clear.ended is not None:
        clear = Conversation(Task(mechanisms=left))
        call = yield Dial(Layer.CLEAR, clear)
        if call.reach is Reach.OPEN:
            notes.take(clear, Channel.CLEAR)
        before, left = left, _not_asked(notes, left)
        if before == left:
            break
    reason = clear.ended.reason if clear.ended else "the server did not go on"
    for mechanism in left:
        words = "%s was not asked for: %s" % (mechanism, reason)
        notes.attempts.append(Attempt(mechanism, Channel.CLEAR, False, Outcome.UNCLEAR, words))


def _not_asked(notes: _Notes, mechanisms: Tuple[str, ...]) -> Tuple[str, ...]:
    known = {each.mechanism for each in notes.attempts}
    return tuple(mechanism for mechanism in mechanisms if mechanism not in known)


def _logins(question: Question, notes: _Notes) -> Generator[Dial, Call, None]:
    """The logins that were asked for, each on a connection of its own, in cleartext, by each way
    that was not refused already. The real one comes last: no later answer of the server's can
    repeat its secret.
    """
    clear = [each for each in notes.attempts if each.channel is Channel.CLEAR]
    ways = dict.fromkeys(
        each.mechanism
        for each in clear
        if each.mechanism in LOGIN_WAYS and each.outcome is not Outcome.REFUSED
    )
    logins = [throwaway()] if question.throwaway else []
    for credentials in logins + ([question.login] if question.login else []):
        for way in ways:
            conversation = Conversation(Task(mechanisms=(way,), login=credentials))
            call = yield Dial(Layer.CLEAR, conversation)
            if call.reach is Reach.OPEN:
                notes.take(conversation, Channel.CLEAR)
            else:
                notes.gaps.append("no second connection for the login: " + call.reason)


LOGIN_WAYS = tuple(
    dict.fromkeys(way for dialogue in DIALOGUES.values() for way in dialogue.mechanisms)
)
"""What a client of ours can log in with."""


def throwaway() -> Credentials:
    """A user that exists nowhere, with a password that nobody has."""
    return Credentials("mailseal-" + secrets.token_hex(4), secrets.token_hex(16))


# -- TLS ---------------------------------------------------------------------------------------


class _Way(NamedTuple):
    """How a connection gets to TLS: `before` makes the dialogue that asks for it (None: TLS from
    the first octet), `inside` the one that goes on in it.
    """

    before: Callable[[], Optional[Conversation]]
    inside: Callable[[], Conversation]


_AT_ONCE = _Way(lambda: None, Conversation)


def _implicit(
    question: Question, notes: _Notes, shaken: _Shaken, silence: End
) -> Generator[Dial, Call, None]:
    """TLS from the first octet, or what there is instead."""
    notes.transcript += ["-- clear", "S: [%s]" % silence.reason]
    if shaken.not_tls:
        _not_tls(notes, silence, shaken.call)
    elif shaken.call.tls is None:
        notes.gaps.append("TLS: " + (shaken.call.fault or shaken.call.reason))
    else:
        yield from _secured(question, notes, shaken, _AT_ONCE)


def _upgrade(question: Question, notes: _Notes, clear: Conversation) -> Generator[Dial, Call, None]:
    """TLS inside the session, on a connection of its own: is it there, and what is in it?"""
    session, protocol = clear.session, clear.protocol
    assert session is not None
    advertised = session.tls_offered
    if session.upgrade is not None and not session.sealed:
        notes.starttls = _not_agreed(advertised, session.upgrade)
        return
    asked: List[Conversation] = []

    def before() -> Conversation:
        asked.append(Conversation(Task(upgrade=True)))
        return asked[-1]

    way = _Way(before, lambda: Conversation(Task(inside=True), protocol))
    shaken = yield from _handshake(way)
    notes.quote(asked[0], "clear, to TLS")
    if shaken.call.tls is not None:
        notes.starttls = StartTls(advertised, Upgrade.DONE)
        yield from _secured(question, notes, shaken, way)
        if question.intrusive:
            yield from _inject(notes, protocol)
        return
    reply = asked[0].session.upgrade if asked[0].session else None
    if asked[0].sealed:
        fault = shaken.call.fault or shaken.call.reason
        notes.starttls = StartTls(advertised, Upgrade.BROKEN, fault)
        notes.gaps.append("TLS: " + fault)
    elif reply is not None:
        notes.starttls = _not_agreed(advertised, reply)
        notes.busy("TLS", reply)
    else:
        reason = shaken.call.reason or "the server did not answer the command"
        notes.starttls = StartTls(advertised, Upgrade.UNCLEAR, reason)
        notes.gaps.append("TLS: " + reason)


def _not_agreed(advertised: bool, reply: Reply) -> StartTls:
    """A no for good, or a no for now ("454 TLS not available due to temporary reason")."""
    refused = reply.answer in (Answer.NO, Answer.BAD) and not answers.TRANSIENT.search(reply.line)
    outcome = Upgrade.REFUSED if refused else Upgrade.UNCLEAR
    return StartTls(advertised, outcome, printable(reply.line))


def _inject(notes: _Notes, protocol: Optional[str]) -> Generator[Dial, Call, None]:
    """A command behind STARTTLS in the same segment must not be answered inside TLS."""
    assert protocol is not None
    assert notes.starttls is not None
    dialogue = DIALOGUES[protocol]
    before = Conversation(Task(upgrade=True, injected=dialogue.harmless))
    listening = Conversation(Task(inside=True, injected=dialogue.harmless), protocol)
    yield Dial(Layer.TLS_ANY, listening, before=before)
    notes.quote(before, "clear, to TLS, with a command behind it")
    notes.quote(listening, "TLS, nothing said")
    said = "answered inside TLS: " + listening.transcript[-1] if listening.injected else ""
    # A server that takes the command for the beginning of the handshake has not run it.
    notes.starttls = dataclasses.replace(notes.starttls, injection=said, injected=before.sealed)


@dataclass
class _Shaken:
    """What became of the handshake: the last call, and why the certificate is not trusted."""

    call: Call
    inside: Conversation
    trust: str = ""
    not_tls: bool = False

    @property
    def settled(self) -> bool:
        """Nothing is to be learned in cleartext: TLS is there, or no connection at all."""
        return self.call.tls is not None or self.call.reach is not Reach.OPEN


def _handshake(way: _Way) -> Generator[Dial, Call, _Shaken]:
    """As a client of today; where only the certificate is at fault, or the server too old, again
    in whatever way it takes.
    """
    inside = way.inside()
    call = yield Dial(Layer.TLS_VERIFIED, inside, before=way.before())
    if call.tls is not None or call.reason:
        return _Shaken(call, inside)
    trust = call.fault
    if not call.untrusted:
        trust = "not verified: " + call.fault
        raw = Call(Reach.OPEN)
        if call.fault != HANDSHAKE_TIMEOUT:
            raw = yield Dial(Layer.RAW, hello=_hello(VERSIONS["TLSv1.2"]), before=way.before())
        if not is_tls(raw.answer):
            call.answer = raw.answer
            return _Shaken(call, inside, trust, True)
    # It speaks TLS, but not as a client of today wants it: read what can be read.
    inside = way.inside()
    call = yield Dial(Layer.TLS_ANY, inside, before=way.before())
    return _Shaken(call, inside, trust)


def _secured(
    question: Question, notes: _Notes, shaken: _Shaken, way: _Way
) -> Generator[Dial, Call, None]:
    """A handshake came about: what is inside, and what else the TLS side would take."""
    facts = shaken.call.tls
    assert facts is not None
    notes.transcript.append("-- %s, %s" % (facts.version, facts.cipher))
    notes.take(shaken.inside, Channel.TLS)
    notes.offers(shaken.inside, Channel.TLS)
    if way is _AT_ONCE and (question.eager or question.endpoint.port in IMPLICIT_PORTS):
        yield from _eager(notes)
    accepted: Tuple[str, ...] = (facts.version,)
    rejected: Tuple[str, ...] = ()
    for name, number in VERSIONS.items() if question.versions else ():
        call = yield Dial(Layer.RAW, hello=_hello(number), before=way.before())
        answer = accepts(number, call.answer)
        if answer and name not in accepted:
            accepted += (name,)
        elif answer is False:
            rejected += (name,)
        elif answer is None:
            notes.gaps.append("%s: neither accepted nor refused in a readable way" % name)
    notes.tls = dataclasses.replace(facts, trust=shaken.trust, accepted=accepted, rejected=rejected)


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
    # A greeting, or the answer to the HELO (RFC 937: replies begin so). Exim's complaint of a
    # ClientHello that it cannot read, "554 Security failure", is neither.
    greets = recognise(line) in LOGIN_PROTOCOLS and line[:3] not in (b"421", b"554")
    if greets or line[:1] in (b"+", b"-", b"#"):
        reason = "a client that does not wait is answered in cleartext: " + shown
        attempt = Attempt("HELO", Channel.CLEAR, True, Outcome.ACCEPTED, reason)
        notes.attempts.append(attempt)


def _hello(version: int) -> bytes:
    return client_hello(version, secrets.token_bytes(32))


def _not_tls(notes: _Notes, silence: End, call: Call) -> None:
    """Silent in cleartext, and no handshake came about. An answer in plain text (HTTP's "400")
    still tells who lives there.
    """
    if call.answer:
        line = call.answer.split(b"\n", 1)[0].rstrip(b"\r")
        notes.protocol = recognise(line)
        notes.banner = printable(line)
        notes.transcript += ["-- raw", "C: [TLS ClientHello]", "S: " + notes.banner]
    notes.gaps.append("cleartext: " + silence.reason)
    notes.gaps.append("TLS: " + (call.fault or call.reason))


Observe = Callable[[Question], Observation]
"""A look, wherever it is taken from: what `prove` and the workflows are handed."""
