"""Deviations as a SARIF 2.1.0 log, for code scanning.

Strategy: as scans have it (`sarif`). Viewers want a file and a line: for an endpoint that is the
policy that it deviates from, which lies in the repository that the log is for. What is let pass is
a suppressed result (section 3.35) with the reason; what is fixed is not written, because that a
result is gone is how viewers know.
"""

from __future__ import annotations

from typing import Any

from mailseal.model.finding import Severity
from mailseal.model.policy import (
    CERTIFICATE_DAYS,
    LEAST_VERSION,
    SERVICE_GONE,
    UNDECIDED,
    Deviation,
    State,
)
from mailseal.report.check import Sum, excuse, where
from mailseal.report.sarif import (
    LEVELS,
    UNDECIDED_RULE,
    Results,
    fingerprints,
    first_words,
    plain,
    uri,
)
from mailseal.report.style import harmless
from mailseal.report.writer import Run

TITLES = {
    CERTIFICATE_DAYS: "The certificate ends too soon",
    LEAST_VERSION: "The product is older than the policy allows",
    SERVICE_GONE: "The service does not answer",
}
"""Of the rules that policies alone have."""


class Log:
    """A log of one check."""

    def __init__(self, run: Run, total: Sum) -> None:
        self._run = run
        self._total = total
        self._results = Results(run)

    def add(self, each: Deviation) -> None:
        if each.state is not State.FIXED:
            self._results.add(each.rule, lambda: self._rule(each), self._result(each))

    def end(self, code: int) -> None:
        self._results.end(self._total.counts(), code)

    def _result(self, each: Deviation) -> dict[str, Any]:
        told = each.state is not State.UNDECIDED
        said = ". ".join(filter(None, (f"{where(each)}: {each.text}", excuse(each), each.advice)))
        # Section 3.27.23: where one result says whether it is suppressed, all do.
        suppressed = each.state is State.EXEMPT and each.exemption
        reason = f"{suppressed.reason} ({suppressed.owner})" if suppressed else ""
        return {
            "kind": "fail" if told else "open",
            "level": LEVELS[each.severity] if told else "none",
            "message": {"text": plain(said)},
            "locations": [self._location(each)],
            "partialFingerprints": fingerprints(each.id),
            "suppressions": [{"kind": "external", "status": "accepted", "justification": reason}]
            if suppressed
            else [],
            "properties": {"state": each.state.value, "severity": each.severity.value},
        }

    def _location(self, each: Deviation) -> dict[str, Any]:
        file = each.path or self._total.policy.source
        found: dict[str, Any] = {
            "physicalLocation": {
                "artifactLocation": {"uri": uri(file)},
                "region": {"startLine": each.line or 1},
            }
        }
        if not each.path:
            found["logicalLocations"] = [{"name": harmless(where(each)), "kind": "endpoint"}]
        return found

    def _rule(self, each: Deviation) -> dict[str, Any]:
        if each.rule == UNDECIDED:
            return UNDECIDED_RULE
        page = self._run.page(each.rule)
        title = page.partition("\n")[0].partition(": ")[2] or TITLES.get(each.rule, each.rule)
        # The severity is the rule's: what an untold result has says nothing of it.
        severity = Severity.MEDIUM if each.state is State.UNDECIDED else each.severity
        return {
            "id": harmless(each.rule),
            "name": "".join(word.capitalize() for word in harmless(each.rule).split("-")),
            "shortDescription": {"text": plain(title)},
            "fullDescription": {"text": first_words(page) or plain(title)},
            "help": {"text": page, "markdown": page} if page else {"text": plain(title)},
            "defaultConfiguration": {"level": LEVELS[severity]},
            "properties": {"tags": ["security"]},
        }
