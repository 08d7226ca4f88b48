"""The forms of a check by the name that `--format` gives them."""

from __future__ import annotations

from collections.abc import Callable

from mailseal.report import check, checkjunit, checkmarkdown, checksarif
from mailseal.report.check import Sum, Writer
from mailseal.report.writer import Run

MONITORING = "nagios"

FORMS: dict[str, Callable[[Run, Sum], Writer]] = {
    "text": check.Lines,
    "json": check.Document,
    "ndjson": check.Records,
    "sarif": checksarif.Log,
    "junit": checkjunit.Suites,
    "markdown": checkmarkdown.Comment,
    MONITORING: check.Monitoring,
}
