"""What a site asks of its mail services, what is known of them now, and where the two differ.

Strategy: values alone. A SealPolicy is what a file says, a Posture is what looks say of one
endpoint, a Deviation is a rule of the one that the other does not keep. Moments are RFC 3339 UTC,
days are their first ten characters.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from mailseal.model.asset import Terms
from mailseal.model.finding import Assessment, Finding, Severity, finding_id
from mailseal.model.look import Endpoint

CLEARTEXT = "-cleartext-login"
"""How the ids of those rules end that say: no login in cleartext."""
TLS_VERSION = "tls-version"
CERTIFICATE_DAYS = "certificate-days"
"""A rule that policies alone have: how long the certificate must last yet."""
LEAST_VERSION = "least-version"
"""Another: how old a product may be."""
SERVICE_GONE = "service-gone"
"""Another: a service that must be there and does not answer."""
UNDECIDED = "inconclusive"
"""The rule of what could not be told at all."""


@dataclass(frozen=True)
class LeastVersion:
    """`product` as looks show it, in lower case (dovecot); `version` as 2.3.21."""

    product: str
    version: str


@dataclass(frozen=True)
class Requirements:
    """What is asked of an endpoint. `cleartext`: logins in cleartext are let pass. The rest asks
    for nothing where it is empty or 0: `tls_min_version` is as "1.2", `rules` are ids of the rules
    that have no key of their own.
    """

    cleartext: bool = False
    tls_min_version: str = "1.2"
    certificate_days: int = 21
    rules: Tuple[str, ...] = ()
    least_versions: Tuple[LeastVersion, ...] = ()


@dataclass(frozen=True)
class Section:
    """Endpoints of which something else is asked. `targets` and `site` are as in Exemption."""

    targets: Tuple[str, ...]
    site: str
    asked: Requirements


@dataclass(frozen=True)
class Exemption:
    """What is let pass, where, until when, and who answers for it. `targets` are addresses,
    networks or names, each with or without `:port`, in the network `site` (empty: in any); `files`
    are patterns of paths as in fnmatch. `until` is the last day.
    """

    targets: Tuple[str, ...]
    site: str
    files: Tuple[str, ...]
    rules: Tuple[str, ...]
    until: str
    owner: str
    reason: str


@dataclass(frozen=True)
class SealPolicy:
    """What a site asks for. `source` is where it was read, `sha256` over its octets. `targets` is
    what to look at, `services` what must answer there (each with its port). An endpoint has the
    requirements of the first section that it is in, else `asked`. A look older than `look_days`
    answers nothing. Faults of files count from `lint_severity` upwards. The days of reviews and
    patches are as in Terms.
    """

    source: str
    sha256: str
    asked: Requirements = Requirements()
    sections: Tuple[Section, ...] = ()
    exceptions: Tuple[Exemption, ...] = ()
    targets: Tuple[str, ...] = ()
    services: Tuple[str, ...] = ()
    look_days: int = 7
    lint_severity: Severity = Severity.MEDIUM
    review_days: int = Terms().review
    patch_days_security: int = Terms().security
    patch_days_ordinary: int = Terms().ordinary


@dataclass(frozen=True)
class TlsPosture:
    """`accepted` and `rejected` are versions that were tried ("TLSv1.2"). `ends` is when the
    certificate does, empty where none could be read.
    """

    accepted: Tuple[str, ...]
    rejected: Tuple[str, ...]
    ends: str


@dataclass(frozen=True)
class Posture:
    """What is known of one endpoint. `name` is what it was asked for by, `seen` the moment of the
    newest evidence; `assessment` is None where nobody looked. `kept` are rules that were looked for
    and found kept: of a rule neither there nor among `findings`, nothing is known.
    """

    endpoint: Endpoint
    name: str
    seen: str
    assessment: Optional[Assessment]
    findings: Tuple[Finding, ...] = ()
    kept: Tuple[str, ...] = ()
    tls: Optional[TlsPosture] = None


class State(str, enum.Enum):
    """A deviation, held against what was known before and against the exceptions."""

    NEW = "new"
    UNCHANGED = "unchanged"
    FIXED = "fixed"
    EXEMPT = "exempt"
    EXPIRED = "expired"
    """Its exception is over."""
    UNDECIDED = "undecided"
    """It could not be told. Never counted as clean."""


FAILING = (State.NEW, State.UNCHANGED, State.EXPIRED)
"""Where the policy is broken and nothing excuses it."""
BROKEN = (*FAILING, State.EXEMPT)
"""Where the policy is broken."""


@dataclass(frozen=True)
class Deviation:
    """A rule of the policy that is not kept, was not before, or of which it could not be told. `id`
    depends on the rule and the place alone. The place is an endpoint, a file (`path`, `line` from
    1) or, where neither is known, the `name` that was asked for. `text` is what was seen, `advice`
    what to do. `exemption` is the one that holds, or held.
    """

    id: str
    rule: str
    state: State
    severity: Severity
    endpoint: Optional[Endpoint]
    text: str
    advice: str = ""
    name: str = ""
    path: str = ""
    line: int = 0
    exemption: Optional[Exemption] = None

    RECORD: ClassVar[str] = "Deviation"

    @property
    def place(self) -> str:
        """Where it is, for people."""
        if self.path:
            return "%s:%d" % (self.path, self.line) if self.line else self.path
        return self.name if self.endpoint is None else str(self.endpoint)


def deviation_id(rule: str, place: "Endpoint | str") -> str:
    """As the id of a finding; for an endpoint it is that of the finding of this rule there."""
    if isinstance(place, Endpoint):
        return finding_id(rule, place)
    text = "%s %s" % (rule, place)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]
