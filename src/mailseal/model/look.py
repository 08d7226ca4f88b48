"""What a look at a service saw: Endpoint, Attempt, TlsFacts, Observation.

An Observation records, it does not judge: the verdict is made in `assess` alone.
"""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple


@dataclass(frozen=True)
class Endpoint:
    """One address and port in one network. `site` names the network: private ranges overlap."""

    address: str
    port: int
    site: str = "default"

    def __post_init__(self) -> None:
        if str(ipaddress.ip_address(self.address.split("%", 1)[0])) != self.address.split("%")[0]:
            raise ValueError("%r is not an address in its usual form" % self.address)
        if not 0 < self.port < 65536:
            raise ValueError("port %d is not between 1 and 65535" % self.port)

    def __str__(self) -> str:
        return ("[%s]:%d" if ":" in self.address else "%s:%d") % (self.address, self.port)


class Vantage(str, enum.Enum):
    """Where the evidence was taken; it decides how far it reaches (DESIGN.md, "Vantage")."""

    REMOTE = "remote"
    VETH = "veth"
    SELF = "self"
    WIRE = "wire"
    LOG = "log"
    CONFIG = "config"


class Reach(str, enum.Enum):
    """What became of the TCP connection."""

    OPEN = "open"
    CLOSED = "closed"
    """RST, or an ICMP port unreachable."""
    FILTERED = "filtered"
    """No answer in time, or an ICMP prohibition."""
    UNROUTABLE = "unroutable"
    """This vantage has no way there: says nothing about the service."""


class Channel(str, enum.Enum):
    CLEAR = "clear"
    TLS = "tls"
    UNKNOWN = "unknown"


class Outcome(str, enum.Enum):
    """How the server took a login command, least to most telling."""

    OFFERED = "offered"
    """It greets as a service whose logins travel this way, no login command was processed."""
    ACCEPTED = "accepted"
    """It processed the login command, or asked for the secret."""
    PROVEN = "proven"
    """An account logged in."""
    REFUSED = "refused"
    """Policy said no."""
    UNCLEAR = "unclear"
    """It answered neither yes nor no; the reason says what it did."""


@dataclass(frozen=True)
class Attempt:
    """One way to log in that was tried or offered on one channel.

    `mechanism` is a SASL mechanism's name, or the command's (HELO, USER, "LOGIN command").
    `offered`: the server lists it. `remote` is set where the login asked the server to go on to
    another host. `said` is the server's answer, printable and bounded.
    """

    mechanism: str
    channel: Channel
    offered: bool
    outcome: Outcome
    reason: str
    remote: bool = False
    said: str = ""


@dataclass(frozen=True)
class TlsFacts:
    """What the TLS handshake showed. `chain` is DER, leaf first (only the leaf where the
    library gives no more). `trust` is OpenSSL's verdict: empty where the chain leads to a trusted
    root and the name fits, else its words; `name_checked` is the name it was asked to fit.
    `accepted` and `rejected` are the versions that were tried by a bare ClientHello, `suites` the
    weak cipher suites that were taken of the classes `asked` (`protocols.tlshello.WEAK`).
    """

    version: str
    cipher: str
    bits: int
    chain: Tuple[bytes, ...]
    trust: str
    name_checked: str
    accepted: Tuple[str, ...] = ()
    rejected: Tuple[str, ...] = ()
    suites: Tuple[str, ...] = ()
    asked: Tuple[str, ...] = ()


class Upgrade(str, enum.Enum):
    """How the server took the command that begins TLS inside the session (STARTTLS, STLS)."""

    DONE = "done"
    """It agreed, and the handshake came about."""
    BROKEN = "broken"
    """It agreed, and no handshake came about."""
    REFUSED = "refused"
    """It does not know the command, or said no."""
    UNCLEAR = "unclear"
    """Neither; the reason says what it did."""


@dataclass(frozen=True)
class StartTls:
    """The upgrade of a session to TLS. `advertised`: the server lists it among its capabilities.
    `injection`: what a command in the same segment behind it was answered inside TLS, which must
    not be (empty: not answered, or not asked: `injected` tells).
    """

    advertised: bool
    outcome: Upgrade
    reason: str = ""
    injection: str = ""
    injected: bool = False


@dataclass(frozen=True)
class Errand:
    """What was tried in a session of its own, inside TLS where there is any. `what`: dummy-login
    (nobody's name and password), login (a real account), relay (mail from nobody to elsewhere).
    `outcome` is how that was taken; of a login `accepted` means that it was looked at and rejected.
    """

    what: str
    outcome: Outcome
    lines: Tuple[str, ...]


@dataclass(frozen=True)
class Observation:
    """One look. Times are RFC 3339 UTC. `transcript` holds printable lines only (`C: ` and `S: `),
    bounded, secrets left out before anything else sees them; `digest` is SHA-256 over it.
    `gaps` says what could not be seen, each with its reason. `starttls` is None where it was not
    asked for (POP2 has no such command). `preauth`: the server took the client for logged in from
    the start (RFC 3501 7.1.4).
    """

    endpoint: Endpoint
    vantage: Vantage
    start: str
    end: str
    reach: Reach
    protocol: Optional[str]
    banner: str
    tls: Optional[TlsFacts]
    attempts: Tuple[Attempt, ...]
    transcript: Tuple[str, ...]
    digest: str
    gaps: Tuple[str, ...]
    name: str = ""
    """The name the address was found by, if any: what a certificate is checked against."""
    starttls: Optional[StartTls] = None
    preauth: bool = False
    errands: Tuple[Errand, ...] = ()

    RECORD: ClassVar[str] = "Observation"
