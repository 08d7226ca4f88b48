"""Faults of configuration files, for people, programs and code scanning.

Strategy: one function a form, from a whole report to lines: files are few and bounded, unlike the
endpoints of a scan. Paths and values are text of others and pass `harmless`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from mailseal.model.finding import Severity
from mailseal.model.lint import Fault, Linted, LintReference, LintReport
from mailseal.report import records
from mailseal.report.sarif import LEVELS, SCHEMA, UNDECIDED, plain, uri
from mailseal.report.style import PLAIN, Style, harmless

Page = Callable[[str], str]

_COLOURS = {Severity.CRITICAL: "red", Severity.HIGH: "red", Severity.MEDIUM: "yellow"}


def text(report: LintReport, style: Style, page: Page) -> Iterator[str]:
    """`path:line:column: severity: title [rule]`, as compilers write it, and what to do below."""
    for each in report.files:
        for fault in each.faults:
            place = f"{each.path}:{fault.line}:{fault.column}"
            level = style.paint(fault.severity.value, _COLOURS.get(fault.severity, "dim"))
            title = harmless(f"{fault.title} [{fault.rule}]")
            yield f"{harmless(place)}: {level}: {style.paint(title, 'bold')}"
            yield f"    {harmless(fault.said)}"
            yield f"    fix: {harmless(fault.fix)}" + (" (--fix does it)" if fault.fixable else "")
        if each.unread:
            yield f"{harmless(each.path)}: not understood: {harmless(each.unread)}"
    yield summary(report)


def summary(report: LintReport) -> str:
    """The last line: how much there was, and what was found."""
    faults = [fault for each in report.files for fault in each.faults]
    unread = sum(1 for each in report.files if each.unread)
    words = [_many(len(report.files), "file"), _many(len(faults), "fault")]
    stops = sum(1 for fault in faults if fault.stops)
    fixable = sum(1 for fault in faults if fault.fixable)
    more = {
        "with which the program does not start": stops,
        "for --fix": fixable,
        "not wholly understood": unread,
        "of no known kind passed over": report.passed,
    }
    return ", ".join(words + [f"{count} {what}" for what, count in more.items() if count])


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def json(report: LintReport, style: Style, page: Page) -> Iterator[str]:
    """One record of type `LintReport`."""
    yield records.document(report)


def sarif(report: LintReport, style: Style, page: Page) -> Iterator[str]:
    """SARIF 2.1.0, as scans have it; what was not understood is a result of kind `open`."""
    rules = [_rule(each, page(each.rule)) for each in report.rules]
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    if any(each.unread for each in report.files):
        index[UNDECIDED] = len(rules)
        words = "The file, or a part of it, was not understood"
        rules.append({"id": UNDECIDED, "shortDescription": {"text": words}})
    results = [result for each in report.files for result in _results(each, index)]
    driver = {"name": "mailseal", "version": report.mailseal, "rules": rules}
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    yield records.compact(log)


def _results(each: Linted, index: dict[str, int]) -> Iterator[dict[str, Any]]:
    seen: dict[str, int] = {}
    for fault in each.faults:
        # Lines move when others are added above: what is said stays.
        said = f"{fault.rule} {each.path} {fault.said}"
        seen[said] = seen.get(said, 0) + 1
        digest = hashlib.sha256(said.encode("utf-8", "backslashreplace")).hexdigest()[:12]
        yield {
            "ruleId": fault.rule,
            "ruleIndex": index[fault.rule],
            "kind": "fail",
            "level": LEVELS[fault.severity],
            "message": {"text": plain(f"{fault.title}: {fault.said}. {fault.fix}")},
            "locations": [_location(each.path, fault)],
            "partialFingerprints": {"primaryLocationLineHash": f"{digest}:{seen[said]}"},
        }
    if each.unread:
        yield {
            "ruleId": UNDECIDED,
            "ruleIndex": index[UNDECIDED],
            "kind": "open",
            "level": "none",
            "message": {"text": plain(each.unread)},
            "locations": [_location(each.path, None)],
        }


def _location(path: str, fault: Fault | None) -> dict[str, Any]:
    region = {"startLine": fault.line, "startColumn": fault.column} if fault else {"startLine": 1}
    return {"physicalLocation": {"artifactLocation": {"uri": uri(path)}, "region": region}}


def _rule(each: LintReference, page: str) -> dict[str, Any]:
    return {
        "id": each.rule,
        "name": "".join(word.capitalize() for word in each.rule.split("-")),
        "shortDescription": {"text": plain(each.title)},
        "fullDescription": {"text": plain(each.why)},
        "help": {"text": page or plain(each.fix), "markdown": page or plain(each.fix)},
        "defaultConfiguration": {"level": LEVELS[each.severity]},
        "properties": {"tags": ["security"], "page": each.page},
    }


FORMS: dict[str, Callable[[LintReport, Style, Page], Iterator[str]]] = {
    "text": text,
    "json": json,
    "sarif": sarif,
}


def difference(path: str, before: bytes, after: bytes, style: Style = PLAIN) -> Iterator[str]:
    """What a fix changes in a file."""
    from mailseal.report.layout import unified_diff

    return unified_diff(path, before, after, style)
