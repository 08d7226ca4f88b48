"""Plan, Claims and what comes of them: Proof and Receipt."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

from mailseal.model.change import Approval
from mailseal.model.excepted import Excepted
from mailseal.model.look import Endpoint, Vantage
from mailseal.model.ops import Op


class ClaimKind(str, enum.Enum):
    """What is promised of an endpoint. One file in `prove/` checks one kind."""

    CLEARTEXT_REFUSED = "cleartext-refused"
    """No login is taken before TLS, whether the client waits or is eager."""
    SERVICE_IN_TLS = "service-in-tls"
    """The service's own greeting is read inside TLS with the planned certificate."""
    CLEARTEXT_SERVED = "cleartext-served"
    """The service still answers in cleartext (stage offer; and after a rollback)."""
    CLOSED = "closed"
    """Nothing accepts a connection there."""
    BACKEND_GUARDED = "backend-guarded"
    """The backend's socket can be reached by the terminator's group and root alone."""
    NEIGHBOURS_KEPT = "neighbours-kept"
    """The other services of the host still listen."""
    # What `mailseal verify` asks besides; a plan promises none of these.
    ALL_ADDRESSES = "all-addresses"
    """Every address of the name, and of the host's listeners, was looked at."""
    TLS_ALONE = "tls-alone"
    """The port refuses connections, or speaks TLS; in cleartext no more than the way to it."""
    TLS_VERSIONS = "tls-versions"
    """TLS 1.2 or newer alone (RFC 8997, RFC 9325 section 3.1)."""
    TLS_CIPHERS = "tls-ciphers"
    """No weak cipher suite is taken (RFC 9325 section 4)."""
    CERTIFICATE_CHAIN = "certificate-chain"
    """It leads to a trusted root."""
    CERTIFICATE_NAME = "certificate-name"
    """It is for the name that clients use (RFC 7817)."""
    CERTIFICATE_DATES = "certificate-dates"
    """It is valid now, and for some time to come."""
    CERTIFICATE_KEY = "certificate-key"
    """Its key and signature are strong (RFC 9325 section 4.5)."""
    CERTIFICATE_PLANNED = "certificate-planned"
    """The served certificate is the one of the file."""
    BACKEND_ANSWERS = "backend-answers"
    """The service's own greeting is read inside TLS."""
    LOGIN_REJECTED = "login-rejected"
    """A made-up login is rejected inside TLS, by the backend."""
    LOGIN_WORKS = "login-works"
    """A real account can use its mailbox, or send, inside TLS."""
    INJECTION_IGNORED = "injection-ignored"
    """What is sent behind STARTTLS before TLS begins is not run inside it."""
    RELAY_REFUSED = "relay-refused"
    """Mail of strangers for elsewhere is not taken."""
    WIRE_UNREADABLE = "wire-unreadable"
    """An eavesdropper does not read our login."""
    ENABLED_AT_BOOT = "enabled-at-boot"
    """What serves the port starts by itself."""
    RELOAD_SURVIVED = "reload-survived"
    """After a reload the service is there, and sealed."""
    LIMITS_FIT = "limits-fit"
    """No limit for one address counts the whole site as one client."""
    SCANNER_CLOSES = "scanner-closes"
    """The scanner's own check will no longer report it."""


@dataclass(frozen=True)
class Claim:
    """`expected` is for the kind to read: the protocol, the certificate file, a path."""

    kind: ClaimKind
    endpoint: Endpoint
    vantage: Vantage
    expected: Mapping[str, str]


class Result(str, enum.Enum):
    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Proof:
    """`unknown` always carries its reason in `evidence`; it is never read as a pass."""

    claim: Claim
    result: Result
    evidence: Tuple[str, ...]
    taken: str


@dataclass(frozen=True)
class Scope:
    """The part of the host a plan rests on: paths and ports. Its facts are hashed into the plan,
    and hashed again before anything changes.
    """

    paths: Tuple[str, ...]
    ports: Tuple[int, ...]


STAGED = ("wrap", "gateway")
"""The strategies that know stage offer; the others enforce."""


@dataclass(frozen=True)
class Plan:
    """The fix as data. `before` are the claims that hold again after a rollback. `headline`, `gap`
    and `risks` are for people; nothing reads them to act. `declared` is what the operator answers
    for and no look can prove. `draft` lists what could not be read: a draft is never applied.
    """

    strategy: str
    stage: str
    host: str
    machine: str
    endpoint: Endpoint
    protocol: str
    made: str
    facts_digest: str
    scope: Scope
    headline: Tuple[str, ...]
    gap: str
    risks: Tuple[str, ...]
    ops: Tuple[Op, ...]
    claims: Tuple[Claim, ...]
    before: Tuple[Claim, ...]
    draft: Tuple[str, ...] = ()
    excepted: Tuple[Excepted, ...] = ()
    """Who may go on in cleartext for a while: what the ops put in place, for people."""
    declared: Tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanFile:
    """A plan as it lies in a file: its exact text and the hash (SHA-256) of that text, so that what
    was read and approved is what is applied, to the byte. Approvals are added to the file, and
    leave the text as it is.
    """

    payload: str
    sha256: str
    approvals: Tuple[Approval, ...] = ()


class RunState(str, enum.Enum):
    """Of a run, as its journal tells it."""

    APPLYING = "applying"
    HELD = "held"
    """All ops done, local proofs passed; waits to be confirmed, else the dead-man undoes it."""
    COMMITTED = "committed"
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo-failed"


@dataclass(frozen=True)
class Receipt:
    """What a run did. `results` has a line for each thing that was done. `exceptions` are what a
    rollback does not take back (installed packages and their users). `declared` as in the plan.
    """

    run: str
    plan_sha: str
    host: str
    endpoint: Endpoint
    strategy: str
    stage: str
    state: RunState
    reason: str
    results: Tuple[str, ...]
    proofs: Tuple[Proof, ...]
    exceptions: Tuple[str, ...]
    deadline: Optional[str]
    started: str
    ended: str
    excepted: Tuple[Excepted, ...] = ()
    declared: Tuple[str, ...] = ()
