"""Results for tests, from the rules' own fixtures."""

from dataclasses import replace

from mailseal.assess import assess
from mailseal.model.finding import Verdict
from mailseal.model.look import Endpoint, Observation
from mailseal.report.result import Reference, ScanResult
from mailseal.rules import BY_ID, findings
from tests.rules.test_rules import looks


def result(rule: str = "pop2-cleartext-login", kind: str = "bad", **changes) -> ScanResult:
    """What a scan would say of a fixture; `changes` are made to its look first."""
    observations: tuple[Observation, ...] = tuple(replace(o, **changes) for o in looks(rule, kind))
    assessment = assess(observations)
    found = findings(assessment, observations)
    references = tuple(
        Reference(r.id, r.cvss, r.cwe, r.standards, r.scanners, r.page)
        for r in (BY_ID[finding.rule] for finding in found)
    )
    return ScanResult(
        asked=observations[0].name,
        endpoint=assessment.endpoint,
        verdict=assessment.verdict,
        reason="",
        assessment=assessment,
        findings=found,
        references=references,
        observations=observations,
    )


def lost(asked: str, reason: str, endpoint: Endpoint | None = None) -> ScanResult:
    """A result without a look."""
    return ScanResult(asked, endpoint, Verdict.INCONCLUSIVE, reason, None, (), (), ())
