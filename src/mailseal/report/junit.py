"""Results as JUnit XML: a suite of one test case an endpoint.

Strategy: a suite must open with its counts, so that one suite for all could be written only when
all is known; one an endpoint has its counts at once. The case fails where the endpoint makes
mailseal exit 1. What is undecided is an error and not "skipped", which many pipelines show as
green. ASCII alone, so that the declared encoding is true whatever the terminal's is. Text of others
has passed `harmless`: XML 1.0 (section 2.2) has no form for most control characters, not even
escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterator

from mailseal.model.finding import Verdict
from mailseal.report import text
from mailseal.report.result import ScanResult, Tally, fails
from mailseal.report.style import harmless
from mailseal.report.writer import Run


def escaped(words: str) -> str:
    """Text for XML, in elements and in attributes."""
    return html.escape(harmless(words)).encode("ascii", "xmlcharrefreplace").decode("ascii")


def attributes(**values: str) -> str:
    """Attributes of an element, each with a blank before it."""
    return "".join(f' {name}="{escaped(value)}"' for name, value in values.items())


def _properties(found: ScanResult) -> Iterator[tuple[str, str]]:
    yield "asked", found.asked
    yield "verdict", found.verdict.value
    if found.assessment:
        yield "grade", found.assessment.grade.value if found.assessment.grade else ""
        yield "protocol", found.assessment.protocol or ""
        yield "vantage", " ".join(vantage.value for vantage in found.assessment.vantages)
    if found.recheck:
        yield "recheck", found.recheck.value
    for finding in found.findings:
        yield f"finding.{finding.id}", f"{finding.severity.value} {finding.rule}"


class Suites:
    """A suite a result, without what a network sweep found absent."""

    def __init__(self, run: Run) -> None:
        self._out = run.line
        self._fail_on = run.fail_on
        self._out('<?xml version="1.0" encoding="UTF-8"?>')
        self._out('<testsuites name="mailseal">')

    def add(self, found: ScanResult) -> None:
        block = text.result(found)
        if not block:
            return
        element, kind = self._outcome(found)
        place = str(found.endpoint) if found.endpoint else found.asked
        site = found.endpoint.site if found.endpoint else "default"
        by_name = found.endpoint is not None and found.asked != found.endpoint.address
        counts = attributes(
            tests="1", failures=str(int(element == "failure")), errors=str(int(element == "error"))
        )
        seen = found.observations[0].start if found.observations else ""
        moment = attributes(timestamp=seen) if seen else ""
        self._out(f"<testsuite{attributes(name=place)}{counts}{moment}>")
        pairs = [attributes(name=name, value=value) for name, value in _properties(found)]
        for line in ("<properties>", *(f"<property{pair}/>" for pair in pairs), "</properties>"):
            self._out(line)
        name = f"{place} ({found.asked})" if by_name else place
        self._out(f"<testcase{attributes(classname='mailseal.' + site, name=name)}>")
        if element:
            said = attributes(type=kind, message="; ".join(found.reasons)) if kind else ""
            self._out(f"<{element}{said}>")
            for line in filter(None, block):
                self._out(escaped(line))
            self._out(f"</{element}>")
        self._out("</testcase>")
        self._out("</testsuite>")

    def end(self, tally: Tally, code: int) -> None:
        self._out("</testsuites>")

    def _outcome(self, found: ScanResult) -> tuple[str, str]:
        """The element inside the test case, and its type; both empty for a case without one."""
        if fails(found, self._fail_on):
            return "failure", found.verdict.value
        if found.verdict is Verdict.INCONCLUSIVE:
            return "error", found.verdict.value
        return ("system-out", "") if found.findings else ("", "")
