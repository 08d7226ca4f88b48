"""SASL (RFC 4422) as mail protocols use it: what a mechanism reveals, and the exchange itself.

Strategy: one table tells cleartext mechanisms (who reads the wire has the password, or a token as
good as one) from weak ones (a broken hash of it, for guessing at home) and from the rest.
`Exchange` reads the client's part passively: it keeps who logs in, and the secret only until the
answer has come, to find it again in an answer that repeats it. `careful` is the prober's part: it
asks for each mechanism without an initial response, which every server must answer with a prompt or
with its no, and cancels with "*" (RFC 4954 section 4, RFC 5034 section 4, RFC 3501 section 6.2.2).
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from typing import Callable, Dict, Generator, Iterable, List, Optional, Tuple

from mailseal.protocols.base import Answer, Credentials, Reply, Say, Step, printable


class Strength(enum.Enum):
    """What an eavesdropper learns of the secret."""

    CLEARTEXT = "cleartext"
    WEAK = "weak"
    STRONG = "strong"


STRENGTHS: Dict[str, Strength] = {
    **dict.fromkeys(("PLAIN", "LOGIN", "PLAIN-CLIENTTOKEN"), Strength.CLEARTEXT),
    # Bearer tokens: whoever has read one can use it (RFC 7628 section 4).
    **dict.fromkeys(
        ("XOAUTH", "XOAUTH2", "OAUTHBEARER", "X-FACEBOOK-PLATFORM"), Strength.CLEARTEXT
    ),
    # Commands of the protocols themselves.
    **dict.fromkeys(("HELO", "USER", "LOGIN command"), Strength.CLEARTEXT),
    **dict.fromkeys(("CRAM-MD5", "DIGEST-MD5", "NTLM", "APOP", "OTP", "SKEY"), Strength.WEAK),
}
"""Of what is not here nothing is known to be revealed (SCRAM, GSSAPI, EXTERNAL, ANONYMOUS)."""

KNOWN = frozenset(STRENGTHS) | {
    *("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512"),
    *("SCRAM-SHA-512-PLUS", "GSSAPI", "GS2-KRB5", "GSS-SPNEGO", "KERBEROS_V4", "SECURID"),
    *("EXTERNAL", "ANONYMOUS", "SRP", "RPA", "MSN", "WEBAUTHN"),
}
"""What a client may name: any other word of its may be a secret at the wrong place."""

PROBED = ("PLAIN", "LOGIN")
"""Asked for even where they are not offered."""

MECHANISM = re.compile(rb"[A-Za-z0-9_-]{1,20}\Z")
"""RFC 4422 section 3.1."""

RESPONSE_LIMIT = 4096


def strength(mechanism: str) -> Strength:
    """By its name, in any case of letters; commands by their own spelling."""
    return STRENGTHS.get(mechanism) or STRENGTHS.get(mechanism.upper(), Strength.STRONG)


def name(word: bytes) -> Optional[str]:
    """A mechanism's name as a server or client wrote it; None where it cannot be one."""
    return word.decode("ascii").upper() if MECHANISM.match(word) else None


def offered(words: Iterable[bytes]) -> Tuple[str, ...]:
    """The mechanisms of a list, each once, without what cannot be one."""
    return tuple(dict.fromkeys(filter(None, map(name, words))))


def to_try(wanted: Tuple[str, ...], listed: Iterable[str]) -> Tuple[str, ...]:
    """The mechanisms that a careful look asks for: those wanted, else the usual ones and what is
    listed besides that travels in cleartext.
    """
    cleartext = (word for word in listed if strength(word) is Strength.CLEARTEXT)
    words = dict.fromkeys(wanted or (*PROBED, *cleartext))
    return tuple(word for word in words if word not in COMMANDS)


COMMANDS = ("HELO", "USER", "LOGIN command", "APOP")
"""Ways to log in that are no SASL mechanism."""


class Exchange:
    """The client's part of one exchange, read passively. `user` in readable form where the
    mechanism shows it; `secrets` are the forms of what must not be shown. `sent` counts responses.
    `blind`: a response was not seen, so no other can be told to be a name.
    """

    __slots__ = ("blind", "cancelled", "mechanism", "prompted", "secrets", "sent", "user")

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism
        self.user: Optional[str] = None
        self.secrets: List[bytes] = []
        self.sent = 0
        self.prompted = False
        self.cancelled = False
        self.blind = False

    def __repr__(self) -> str:
        return "Exchange(%r)" % self.mechanism

    def response(self, line: bytes) -> None:
        """Takes one response as it stood on the wire (base64, or "*" to cancel, "=" for empty)."""
        if line == b"*":
            self.cancelled = True
            return
        self.sent += 1
        if self.sent > 8 or line in (b"", b"="):
            return
        self.secrets.append(line)
        if not self.blind:
            self.take(_decoded(line))

    def take(self, message: bytes) -> None:
        """Takes one response, decoded."""
        reader = _USERS.get(self.mechanism)
        user, secret = reader(self.sent, message) if reader else (None, message)
        if user:
            self.user = self.user or printable(user)
        if secret:
            self.secrets.append(secret)


def _decoded(line: bytes) -> bytes:
    try:
        return base64.b64decode(line[:RESPONSE_LIMIT], validate=False)
    except (binascii.Error, ValueError):
        return b""


_Read = Tuple[Optional[bytes], bytes]


def _plain(number: int, message: bytes) -> _Read:
    """RFC 4616: [authorize] NUL authenticate NUL password."""
    parts = message.split(b"\0", 2)
    return (parts[1], parts[2]) if len(parts) == 3 else (None, message)


def _login(number: int, message: bytes) -> _Read:
    """draft-murchison-sasl-login: the name, then the password."""
    return (message, b"") if number == 1 else (None, message)


def _cram_md5(number: int, message: bytes) -> _Read:
    """RFC 2195: name, blank, digest."""
    user, blank, digest = message.rpartition(b" ")
    return (user, digest) if blank else (None, message)


def _pairs(number: int, message: bytes) -> _Read:
    """DIGEST-MD5 (RFC 2831): username="..."."""
    found = re.search(rb'username="((?:[^"\\]|\\.){0,256})"', message)
    return (found.group(1) if found else None), message


def _token(number: int, message: bytes) -> _Read:
    """XOAUTH2 and OAUTHBEARER (RFC 7628): user=... or a=..., ended by ^A or a comma."""
    found = re.search(rb"(?:\buser=|,a=|\Aa=)([^\x01,]{1,256})", message)
    return (found.group(1) if found else None), message


def _scram(number: int, message: bytes) -> _Read:
    """SCRAM (RFC 5802): n=name in the first message."""
    found = re.search(rb"(?:\A|,)n=([^,]{1,256})", message)
    return (found.group(1) if found and number == 1 else None), message


_USERS: Dict[str, Callable[[int, bytes], _Read]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram_md5,
    "DIGEST-MD5": _pairs,
    "XOAUTH2": _token,
    "OAUTHBEARER": _token,
    "SCRAM-SHA-1": _scram,
    "SCRAM-SHA-256": _scram,
    "SCRAM-SHA-1-PLUS": _scram,
    "SCRAM-SHA-256-PLUS": _scram,
}

Begin = Callable[[str], bytes]
"""The command that begins an exchange with a mechanism, its line end included."""


def careful(
    mechanisms: Iterable[str], begin: Begin, cancel: bytes = b"*\r\n"
) -> Generator[Step, Reply, bool]:
    """Asks for each mechanism and cancels at the prompt. False where the server ended it."""
    for mechanism in mechanisms:
        command = begin(mechanism)
        reply = yield Say(command, printable(command.rstrip(b"\r\n")))
        if reply.answer is Answer.MORE:
            reply = yield Say(cancel, printable(cancel.rstrip(b"\r\n")))
        if reply.answer is Answer.BYE:
            return False
    return True


def login(
    mechanism: str,
    credentials: Credentials,
    begin: Begin,
    write: Callable[[bytes], bytes] = lambda text: text + b"\r\n",
) -> Generator[Step, Reply, Reply]:
    """Logs in with PLAIN or LOGIN, one answer to each prompt; the last reply. `write` makes a line
    of a response in base64.
    """
    command = begin(mechanism)
    reply = yield Say(command, printable(command.rstrip(b"\r\n")))
    messages = [credentials.plain]
    if mechanism == "LOGIN":
        messages = [credentials.name, credentials.secret]
    for index, message in enumerate(messages):
        if reply.answer is not Answer.MORE:
            break
        shown = "[user name]" if mechanism == "LOGIN" and index == 0 else "[password not shown]"
        reply = yield Say(write(base64.b64encode(message)), shown)
    return reply
