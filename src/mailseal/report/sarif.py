"""Results as a SARIF 2.1.0 log (OASIS), for code scanning and other viewers of findings.

Strategy: results are written as they come, the rules that they name and the invocation after them:
the order of members is free. A finding is a result of kind `fail`. What is undecided is one of kind
`open` (section 3.27.9: too little is known to decide) under a rule id of its own: it must not
vanish. Its level is `none`, as section 3.27.10 has it for every kind but `fail`. Nothing is written
of what is refused or absent: viewers that know no `kind` would show a `pass` as an alert, and a
sweep has far too many.

Viewers want a file and a line for each result. That is the list the target was read from; without
one it is the name that was asked for. Messages are plain text (section 3.11): no embedded link
comes about in it, and braces are doubled. The arguments of the program are not written, they may
name an account. `helpUri` must be absolute, so the page of a rule travels inside.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from mailseal.model.finding import Finding, Severity, Verdict, finding_id
from mailseal.model.moment import rfc3339
from mailseal.report.cvss import base_score
from mailseal.report.records import Array, compact, member
from mailseal.report.result import Origin, Reference, ScanResult, Tally
from mailseal.report.style import harmless
from mailseal.report.writer import Run

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
LEVELS = {
    Severity.INFO: "note",
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}
UNDECIDED = "inconclusive"
"""The rule id of what could not be decided."""
UNDECIDED_RULE = {
    "id": UNDECIDED,
    "name": "Inconclusive",
    "shortDescription": {"text": "It could not be decided whether logins in cleartext are taken"},
    "fullDescription": {
        "text": "Something was to be looked at, and what was seen does not suffice for a verdict. "
        "Do not count it as clean: look again, with more patience or from another place."
    },
    "help": {"text": "The message says what was in the way."},
    "defaultConfiguration": {"level": "none"},
    "properties": {"tags": ["security"]},
}
DECIDED = (0, 1, 3)
"""Exit codes of a run that came to its end."""


def plain(text: str) -> str:
    """Text of others as part of a plain text message."""
    text = harmless(text).replace("](", "] (")
    return text.replace("{", "{{").replace("}", "}}")


class Results:
    """The results of one run, each written as it comes, and the rules that they name after them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._started = rfc3339(run.now())
        self._rules: dict[str, Mapping[str, Any]] = {}
        head = (
            "{",
            member("$schema", SCHEMA) + ",",
            member("version", "2.1.0") + ",",
            '"runs": [{',
        )
        self._results = Array(run.line, [*head, '"results": ['])

    def add(self, rule: str, described: Callable[[], Mapping[str, Any]], result: Any) -> None:
        """Writes a result of a rule, which is described where it is named for the first time."""
        if rule not in self._rules:
            self._rules[rule] = described()
        index = list(self._rules).index(rule)
        self._results.add({"ruleId": harmless(rule), "ruleIndex": index, **result})

    def end(self, counts: Mapping[str, int], code: int) -> None:
        """Writes what comes after the last."""
        self._results.end()
        invocation = {
            "executionSuccessful": code in DECIDED,
            "exitCode": code,
            "startTimeUtc": self._started,
            "endTimeUtc": rfc3339(self._run.now()),
        }
        rest = ("],", member("invocations", [invocation]) + ",")
        properties = member("properties", {"counts": counts}) + ","
        driver = ('"tool": {"driver": {', member("name", "mailseal") + ",")
        version = member("version", self._run.version) + ","
        for line in (*rest, properties, *driver, version, '"rules": ['):
            self._run.line(line)
        for index, rule in enumerate(self._rules.values(), 1):
            self._run.line(compact(rule) + ("," if index < len(self._rules) else ""))
        for line in ("]", "}}", "}]", "}"):
            self._run.line(line)


class Log:
    """A log of one run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._results = Results(run)

    def add(self, found: ScanResult) -> None:
        references = {reference.rule: reference for reference in found.references}
        for finding in found.findings:
            words = (
                f"{finding.title}: {_place(found)}. {_sentence(finding.evidence)}{finding.advice}"
            )
            self._results.add(
                finding.rule,
                functools.partial(
                    _rule, finding, references.get(finding.rule), self._run.page(finding.rule)
                ),
                _result(found, "fail", LEVELS[finding.severity], words, finding.id),
            )
        if found.verdict is Verdict.INCONCLUSIVE:
            words = f"It could not be decided: {_place(found)}. {_sentence(found.reasons)}"
            result = _result(found, "open", "none", words, _undecided_id(found))
            self._results.add(UNDECIDED, lambda: UNDECIDED_RULE, result)

    def end(self, tally: Tally, code: int) -> None:
        self._results.end(tally.counts(), code)


def _result(
    found: ScanResult, kind: str, level: str, words: str, fingerprint: str
) -> dict[str, Any]:
    assessment = found.assessment
    properties: dict[str, Any] = {"verdict": found.verdict.value}
    if assessment:
        properties["grade"] = assessment.grade.value if assessment.grade else None
        properties["protocol"] = assessment.protocol and harmless(assessment.protocol)
        properties["vantages"] = [vantage.value for vantage in assessment.vantages]
    if found.recheck:
        properties["recheck"] = found.recheck.value
    return {
        "kind": kind,
        "level": level,
        "message": {"text": plain(words).rstrip()},
        "locations": [_location(found)],
        "partialFingerprints": fingerprints(fingerprint),
        "properties": properties,
    }


def fingerprints(id_: str) -> dict[str, str]:
    """The second name is the one that code scanning of GitHub knows a result again by."""
    return {"findingId/v1": id_, "primaryLocationLineHash": f"{id_}:1"}


def _place(found: ScanResult) -> str:
    if found.endpoint is None:
        return found.asked
    by_name = found.asked not in ("", found.endpoint.address)
    return f"{found.endpoint} ({found.asked})" if by_name else str(found.endpoint)


def _sentence(lines: Sequence[str]) -> str:
    return "; ".join(lines) + ". " if lines else ""


def _undecided_id(found: ScanResult) -> str:
    """As the id of a finding: stable from run to run."""
    if found.endpoint is not None:
        return finding_id(UNDECIDED, found.endpoint)
    text = f"{UNDECIDED} {found.asked}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _location(found: ScanResult) -> dict[str, Any]:
    logical = []
    if found.endpoint is not None:
        name = harmless(str(found.endpoint))
        full = harmless(f"{found.endpoint.site}/{found.endpoint}")
        logical.append({"name": name, "fullyQualifiedName": full, "kind": "endpoint"})
    if found.endpoint is None or found.asked not in ("", found.endpoint.address):
        logical.append({"name": harmless(found.asked), "kind": "host"})
    origin = found.origin or Origin(found.asked or str(found.endpoint), 1)
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": uri(origin.file)},
            "region": {"startLine": origin.line},
        },
        "logicalLocations": logical,
    }


def uri(path: str) -> str:
    """A path as a URI reference: relative to the folder mailseal ran in, or `file:`."""
    quoted = quote(path.encode("utf-8", "surrogatepass"))
    return "file://" + quoted if path.startswith("/") else quoted


def _rule(finding: Finding, reference: Reference | None, page: str) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": harmless(finding.rule),
        "name": "".join(word.capitalize() for word in harmless(finding.rule).split("-")),
        "shortDescription": {"text": plain(finding.title)},
        "fullDescription": {"text": first_words(page) or plain(finding.title)},
        "help": {"text": page, "markdown": page} if page else {"text": plain(finding.title)},
        "defaultConfiguration": {"level": LEVELS[finding.severity]},
    }
    if reference is not None:
        rule["properties"] = {
            "tags": ["security", *(f"external/cwe/{cwe.lower()}" for cwe in reference.cwe)],
            "security-severity": f"{base_score(reference.cvss):.1f}",
            "cvss": reference.cvss,
            "standards": list(reference.standards),
            "scanners": list(reference.scanners),
            "page": reference.page,
        }
    return rule


def first_words(page: str) -> str:
    """The first paragraph below the page's first heading of the second order."""
    below = page.partition("\n## ")[2].partition("\n\n")[2]
    return " ".join(below.partition("\n\n")[0].split())
