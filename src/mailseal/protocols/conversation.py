"""One connection's dialogue for the prober: bytes from the socket in, bytes for the socket out.

Strategy: the first line is recognised, which picks the protocol's `Session` and careful client.
From then on every octet of both sides goes through the `Session` (the same one that reads
captures), and the client is told each line. What to conclude is the Session's business, what to
say next the client's; the Conversation only carries, bounds and records.
"""

from __future__ import annotations

import hashlib
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from mailseal.protocols import pop2
from mailseal.protocols.base import (
    LINE_LIMIT,
    Client,
    Credentials,
    End,
    Hear,
    LineBuffer,
    LoginEvent,
    Session,
    Side,
    hidden,
    printable,
)
from mailseal.protocols.recognise import is_tls, recognise

TRANSCRIPT_LINES = 64
BYTES_LIMIT = 256 * 1024
"""No server needs more to say no. Past that the dialogue ends as overlong."""


class Dialogue(NamedTuple):
    """What there is of a protocol: how to read it, how to ask."""

    session: Callable[[], Session]
    client: Callable[[Optional[Credentials]], Client]


DIALOGUES: Dict[str, Dialogue] = {pop2.NAME: Dialogue(pop2.Session, pop2.client)}


class Conversation:
    """Drive it so: `take()` gives bytes to send; `receive(data)` and `end(...)` tell what came;
    `done` says when to close. It never blocks and never raises on server bytes.
    """

    __slots__ = (
        "_client",
        "_credentials",
        "_held",
        "_lines",
        "_out",
        "_received",
        "done",
        "ended",
        "first",
        "protocol",
        "session",
        "transcript",
    )

    def __init__(self, credentials: Optional[Credentials] = None) -> None:
        self._credentials = credentials
        self._lines = LineBuffer()
        self._client: Optional[Client] = None
        self._held = b""
        self._out = b""
        self._received = 0
        self.session: Optional[Session] = None
        self.protocol: Optional[str] = None
        self.first = b""
        self.done = False
        self.ended: Optional[End] = None
        self.transcript: List[str] = []

    def take(self) -> bytes:
        """The bytes to send now; each is given once."""
        out, self._out = self._out, b""
        return out

    def receive(self, data: bytes) -> None:
        """Takes bytes from the server."""
        if self.done:
            return
        self._received += len(data)
        if self.session is None:
            self._held += data
            if is_tls(self._held):
                self.first = self._held[:16]
                self.end(End("tls", "the server speaks TLS where text was due"))
                return
        else:
            self.session.feed(Side.SERVER, data)
        for line in self._lines.feed(data):
            self._note("S", printable(self._hide(line)))
            if self._out:
                # It cannot be the answer to what has not been sent. (UW's goodbye comes so, behind
                # the refusal that said all there was to know.)
                self.end(End("unsolicited", "the server went on before it was asked"))
                return
            if not self._hear(line):
                self.done = True
                return
        if self._lines.overflow:
            self._overlong("a line of more than %d octets" % LINE_LIMIT)
        elif self._received > BYTES_LIMIT:
            self._overlong("more than %d octets" % BYTES_LIMIT)

    def end(self, end: End) -> None:
        """The connection ended, or the driver gave up on it."""
        if self.done:
            return
        if self.session is None and self._lines.held and not self.first:
            # A greeting without its line end is still a clue to who speaks here.
            self.first = self._lines.held[:LINE_LIMIT]
            self.protocol = recognise(self.first)
            self._note("S", printable(self._hide(self.first)) + " [no line end]")
        self.ended = end
        self.done = True

    def _hear(self, line: bytes) -> bool:
        """Tells the client a line; False where it has nothing more to say."""
        if self.session is None:
            self.first = line
            self.protocol = recognise(line)
            dialogue = DIALOGUES.get(self.protocol or "")
            if dialogue is None:
                return False
            self.session = dialogue.session()
            self._client = dialogue.client(self._credentials)
            next(self._client)
            self.session.feed(Side.SERVER, self._held)
            self._held = b""
        assert self._client is not None
        try:
            step = self._client.send(line)
        except StopIteration:
            return False
        if not isinstance(step, Hear):
            self._out += step.data
            self._note("C", step.shown)
            self.session.feed(Side.CLIENT, step.data)
        return True

    def _overlong(self, what: str) -> None:
        self._note("S", "[%s]" % what)
        self.end(End("overlong", "the server sent " + what))

    def _hide(self, line: bytes) -> bytes:
        return line if self._credentials is None else hidden(line, self._credentials.quoted)

    def _note(self, side: str, text: str) -> None:
        if len(self.transcript) < TRANSCRIPT_LINES:
            self.transcript.append(side + ": " + text)

    @property
    def logins(self) -> Tuple[LoginEvent, ...]:
        """What the dialogue showed of logins."""
        return tuple(self.session.logins) if self.session is not None else ()


def transcript_digest(lines: Tuple[str, ...]) -> str:
    """SHA-256 (hexadecimal) over the redacted lines."""
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()
