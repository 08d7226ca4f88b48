"""The record of every change of this host: append-only lines, each with the hash of the one before.

Strategy: the journals of the runs are the truth, and this record is told from them. Whoever ends a
step, and whoever begins the next change, adds what the journals tell and the record does not have
yet: so nothing is lost between an act and its line, and there is no other way to write one. A line
that a crash cut short stays as it is, and the next one carries its hash. A change that cannot be
recorded is undone; a record that cannot be written never stops an undoing.
"""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import replace
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from mailseal.apply.journal import Journal, JournalDamaged
from mailseal.apply.runs import ROOT, journal_path, plan_of, run_directories
from mailseal.apply.tools import Stopped, Tools, reason_of, tell
from mailseal.model import codec
from mailseal.model.change import Actor, Approval, ChangeEvent, ChangeHistory, ChangeLine
from mailseal.model.moment import rfc3339
from mailseal.system.base import System

PATH = ROOT + "/changes.ndjson"

Key = Tuple[str, int]
"""A run, and the number of a record in its journal."""

_EVENTS: Dict[str, ChangeEvent] = {
    "held": ChangeEvent.APPLIED,
    "commit": ChangeEvent.CONFIRMED,
    "rolled-back": ChangeEvent.ROLLED_BACK,
    "undo-failed": ChangeEvent.UNDO_FAILED,
}


# -- what the journals tell --------------------------------------------------------------------


class _Told(NamedTuple):
    lines: Dict[Key, ChangeLine]
    unread: Dict[str, str]
    """Run to why its journal or plan cannot be read."""


def _told(system: System) -> _Told:
    told = _Told({}, {})
    for directory in run_directories(system):
        run = posixpath.basename(directory)
        try:
            for line in _of_run(system, directory, run):
                told.lines[line.run, line.entry] = line
        except (OSError, codec.CodecError, JournalDamaged) as error:
            told.unread[run] = str(error)
    return told


def _of_run(system: System, directory: str, run: str) -> Iterator[ChangeLine]:
    records = Journal(system, journal_path(directory)).records
    if not records:
        return
    plan = plan_of(system, directory)
    begin: Dict[str, Any] = {}
    asked: Dict[str, Any] = {}
    for entry, record in enumerate(records):
        what = record["what"]
        if what == "begin":
            begin = asked = record
        elif what in ("undo-begin", "commit"):
            asked = record
        if what in _EVENTS:
            yield ChangeLine(
                event=_EVENTS[what],
                run=run,
                entry=entry,
                at=rfc3339(record["at"]),
                host=plan.host,
                endpoint=plan.endpoint,
                strategy=plan.strategy,
                stage=plan.stage,
                plan_sha=begin.get("plan_sha", ""),
                actor=_actor(asked),
                reason="; ".join(filter(None, (asked.get("reason"), record.get("reason"))))
                or asked.get("by", ""),
                approvals=tuple(
                    codec.decode(Approval, each, lenient=True)
                    for each in begin.get("approvals", ())
                ),
            )


def _actor(record: Dict[str, Any]) -> Optional[Actor]:
    data = record.get("actor")
    return codec.decode(Actor, data, lenient=True) if data else None


# -- the record --------------------------------------------------------------------------------


def sync(tools: Tools) -> None:
    """`write`, where nothing is to stop for it. What goes wrong is told, and tried again by the
    next one.
    """
    try:
        write(tools.system)
    except Stopped:
        raise
    except Exception as error:
        tell(tools, "the record of changes cannot be written: " + reason_of(error))


def write(system: System) -> None:
    """Adds what the journals tell and the record does not have. For who holds the lock. Raises
    OSError.
    """
    data = _read(system)
    lines = _split(data)
    there = {(line.run, line.entry) for line in map(_parse, lines) if line is not None}
    missing = [line for key, line in _told(system).lines.items() if key not in there]
    before, written = _hash(lines), rfc3339(system.now())
    new = []
    for line in sorted(missing, key=lambda line: line.at):
        text = codec.dumps(replace(line, written=written, before=before)).encode("ascii")
        before = hashlib.sha256(text).hexdigest()
        new.append(text + b"\n")
    if new:
        # A last line that a crash cut short has no line end.
        torn = b"\n" if data and not data.endswith(b"\n") else b""
        system.append(PATH, torn + b"".join(new))


def _read(system: System) -> bytes:
    try:
        return system.read(PATH)
    except FileNotFoundError:
        return b""


def _split(data: bytes) -> List[bytes]:
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _parse(text: bytes) -> Optional[ChangeLine]:
    try:
        return codec.loads(ChangeLine, text, lenient=True)
    except codec.CodecError:
        return None


def _hash(lines: List[bytes]) -> str:
    return hashlib.sha256(lines[-1]).hexdigest() if lines else ""


def history(system: System) -> ChangeHistory:
    """The record, held against itself and against the journals. Raises OSError."""
    data = _read(system)
    told = _told(system)
    return judged(data, told.lines, told.unread)


def judged(data: bytes, told: Dict[Key, ChangeLine], unread: Dict[str, str]) -> ChangeHistory:
    """The record's text, and what is wrong with it. Lines of runs whose journals are gone are held
    against the chain alone.
    """
    texts = _split(data)
    runs = {run for run, _ in told}
    lines: Dict[Key, ChangeLine] = {}
    problems = ["run %s cannot be read: %s" % each for each in unread.items()]
    before = ""
    cut = 0
    for number, text in enumerate(texts, 1):
        line = _parse(text)
        if line is None:
            # One that a crash cut short is vouched for by the hash in the line after it.
            cut = number
        else:
            if line.before != before:
                words = "line %d does not carry the hash of the line before it: lines were changed"
                problems.append(words % number + " or removed up to there")
            key = (line.run, line.entry)
            if key in lines:
                problems.append("line %d says again what another line says" % number)
            elif line.run in runs and told.get(key) != replace(line, written="", before=""):
                words = "line %d does not say what the journal of the run %s says"
                problems.append(words % (number, line.run))
            lines[key] = line
        before = hashlib.sha256(text).hexdigest()
    if cut and cut == len(texts):
        problems.append("line %d, the last, was cut short" % cut)
    for key, line in told.items():
        if key not in lines:
            words = "no line says that the run %s was %s at %s; the next change adds it"
            problems.append(words % (line.run, line.event.value, line.at))
    return ChangeHistory(tuple(lines.values()), tuple(problems), before)
