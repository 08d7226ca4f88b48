"""What a scan reports: one ScanResult an endpoint, and their sum.

Strategy: a result carries everything its reader needs (verdict, looks, findings, where to read
more), so that one NDJSON line stands for itself. (The codec reads the hints and knows `Optional`,
not `X | None`.) What led to no look at all (a name that does not resolve) is a result too, and an
inconclusive one: nothing that was asked for is left out.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Optional

from mailseal.model.finding import Assessment, Finding, Severity, Verdict
from mailseal.model.look import Endpoint, Observation
from mailseal.model.reported import Reported

SEVERITIES = tuple(Severity)
"""Least to most severe."""


@dataclass(frozen=True)
class Reference:
    """Where a rule comes from: CVSS 3.1 vector, weaknesses, standards, what scanners call it, and
    the page that explains it.
    """

    rule: str
    cvss: str
    cwe: tuple[str, ...]
    standards: tuple[str, ...]
    scanners: tuple[str, ...]
    page: str


class Recheck(enum.StrEnum):
    """What a look makes of a report that logins in cleartext are permitted."""

    CONFIRMED = "confirmed"
    """The look found them too."""
    NOT_CONFIRMED = "not confirmed"
    """The look could not tell: the report stands."""
    FIXED = "fixed"
    """The look found them refused, the port closed or another service."""


@dataclass(frozen=True)
class Origin:
    """The line of a file, counted from 1, that a target was read from."""

    file: str
    line: int


@dataclass(frozen=True)
class ScanResult:
    """`asked` is the name or address that was asked for. Where nothing could be looked at,
    `assessment` is None and `reason` says why; `endpoint` is None where there is no address at all.
    `swept`: one of a network's many addresses, not named by itself. `reported` is what others say
    of it; `recheck` what a look made of that, where there was one. `origin` is None for what was
    not read from a file.
    """

    asked: str
    endpoint: Optional[Endpoint]  # noqa: UP045
    verdict: Verdict
    reason: str
    assessment: Optional[Assessment]  # noqa: UP045
    findings: tuple[Finding, ...]
    references: tuple[Reference, ...]
    observations: tuple[Observation, ...]
    swept: bool = False
    reported: tuple[Reported, ...] = ()
    recheck: Optional[Recheck] = None  # noqa: UP045
    origin: Optional[Origin] = None  # noqa: UP045

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the verdict is what it is."""
        return self.assessment.reasons if self.assessment else (self.reason,)


@dataclass(frozen=True)
class Scan:
    """A whole scan as one document. Times are RFC 3339 UTC; `mailseal` is the program's version.
    What is known at the end alone comes last, so that the document can be written as it grows.
    """

    mailseal: str
    started: str
    results: tuple[ScanResult, ...]
    ended: str
    counts: Mapping[str, int]


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The most severe of some findings, None where there is none."""
    return max((finding.severity for finding in findings), key=SEVERITIES.index, default=None)


class FailOn(NamedTuple):
    """What fails besides an exposed endpoint: findings from a severity upwards, a service that does
    not answer.
    """

    severity: Severity | None = None
    absent: bool = False


class Tally:
    """Counts results as they pass."""

    def __init__(self) -> None:
        self.verdicts: Counter[Verdict] = Counter()
        self.worst: Severity | None = None

    def add(self, result: ScanResult) -> None:
        """Takes one result into account."""
        self.verdicts[result.verdict] += 1
        for finding in result.findings:
            if self.worst is None or not self.reaches(finding.severity):
                self.worst = finding.severity

    @property
    def total(self) -> int:
        """How many results there were."""
        return self.verdicts.total()

    def reaches(self, severity: Severity) -> bool:
        """Whether a finding of this severity or a worse one was seen."""
        return self.worst is not None and SEVERITIES.index(self.worst) >= SEVERITIES.index(severity)

    def fails(self, fail_on: FailOn) -> bool:
        """Whether a command exits 1."""
        return bool(
            self.verdicts[Verdict.EXPOSED]
            or (fail_on.absent and self.verdicts[Verdict.ABSENT])
            or (fail_on.severity is not None and self.reaches(fail_on.severity))
        )

    def counts(self) -> dict[str, int]:
        """Results by verdict, all four, in the order of `Verdict`."""
        return {verdict.value: self.verdicts[verdict] for verdict in Verdict}


def fails(result: ScanResult, fail_on: FailOn) -> bool:
    """Whether this result alone makes a command exit 1."""
    tally = Tally()
    tally.add(result)
    return tally.fails(fail_on)
