"""The vocabulary that all protocols share: lines, sides, what a client says, what comes back.

Strategy: a session (`protocols.session`) is fed bytes of either side in any portions and tells what
they meant, as `LoginEvent`s, by allow-list: a client line that is not understood leaves no trace,
because after a gap in a capture a password looks like an unknown command. A careful client is a
generator: it yields what to say and is sent the server's next `Reply`.
"""

from __future__ import annotations

import base64
import enum
import re
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Callable,
    Generator,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Union,
)

from mailseal.model.look import Attempt, Channel, Outcome

if TYPE_CHECKING:
    from mailseal.protocols.session import TextSession

LINE_LIMIT = 4096
"""Octets in a line, its end included. RFC 937 sets no limit, RFC 5321 4.5.3.1 sets 512 and 1000;
what is longer is hostile or not a mail protocol."""


class Side(str, enum.Enum):
    CLIENT = "C"
    SERVER = "S"


@dataclass(frozen=True)
class Say:
    """Bytes to send, which may hold a secret. `shown` is what the transcript gets: never more than
    may be kept.
    """

    data: bytes = field(repr=False)
    shown: str


class Hear:
    """Nothing to say: wait for the server's next reply."""

    __slots__ = ()


HEAR = Hear()


@dataclass(frozen=True)
class End:
    """Why a dialogue ended before its end. `reason` in words for people; `kind` is one of eof,
    reset, timeout, overlong, unsolicited, tls (a TLS record came where text was due).
    """

    kind: str
    reason: str


class Answer(enum.Enum):
    """What a reply amounts to, in the words of all protocols."""

    YES = "yes"
    NO = "no"
    """Policy, credentials, or trouble: the text says which."""
    BAD = "bad"
    """The command is not known here, or not now, or not in this form."""
    MORE = "more"
    """The server waits for the next part: a challenge, a prompt."""
    BYE = "bye"
    """The server ends the session."""
    NONE = "none"
    """Nothing that the protocol knows."""


class Reply(NamedTuple):
    """A whole answer of the server: `line` is the one that decided, without its end, `before` are
    those that came before it (a list of capabilities, say).
    """

    answer: Answer
    line: bytes
    before: Tuple[bytes, ...] = ()


Step = Union[Say, Hear]
Client = Generator[Step, Reply, None]
"""Yields what to say, is sent the server's reply. It is simply dropped when the server ends."""


@dataclass(frozen=True)
class Credentials:
    """A login to try; `remote` asks the server to go on to another host. The secret is never
    written anywhere: `repr` hides it. Raises ValueError for what no line of a login can carry: a
    blank would turn a part of the name into the password, a colon into a host to log in to, a line
    end into a command of its own.
    """

    user: str
    password: str = field(repr=False)
    remote: str = ""

    def __post_init__(self) -> None:
        if not self.user or re.search(r"[\s\x00:]", self.user + self.remote):
            raise ValueError("a user name and a host are one word each, without colons")
        if re.search(r"[\r\n\x00]", self.password):
            raise ValueError("a password with a line end or a NUL cannot be sent")

    @property
    def name(self) -> bytes:
        """The user name's octets."""
        return self.user.encode("utf-8", "surrogateescape")

    @property
    def secret(self) -> bytes:
        """The password's octets. What came by the environment or a file keeps them, whatever their
        encoding.
        """
        return self.password.encode("utf-8", "surrogateescape")

    @property
    def plain(self) -> bytes:
        """The one message of SASL PLAIN (RFC 4616), not yet in base64."""
        return b"\0" + self.name + b"\0" + self.secret

    @property
    def forms(self) -> Tuple[bytes, ...]:
        """Every form in which a server may repeat the secret, longest first."""
        encoded = (base64.b64encode(self.plain), base64.b64encode(self.secret))
        slashed = self.secret.replace(b"\\", b"\\\\")
        forms = {*encoded, slashed, slashed.replace(b'"', b'\\"'), self.secret}
        return tuple(sorted(forms, key=len, reverse=True))


@dataclass(frozen=True)
class Task:
    """What a dialogue is for. Without anything set it is the careful look at a fresh connection.

    `mechanisms`: try these alone (empty: all that the protocol has). `login`: log in, with the one
    mechanism named. `upgrade`: begin TLS and stop there, with `injected` behind the command in the
    same segment. `inside`: the session goes on inside TLS after an upgrade. `then`: what is done
    before the goodbye, after the login or (SMTP) without one.
    """

    mechanisms: Tuple[str, ...] = ()
    login: Optional[Credentials] = None
    upgrade: bool = False
    injected: bytes = b""
    inside: bool = False
    then: Optional[Callable[["TextSession"], Client]] = None


@dataclass(frozen=True)
class LoginEvent:
    """A login command and how it was taken. `user` where the command named one in readable form;
    the secret never gets here. `remote` is the host that the server was asked to go on to.
    `offered`: the server lists the mechanism. `said` is its answer, printable. `sent`: the secret,
    or the proof that one has it, was on its way.
    """

    mechanism: str
    user: Optional[str]
    remote: Optional[str]
    outcome: Outcome
    reason: str
    offered: bool = False
    said: str = ""
    sent: bool = False

    def attempt(self, channel: Channel) -> Attempt:
        """The event as an Attempt of a look on `channel`."""
        return Attempt(
            self.mechanism,
            channel,
            self.offered,
            self.outcome,
            self.reason,
            self.remote is not None,
            self.said,
        )


class LineBuffer:
    """Cuts a byte stream into lines without their ends (LF, or CR LF), and holds no more than
    `limit` octets. An overlong line sets `overflow`; what follows it is dropped. `skip` is its
    owner's: octets to come that are no lines. `torn`: so is what comes up to the next line end, the
    rest of a line whose beginning was not seen.
    """

    __slots__ = ("_held", "limit", "overflow", "skip", "torn")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._held = b""
        self.limit = limit
        self.overflow = False
        self.skip = 0
        self.torn = False

    def tear(self) -> None:
        """Something is missing here: what is held is no line, nor is what comes first now."""
        self._held = b""
        self.overflow = False
        self.skip = 0
        self.torn = True

    def feed(self, data: bytes) -> List[bytes]:
        """The lines that `data` completes."""
        if self.overflow:
            return []
        if self._held:
            data = self._held + data
        elif data[-1:] == b"\n" and len(data) <= self.limit and data.count(b"\n") == 1:
            # What nearly always comes: one whole line.
            return [data[:-2] if data[-2:-1] == b"\r" else data[:-1]]
        lines = data.split(b"\n")
        self._held = lines.pop()
        for index, line in enumerate(lines):
            if len(line) >= self.limit:
                self.overflow, self._held = True, b""
                return [line[:-1] if line.endswith(b"\r") else line for line in lines[:index]]
            if line.endswith(b"\r"):
                lines[index] = line[:-1]
        if len(self._held) >= self.limit:
            self.overflow, self._held = True, b""
        return lines

    @property
    def held(self) -> bytes:
        """The beginning of a line whose end has not come."""
        return self._held


_HARMLESS = {
    octet: "\\x%02x" % octet for octet in range(256) if not 32 <= octet < 127 or octet == 0x5C
}


def printable(data: bytes, limit: int = 256) -> str:
    """Server text made harmless and bounded: printable ASCII stays, every other octet becomes
    `\\xNN`, and a backslash too. No terminal escape, no line end, no right-to-left mark survives.
    """
    text = data[:limit].decode("latin-1")
    if not (text.isascii() and text.isprintable()) or "\\" in text:
        text = text.translate(_HARMLESS)
    return text + "..." if len(data) > limit else text


def unquoted(secret: bytes) -> bytes:
    """A password without the backslash that quotes the octet behind it (RFC 937)."""
    return re.sub(rb"\\(.?)", rb"\1", secret, flags=re.DOTALL)


def hidden(text: bytes, secrets: Iterable[bytes]) -> bytes:
    """`text` without the secrets, quoted or not: a server may repeat what it was told."""
    for secret in secrets:
        for form in (secret, unquoted(secret)):
            if form:
                text = text.replace(form, b"[password not shown]")
    return text
