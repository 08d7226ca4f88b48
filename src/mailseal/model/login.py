"""Who logs in: Login and TlsFailure, as captures and logs of mail servers show them.

Strategy: one value is one kind of login (who, from where, to what, how, with what outcome) with how
often and when; a single sighting is the same value with a count of one, and `kind` says which of
them belong together. The secret is no part of it, nor is any word of the server's: only what a
client is and does. User names and client software are text of others: printable, bounded.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, Hashable, Optional, Tuple

from mailseal.model.look import Channel, Endpoint, Vantage


class LoginOutcome(str, enum.Enum):
    """How it ended."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """A wrong password, or no such user: in cleartext it could be read all the same."""
    REFUSED = "refused"
    """Policy said no to this way of logging in, whatever the password."""
    UNKNOWN = "unknown"
    """The answer was not seen."""


@dataclass(frozen=True)
class Login:
    """Logins of one kind. `endpoint` is the server's address and port, None where a log tells no
    address; `host` is the name that the log's host gives itself (empty on the wire). `client` is
    an address, or a name where the log has no address; empty where it has neither. `user` is None
    where it was not seen (a digest mechanism, a gap). `software` is what clients say of themselves.
    `daemon` is the name of its record where a log tells. `first` and `last` are RFC 3339 UTC.
    `complete`: nothing was missing of the sessions (no packet lost, no line absent). `notes` say
    what could not be told, and why.
    """

    endpoint: Optional[Endpoint]
    protocol: str
    client: str
    user: Optional[str]
    mechanism: str
    channel: Channel
    outcome: LoginOutcome
    count: int
    first: str
    last: str
    vantage: Vantage
    complete: bool = True
    software: Tuple[str, ...] = ()
    host: str = ""
    daemon: str = ""
    notes: Tuple[str, ...] = ()

    RECORD: ClassVar[str] = "Login"

    @property
    def kind(self) -> Hashable:
        """What two sightings have in common that are counted together."""
        what = (self.endpoint, self.protocol, self.host, self.daemon, self.vantage)
        return (*what, self.client, self.user, self.mechanism, self.channel, self.outcome)

    @property
    def service(self) -> str:
        """The server for people: its address and port, else what a log knows of it."""
        return str(self.endpoint) if self.endpoint else " ".join((self.host, self.protocol)).strip()


class Meaning(str, enum.Enum):
    """What a login means to somebody who wants to switch cleartext off; made in `assess`."""

    CLEARTEXT = "cleartext"
    """The secret crossed the network for all to read."""
    UNDECIDED = "undecided"
    """Whether it did could not be told."""
    WEAK = "weak"
    """Without TLS, by a mechanism that hides the secret badly."""
    REFUSED = "refused"
    """Tried in cleartext, and refused by policy."""
    SAFE = "safe"
    """Inside TLS, or by a mechanism that reveals nothing."""


@dataclass(frozen=True)
class JudgedLogin:
    """A login and what it means."""

    login: Login
    meaning: Meaning

    RECORD: ClassVar[str] = "JudgedLogin"


@dataclass(frozen=True)
class TlsFailure:
    """Clients that began TLS and did not get through it: `reason` is in our words (an unknown
    authority, too old a version), and the same for the same trouble. After a switch to TLS these
    are the users who call. The other fields as in Login.
    """

    endpoint: Optional[Endpoint]
    protocol: str
    client: str
    reason: str
    count: int
    first: str
    last: str
    vantage: Vantage
    host: str = ""
    daemon: str = ""

    RECORD: ClassVar[str] = "TlsFailure"

    @property
    def kind(self) -> Hashable:
        """What two sightings have in common that are counted together."""
        what = (self.endpoint, self.protocol, self.host, self.daemon, self.vantage)
        return (*what, self.client, self.reason)
