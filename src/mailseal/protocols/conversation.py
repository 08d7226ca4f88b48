"""One connection's dialogue for the prober: bytes from the socket in, bytes for the socket out.

Strategy: the first line is recognised, which picks the protocol's session and careful client. From
then on every octet of both sides goes through the session (the same one that reads captures), and
the client is told each whole reply. What to conclude is the session's business, what to say next
the client's; the Conversation only carries, bounds and records.
"""

from __future__ import annotations

import hashlib
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from mailseal.protocols import imap, managesieve, pop2, pop3, smtp
from mailseal.protocols.base import (
    LINE_LIMIT,
    Client,
    End,
    Hear,
    LoginEvent,
    Side,
    Step,
    Task,
    hidden,
    printable,
)
from mailseal.protocols.recognise import is_tls, recognise
from mailseal.protocols.session import TextSession

TRANSCRIPT_LINES = 64
BYTES_LIMIT = 256 * 1024
"""No server needs more to say no. Past that the dialogue ends as overlong."""


class Dialogue(NamedTuple):
    """What there is of a protocol: how to read it, how to ask, which ways to log in a careful look
    has to decide. `tls`: the session can be upgraded to TLS. `harmless` is a command that changes
    nothing, and `announces` how many replies come by themselves after an upgrade.
    """

    session: Callable[[bool], TextSession]
    client: Callable[[TextSession, Task], Client]
    mechanisms: Tuple[str, ...]
    tls: bool
    harmless: bytes = b""
    announces: int = 0


DIALOGUES: Dict[str, Dialogue] = {
    pop2.NAME: Dialogue(pop2.Session, pop2.client, pop2.MECHANISMS, tls=False),
    pop3.NAME: Dialogue(pop3.Session, pop3.client, pop3.MECHANISMS, True, pop3.HARMLESS),
    imap.NAME: Dialogue(imap.Session, imap.client, imap.MECHANISMS, True, imap.HARMLESS),
    smtp.NAME: Dialogue(smtp.Session, smtp.client, smtp.MECHANISMS, True, smtp.HARMLESS),
    managesieve.NAME: Dialogue(
        managesieve.Session,
        managesieve.client,
        managesieve.MECHANISMS,
        True,
        managesieve.HARMLESS,
        managesieve.ANNOUNCES,
    ),
}

LOOK = Task()


class Conversation:
    """Drive it so: `take()` gives bytes to send; `receive(data)` and `end(...)` tell what came;
    `done` says when to close. It never blocks and never raises on server bytes.

    `protocol`: who speaks is known, and we speak first: the session goes on inside TLS.
    """

    __slots__ = (
        "_client",
        "_hides",
        "_out",
        "_received",
        "_task",
        "done",
        "ended",
        "first",
        "held",
        "protocol",
        "session",
        "transcript",
    )

    def __init__(self, task: Task = LOOK, protocol: Optional[str] = None) -> None:
        self._task = task
        self._hides = () if task.login is None else task.login.forms
        self._client: Optional[Client] = None
        self._out = b""
        self._received = 0
        self.held = b""
        self.session: Optional[TextSession] = None
        self.protocol = protocol
        self.first = b""
        self.done = False
        self.ended: Optional[End] = None
        self.transcript: List[str] = []
        if protocol is not None:
            self.done = not self._begin(DIALOGUES[protocol])

    def take(self) -> bytes:
        """The bytes to send now; each is given once. From then on what comes may answer them."""
        out, self._out = self._out, b""
        if out and self.session is not None:
            self.session.feed(Side.CLIENT, out)
        return out

    @property
    def sealed(self) -> bool:
        """The server agreed to TLS: what follows is a handshake."""
        return self.session is not None and self.session.sealed

    def receive(self, data: bytes) -> None:
        """Takes bytes from the server."""
        if self.done:
            return
        self._received += len(data)
        if self.session is None:
            self.held += data
            if not self._recognised():
                return
            data, self.held = self.held, b""
        start, size = 0, len(data)
        while start < size and not self.done:
            # A line at a time: what the client says stands in the transcript where it was due,
            # however the network cut the lines.
            end = data.find(b"\n", start) + 1 or size
            self._read(data[start:end], size - end)
            start = end

    def _recognised(self) -> bool:
        """The first line picks the protocol; False while, or where, there is none to talk."""
        if is_tls(self.held):
            self.first = self.held[:16]
            self.end(End("tls", "the server speaks TLS where text was due"))
            return False
        line, end, _ = self.held.partition(b"\n")
        if len(line) >= LINE_LIMIT:
            self._overlong("a line of more than %d octets" % LINE_LIMIT)
        if not end or self.done:
            return False
        self.first = line[:-1] if line.endswith(b"\r") else line
        self.protocol = recognise(self.first)
        dialogue = DIALOGUES.get(self.protocol or "")
        if dialogue is None:
            self._note("S", printable(self._hide(self.first)))
            self.done = True
            return False
        return self._begin(dialogue)

    def _begin(self, dialogue: Dialogue) -> bool:
        """Session and client; False where the client has nothing to say."""
        self.session = dialogue.session(self._task.inside)
        self.session.heard = []
        if self._task.inside and self._task.injected:
            # Whoever answers now answers what was sent before TLS began.
            return True
        self._client = dialogue.client(self.session, self._task)
        return self._step(next(self._client, None))

    def _read(self, data: bytes, behind: int) -> None:
        """A line, or a part of one; so many octets came `behind` it."""
        session = self.session
        assert session is not None
        before = session.replies
        session.feed(Side.SERVER, data)
        assert session.heard is not None
        for line in session.heard:
            self._note("S", printable(self._hide(line)))
        session.heard.clear()
        if session.overflow:
            self._overlong("a line of more than %d octets" % LINE_LIMIT)
        elif session.sealed:
            if behind:
                # RFC 2595 section 4, RFC 3207 section 4.2: nothing may come before the handshake.
                self._note("S", "[%d octets behind the agreement to TLS]" % behind)
            self.done = True
        elif self._received > BYTES_LIMIT:
            self._overlong("more than %d octets" % BYTES_LIMIT)
        elif session.replies > before:
            self._answered()

    def _answered(self) -> None:
        assert self.session is not None
        assert self.session.reply is not None
        if self._client is None:
            return
        if self._out:
            # It cannot be the answer to what has not been sent. (UW's goodbye comes so, behind the
            # refusal that said all there was to know.)
            self.end(End("unsolicited", "the server went on before it was asked"))
            return
        try:
            step: Optional[Step] = self._client.send(self.session.reply)
        except StopIteration:
            step = None
        if not self._step(step):
            self.done = True

    def _step(self, step: Optional[Step]) -> bool:
        """Does what the client wants; False where that is nothing more."""
        if step is None:
            return False
        if not isinstance(step, Hear):
            self._out += step.data
            self._note("C", step.shown)
        return True

    def end(self, end: End) -> None:
        """The connection ended, or the driver gave up on it."""
        if self.done:
            return
        held = self.held if self.session is None else self.session.held
        if held:
            # A line without its end is still a clue to who speaks here.
            self._note("S", printable(self._hide(held)) + " [no line end]")
        if self.session is None and held and not self.first:
            self.first = held[:LINE_LIMIT]
            self.protocol = recognise(self.first)
        self.ended = end
        self.done = True

    def _overlong(self, what: str) -> None:
        self._note("S", "[%s]" % what)
        self.held = b""
        self.ended = End("overlong", "the server sent " + what)
        self.done = True

    def _hide(self, line: bytes) -> bytes:
        return hidden(line, self._hides) if self._hides else line

    def _note(self, side: str, text: str) -> None:
        if len(self.transcript) < TRANSCRIPT_LINES:
            self.transcript.append(side + ": " + text)

    @property
    def injected(self) -> bool:
        """Inside TLS an answer came to what was sent before it."""
        assert self.protocol is not None
        assert self.session is not None
        return self.session.replies > DIALOGUES[self.protocol].announces

    @property
    def logins(self) -> Tuple[LoginEvent, ...]:
        """What the dialogue showed of logins."""
        return tuple(self.session.logins) if self.session is not None else ()


def transcript_digest(lines: Tuple[str, ...]) -> str:
    """SHA-256 (hexadecimal) over the redacted lines."""
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()
