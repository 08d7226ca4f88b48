"""The vocabulary that all protocols share: lines, sides, what a client says, what comes back.

Strategy: a `Session` is fed bytes of either side in any portions and tells what they meant, as
`LoginEvent`s, by allow-list: a client line that is not understood leaves no trace, because after a
gap in a capture a password looks like an unknown command. A careful client is a generator: it
yields what to say and is sent the server's next line.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import Generator, List, Optional, Protocol, Union

from mailseal.model.look import Attempt, Channel, Outcome

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
    """Nothing to say: wait for the server's next line."""

    __slots__ = ()


HEAR = Hear()


@dataclass(frozen=True)
class End:
    """Why a dialogue ended before its end. `reason` in words for people; `kind` is one of eof,
    reset, timeout, overlong, unsolicited, tls (a TLS record came where text was due).
    """

    kind: str
    reason: str


Step = Union[Say, Hear]
Client = Generator[Step, bytes, None]
"""Yields what to say, is sent the server's next line. It is simply dropped when the server ends."""


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
    def quoted(self) -> bytes:
        """The password's octets, a backslash before each backslash (RFC 937). What came
        by the environment or a file keeps its octets, whatever their encoding.
        """
        return self.password.replace("\\", "\\\\").encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class LoginEvent:
    """A login command and how it was taken. `user` where the command named one in readable form;
    the secret never gets here. `remote` is the host that the server was asked to go on to.
    """

    mechanism: str
    user: Optional[str]
    remote: Optional[str]
    outcome: Outcome
    reason: str

    def attempt(self, channel: Channel) -> Attempt:
        """The event as an Attempt of a look on `channel`."""
        offered = self.outcome in (Outcome.OFFERED, Outcome.ACCEPTED, Outcome.PROVEN)
        return Attempt(
            self.mechanism, channel, offered, self.outcome, self.reason, self.remote is not None
        )


class Session(Protocol):
    """Both sides of one connection, read passively."""

    banner: str
    product: str
    logins: List[LoginEvent]

    def feed(self, side: Side, data: bytes) -> Optional[int]:
        """Takes the next bytes of one side. None: all taken. A number: from that offset on the
        bytes belong to TLS, stop buffering.
        """
        ...


class LineBuffer:
    """Cuts a byte stream into lines without their ends (LF, or CR LF), and holds no more than
    `limit` octets. An overlong line sets `overflow`; what follows it is dropped.
    """

    __slots__ = ("_held", "limit", "overflow")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._held = b""
        self.limit = limit
        self.overflow = False

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


def hidden(text: bytes, secret: bytes) -> bytes:
    """`text` without the secret, quoted or not: a server may repeat what it was told."""
    for form in (secret, unquoted(secret)):
        if form:
            text = text.replace(form, b"[password not shown]")
    return text
