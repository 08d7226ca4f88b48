"""What the evidence means: Assessment and Finding."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import Optional, Tuple

from mailseal.model.look import Endpoint, Vantage


class Verdict(str, enum.Enum):
    """Of cleartext login at an endpoint. Inconclusive is never counted as clean."""

    EXPOSED = "exposed"
    REFUSED = "refused"
    ABSENT = "absent"
    INCONCLUSIVE = "inconclusive"


class Grade(str, enum.Enum):
    """How strong the evidence for `exposed` is."""

    CONFIGURED = "configured"
    REPORTED = "reported"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    OBSERVED = "observed"
    PROVEN = "proven"


@dataclass(frozen=True)
class Assessment:
    """The one verdict on an endpoint. `basis` are the digests of the looks it rests on, `vantages`
    from where they were taken; `conflicts` are contradictions, shown and not averaged. `product` is
    the daemon and its version, as far as they show.
    """

    endpoint: Endpoint
    protocol: Optional[str]
    verdict: Verdict
    grade: Optional[Grade]
    reasons: Tuple[str, ...]
    basis: Tuple[str, ...]
    vantages: Tuple[Vantage, ...]
    conflicts: Tuple[str, ...] = ()
    product: str = ""


class Severity(str, enum.Enum):
    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Finding:
    """One rule broken at one endpoint. `id` depends on these two alone, so that a finding keeps
    its name from scan to scan whatever the evidence of the day.
    """

    id: str
    rule: str
    endpoint: Endpoint
    severity: Severity
    title: str
    evidence: Tuple[str, ...]
    advice: str
    assessment: Assessment


def finding_id(rule: str, endpoint: Endpoint) -> str:
    """Twelve hexadecimal digits, stable for a rule and an endpoint."""
    text = "%s %s %s" % (rule, endpoint.site, endpoint)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]
