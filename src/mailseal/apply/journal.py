"""The journal of a run: append-only lines, each on disk before the step it announces.

Strategy: a line is a CRC-32 and a JSON object. A kill or a power loss can cut the last line short,
and that line then never happened; whoever comes next begins with a line that says so. A damaged
line anywhere else means that the disk lies, and is an error that a person must see. The state of a
run is never stored: it is derived from the lines.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, Dict, List, Optional, Set

from mailseal.model.plan import RunState
from mailseal.system.base import System


class JournalDamaged(Exception):
    """A line in the middle of the journal does not match its checksum. The operator must act."""


RESUMES = ("undo-begin", "commit")
"""The records that may come first after a torn line: who was killed wrote nothing more himself."""


class Journal:
    """The lines of one run, as read, plus those appended since."""

    def __init__(self, system: System, path: str) -> None:
        self._system = system
        self.path = path
        data = _read(system, path)
        self.records: List[Dict[str, Any]] = _parse(data, path)
        self._torn = bool(data) and not data.endswith(b"\n")

    def write(self, what: str, **values: Any) -> None:
        """Appends a record; it is on disk when this returns. Raises OSError, and then the record is
        in `records` all the same: what was done was done.
        """
        record = {"what": what, "at": self._system.now(), **values}
        body = json.dumps(record, sort_keys=True).encode("ascii")
        self.records.append(record)
        # A torn last line has no line end: the one in front keeps ours whole.
        start = b"\n" if self._torn else b""
        self._system.append(self.path, start + b"%08x %s\n" % (zlib.crc32(body), body))
        self._torn = False

    def find(self, what: str, op: Optional[int] = None) -> Optional[Dict[str, Any]]:
        """The last record of that name (and op)."""
        found = (r for r in reversed(self.records) if r["what"] == what)
        return next((r for r in found if op is None or r.get("op") == op), None)

    def intents(self) -> List[Dict[str, Any]]:
        """What was begun, last first: the order in which to undo."""
        return [record for record in reversed(self.records) if record["what"] == "intent"]

    def undone(self) -> Set[int]:
        """The numbers of the ops that were undone."""
        return {record["op"] for record in self.records if record["what"] == "undone"}

    @property
    def limit(self) -> Dict[str, Any]:
        """The last record that set a time limit to whoever is at work; empty where none did."""
        return next((record for record in reversed(self.records) if "until" in record), {})

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
    """A torn line is the last one before a crash. What follows it is a record of RESUMES; or the
    torn rest of one, where that was cut short as well.
    """
    for following in lines[number:]:
        record = _line(following)
        if record is not None:
            return record["what"] in RESUMES
    return lines[-1] != b""


def _line(line: bytes) -> Optional[Dict[str, Any]]:
    checksum, _, body = line.partition(b" ")
    if len(checksum) != 8 or b"%08x" % zlib.crc32(body) != checksum:
        return None
    record: Dict[str, Any] = json.loads(body)
    return record
