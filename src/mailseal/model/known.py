"""What is known over time: findings and their history, as the store gives them to readers.

Moments are RFC 3339 UTC, those of the looks (their start), not of the recording. Who logs in is
personal data: it stands in KnownLogin alone, and everything else holds counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from mailseal.model.asset import Asset
from mailseal.model.finding import Assessment, Finding, Severity
from mailseal.model.login import Login, Meaning
from mailseal.model.look import Endpoint, Observation
from mailseal.model.reported import Reported


@dataclass(frozen=True)
class KnownFinding:
    """A finding with its newest evidence. `first` and `last` are when it was seen since it last
    appeared, `fixed` the moment of the look that found it gone (None: it is open). `found_from` are
    the vantages that saw it; `report` stands for what others say. `users` is how many logged in in
    cleartext at its endpoint in the last 30 days; None: nobody ever looked at who logs in there.
    """

    finding: Finding
    first: str
    last: str
    fixed: Optional[str]
    found_from: Tuple[str, ...]
    users: Optional[int] = None


@dataclass(frozen=True)
class KnownLogin:
    """Logins of one kind, added up over all that was read. `login.count` is a least number: what
    was read twice counts once, and where that could not be told it counts as read twice. `source`
    is the file or interface that told of it last.
    """

    login: Login
    meaning: Meaning
    source: str

    RECORD: ClassVar[str] = "KnownLogin"


@dataclass(frozen=True)
class Appearance:
    """A time during which a finding was there."""

    first: str
    last: str
    fixed: Optional[str]


@dataclass(frozen=True)
class Interval:
    """A time during which some finding was there; `fixed` is None while it is."""

    severity: Severity
    first: str
    fixed: Optional[str]


@dataclass(frozen=True)
class VerdictPeriod:
    """Looks from one vantage that came to the same verdict. `seen` counts them (of looks that were
    recorded out of order, only those that widen the period); `assessment` is the newest.
    """

    source: str
    first: str
    last: str
    seen: int
    assessment: Assessment


@dataclass(frozen=True)
class LookPeriod:
    """Looks from one vantage, under one name, that differ in nothing that matters (words of the
    server and moments may differ). `observations` are the newest of them.
    """

    source: str
    first: str
    last: str
    seen: int
    observations: Tuple[Observation, ...]


@dataclass(frozen=True)
class ReportPeriod:
    """What one tool said, in one check, again and again; `reported` is its newest word."""

    source: str
    first: str
    last: str
    seen: int
    reported: Reported


@dataclass(frozen=True)
class Undecided:
    """An endpoint of which could not be told whether it takes logins in cleartext. `name` is what
    it was last asked for by; `verdict` is None where only logins were seen, which say nothing.
    """

    endpoint: Endpoint
    name: str
    verdict: Optional[VerdictPeriod]


@dataclass(frozen=True)
class KnownEndpoint:
    """What is or was known of an endpoint at a moment: the newest verdict and look, the findings
    that were open, and the rules of those that had been fixed. `name` is as in Undecided.
    """

    endpoint: Endpoint
    name: str
    verdict: Optional[VerdictPeriod]
    look: Optional[LookPeriod]
    findings: Tuple[Finding, ...]
    fixed: Tuple[str, ...]


@dataclass(frozen=True)
class FindingHistory:
    """One finding, and all that is known of its endpoint; newest first in every list. `conflicts`
    are those between the newest look and the logins. `asset` is the endpoint's software.
    """

    known: KnownFinding
    appearances: Tuple[Appearance, ...]
    verdicts: Tuple[VerdictPeriod, ...]
    looks: Tuple[LookPeriod, ...]
    reports: Tuple[ReportPeriod, ...]
    logins: Tuple[KnownLogin, ...] = ()
    conflicts: Tuple[str, ...] = ()
    asset: Optional[Asset] = None


@dataclass(frozen=True)
class KnownFindings:
    """A list of findings as one document. `endpoints` is how many endpoints were looked at,
    reported or logged in to within what was asked for, `undecided` of how many the newest verdict
    is inconclusive or there is none. `unplaced` is how many users logged in in cleartext, in the
    last 30 days, at servers whose address no log tells.
    """

    mailseal: str
    findings: Tuple[KnownFinding, ...]
    endpoints: int
    undecided: int
    unplaced: int = 0
