"""Results as JSON: one document, or one record a line (NDJSON).

Strategy: the codec of `model` writes the record (type and version in each); this file only chooses
the line. ASCII throughout, and DEL escaped as well: a terminal that shows it sees no control
character. Described in docs/reference/records.md.
"""

from __future__ import annotations

import json
from typing import Any

from mailseal.model import codec


def line(value: Any) -> str:
    """A dataclass as one line of NDJSON, without the line end."""
    return _ascii(json.dumps(codec.record(value), separators=(",", ":"), ensure_ascii=True))


def document(value: Any) -> str:
    """A dataclass as one indented document."""
    return _ascii(json.dumps(codec.record(value), indent=2, ensure_ascii=True))


def _ascii(text: str) -> str:
    return text.replace("\x7f", "\\u007f")
