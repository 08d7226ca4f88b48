"""Results for tests, from the rules' own fixtures."""

from collections.abc import Iterable
from dataclasses import replace

from mailseal.assess import assess
from mailseal.model.finding import Severity, Verdict
from mailseal.model.look import Endpoint, Observation, Reach
from mailseal.model.reported import Claimed, Reported
from mailseal.report.forms import FORMS
from mailseal.report.result import FailOn, Origin, Recheck, Reference, ScanResult, Tally
from mailseal.report.style import PLAIN
from mailseal.report.writer import Run
from mailseal.rules import BY_ID, findings
from tests.project.tree import ROOT
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


REPORT = Reported(
    Endpoint("192.0.2.7", 109), "nessus", "15854", "POP2 Cleartext", Claimed.PERMITTED, "pop2",
    "mail.example", "2026-01-07T11:58:20.000Z", "+ POP2 ready",
)  # fmt: skip


def lost(asked: str, reason: str, endpoint: Endpoint | None = None) -> ScanResult:
    """A result without a look."""
    return ScanResult(asked, endpoint, Verdict.INCONCLUSIVE, reason, None, (), (), ())


HOSTILE = "a\x1b[2J\x1b]0;x\x07\x00\x7f\x9b31m\u202e\u2066\u200b\u2028\r\n\ud800z"
"""Terminal escapes, controls, direction marks, line ends, half a character."""


def closed(**changes) -> ScanResult:
    """An endpoint where nothing listens."""
    seen = result(reach=Reach.CLOSED, attempts=(), protocol=None, gaps=("connection refused",))
    return replace(seen, **changes)


def hostile(text: str) -> ScanResult:
    """An exposed endpoint with the text wherever somebody else may have put it."""
    made = result(banner=text, protocol="pop2", transcript=(text,), gaps=(text,), name=text)
    assert made.assessment is not None
    assessment = replace(
        made.assessment, reasons=(text,), conflicts=(text,), protocol=text, product=text
    )
    finding = replace(made.findings[0], evidence=(text + "2",), advice=text, title=text)
    return replace(
        made,
        assessment=assessment,
        findings=(finding,),
        asked=text,
        endpoint=Endpoint("fe80::1%" + text, 109),
        reported=(replace(REPORT, title=text, name=text, text=text, check=text),),
        recheck=Recheck.CONFIRMED,
        origin=Origin(text, 7),
    )


def mixed() -> list[ScanResult]:
    """One of each verdict, a finding where nothing is exposed, and a swept address."""
    return [
        replace(result(), origin=Origin("hosts.txt", 3)),
        result("tls-version"),
        lost("gone.example", "the name does not resolve"),
        closed(),
        closed(swept=True),
    ]


def page(rule: str) -> str:
    return (ROOT / "docs/rules" / f"{rule}.md").read_text()


def written(
    form: str, results: Iterable[ScanResult], fail_on: Severity | None = None, code: int = 1
) -> str:
    """What a writer makes of results that all come within a second."""
    lines: list[str] = []
    moments = iter((1768478400.0, 1768478401.0))
    writer = FORMS[form](
        Run(lines.append, "0.1.0", lambda: next(moments), PLAIN, FailOn(fail_on), page)
    )
    tally = Tally()
    for each in results:
        tally.add(each)
        writer.add(each)
    writer.end(tally, code)
    return "".join(line + "\n" for line in lines)
