"""The forms of results by the name that `--format` gives them: one table for every command.

Strategy: one file a form. A new form is one new file and one line here; docs/reference/formats.md
says which is for what.
"""

from __future__ import annotations

from collections.abc import Callable

from mailseal.report import junit, markdown, nagios, records, sarif, table, text
from mailseal.report.writer import Run, Writer

FORMS: dict[str, Callable[[Run], Writer]] = {
    "text": text.Blocks,
    "json": records.Document,
    "ndjson": records.Lines,
    "csv": table.Rows,
    "markdown": markdown.Summary,
    "sarif": sarif.Log,
    "junit": junit.Suites,
    "nagios": nagios.Line,
}
