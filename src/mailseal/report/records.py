"""Results as JSON: one document, or one record a line (NDJSON).

Strategy: the codec of `model` writes the record (type and version in each); this file only chooses
the lines. A document has a result a line, so it is written as the results come, and what is known
at the end alone (`ended`, `counts`) stands at its end. ASCII throughout, and DEL escaped as well: a
terminal that shows it sees no control character. Described in docs/reference/records.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from mailseal.model import codec
from mailseal.model.moment import rfc3339
from mailseal.report.result import Scan, ScanResult, Tally
from mailseal.report.writer import Run


def line(value: Any) -> str:
    """A dataclass as one line of NDJSON, without the line end."""
    return compact(codec.record(value))


def document(value: Any) -> str:
    """A dataclass as one indented document: for one that is whole anyway."""
    text = json.dumps(codec.record(value), indent=2, ensure_ascii=True)
    return text.replace("\x7f", "\\u007f")


def compact(value: Any) -> str:
    """Plain values as JSON in one line."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return text.replace("\x7f", "\\u007f")


def member(name: str, value: Any) -> str:
    """A member of a JSON object in one line."""
    return f"{compact(name)}: {compact(value)}"


class Array:
    """A JSON array, an item a line, written as the items come. `before` are the lines above it."""

    def __init__(self, out: Callable[[str], None], before: Iterable[str]) -> None:
        self._out = out
        self._last: str | None = None
        for text in before:
            out(text)

    def add(self, value: Any) -> None:
        """Writes the item before this one: only now is it known that a comma follows."""
        if self._last is not None:
            self._out(self._last + ",")
        self._last = compact(value)

    def end(self) -> None:
        """Writes the last item."""
        if self._last is not None:
            self._out(self._last)


class Lines:
    """NDJSON: each result as it comes."""

    def __init__(self, run: Run) -> None:
        self._out = run.line

    def add(self, found: ScanResult) -> None:
        self._out(line(found))

    def end(self, tally: Tally, code: int) -> None:
        pass


class Document:
    """One record of type `Scan`."""

    def __init__(self, run: Run) -> None:
        self._run = run
        head = {
            "type": Scan.__name__,
            "version": codec.VERSION,
            "mailseal": run.version,
            "started": rfc3339(run.now()),
        }
        members = [member(name, value) + "," for name, value in head.items()]
        self._results = Array(run.line, ["{", *members, '"results": ['])

    def add(self, found: ScanResult) -> None:
        self._results.add(codec.encode(found))

    def end(self, tally: Tally, code: int) -> None:
        self._results.end()
        ended = member("ended", rfc3339(self._run.now()))
        for text in ("],", ended + ",", member("counts", tally.counts()), "}"):
            self._run.line(text)
