"""The journal of a run: append-only lines, each on disk before the step it announces.

Strategy: a line is a CRC-32 and a JSON object. A power loss can cut the last line short, and that
line then never happened; a damaged line anywhere else means that the disk lies, and is an error
that a person must see. The state of a run is never stored: it is derived from the lines.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, Dict, List, Optional

from mailseal.model.plan import RunState
from mailseal.system.base import System


class JournalDamaged(Exception):
    """A line in the middle of the journal does not match its checksum. The operator must act."""


class Journal:
    """The lines of one run, as read, plus those appended since."""

    def __init__(self, system: System, path: str) -> None:
        self._system = system
        self.path = path
        data = _read(system, path)
        self.records: List[Dict[str, Any]] = _parse(data, path)
        self._torn = bool(data) and not data.endswith(b"\n")

    def write(self, what: str, **values: Any) -> None:
        """Appends a record; it is on disk when this returns. Raises OSError."""
        record = {"what": what, "at": self._system.now(), **values}
        body = json.dumps(record, sort_keys=True).encode("ascii")
        # A torn last line has no line end: the one in front keeps ours whole.
        start, self._torn = (b"\n" if self._torn else b""), False
        self._system.append(self.path, start + b"%08x %s\n" % (zlib.crc32(body), body))
        self.records.append(record)

    def find(self, what: str, op: Optional[int] = None) -> Optional[Dict[str, Any]]:
        """The last record of that name (and op)."""
        found = (r for r in reversed(self.records) if r["what"] == what)
        return next((r for r in found if op is None or r.get("op") == op), None)

    def open_intents(self) -> List[Dict[str, Any]]:
        """The intents that are not undone yet, last first: the order in which to undo."""
        undone = {record["op"] for record in self.records if record["what"] == "undone"}
        intents = [record for record in self.records if record["what"] == "intent"]
        return [record for record in reversed(intents) if record["op"] not in undone]

    @property
    def state(self) -> Optional[RunState]:
        """None where nothing has begun."""
        for record in reversed(self.records):
            if record["what"] in _STATES:
                return _STATES[record["what"]]
        return None


_STATES: Dict[str, RunState] = {
    "begin": RunState.APPLYING,
    "held": RunState.HELD,
    "commit": RunState.COMMITTED,
    "undo-begin": RunState.UNDOING,
    "rolled-back": RunState.UNDONE,
    "undo-failed": RunState.UNDO_FAILED,
}


def _read(system: System, path: str) -> bytes:
    try:
        return system.read(path)
    except FileNotFoundError:
        return b""


def _parse(data: bytes, path: str) -> List[Dict[str, Any]]:
    records: List[Dict[str, Any]] = []
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        record = _line(line)
        if record is not None:
            records.append(record)
        elif line and number < len(lines) and not _crashed_here(lines, number):
            raise JournalDamaged("%s, line %d: the checksum does not match" % (path, number))
    return records


def _crashed_here(lines: List[bytes], number: int) -> bool:
    """A torn line is the last one before a crash; what follows it is always a recovery."""
    following = next((line for line in lines[number:] if line), b"")
    record = _line(following)
    return record is not None and record["what"] in ("undo-begin", "commit")


def _line(line: bytes) -> Optional[Dict[str, Any]]:
    checksum, _, body = line.partition(b" ")
    if len(checksum) != 8 or b"%08x" % zlib.crc32(body) != checksum:
        return None
    record: Dict[str, Any] = json.loads(body)
    return record
