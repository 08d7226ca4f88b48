"""Deviations as JUnit XML: a suite of one test case a deviation, and one for the check itself.

Strategy: as scans have it (`junit`). What is let pass is "skipped", which pipelines show apart and
do not fail for; what is undecided is an error. The last suite is there when nothing deviates too,
because many pipelines take a file without a test for a fault.
"""

from __future__ import annotations

from mailseal.model.policy import FAILING, Deviation, State
from mailseal.report.check import Sum, excuse, summary, where
from mailseal.report.junit import attributes, escaped
from mailseal.report.writer import Run

_ELEMENTS = {
    **dict.fromkeys(FAILING, "failure"),
    State.EXEMPT: "skipped",
    State.UNDECIDED: "error",
}


class Suites:
    """A suite a deviation."""

    def __init__(self, run: Run, total: Sum) -> None:
        self._out = run.line
        self._total = total
        self._out('<?xml version="1.0" encoding="UTF-8"?>')
        self._out('<testsuites name="mailseal check">')

    def add(self, each: Deviation) -> None:
        told = excuse(each)
        lines = [each.text, *filter(None, [told]), each.advice]
        self._suite(where(each), each.rule, _ELEMENTS.get(each.state, ""), each.state.value, lines)

    def end(self, code: int) -> None:
        # A check of nothing must not look like one that passed.
        none = not (self._total.endpoints or self._total.files)
        self._suite("policy", "check", "error" if none else "", "nothing", [summary(self._total)])
        self._out("</testsuites>")

    def _suite(self, name: str, case: str, element: str, kind: str, lines: list[str]) -> None:
        counts = {
            "tests": "1",
            "failures": str(int(element == "failure")),
            "errors": str(int(element == "error")),
            "skipped": str(int(element == "skipped")),
        }
        self._out(f"<testsuite{attributes(name=name, **counts)}>")
        self._out(f"<testcase{attributes(classname='mailseal.' + case, name=name)}>")
        said = attributes(message=lines[0])
        if element == "skipped":
            self._out(f"<skipped{attributes(message='; '.join(filter(None, lines)))}/>")
        elif element:
            self._out(f"<{element}{attributes(type=kind)}{said}>")
            for line in filter(None, lines):
                self._out(escaped(line))
            self._out(f"</{element}>")
        else:
            self._out(f"<system-out>{escaped('; '.join(filter(None, lines)))}</system-out>")
        self._out("</testcase>")
        self._out("</testsuite>")
