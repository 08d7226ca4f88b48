"""What there is on a host: the runs, where they lie, and what their journals tell of them."""

from __future__ import annotations

import posixpath
from typing import Any, Dict, Tuple

from mailseal.apply.journal import Journal
from mailseal.model import codec, ops
from mailseal.model.moment import rfc3339
from mailseal.model.plan import Plan, Proof, Receipt, RunState
from mailseal.system.base import System

ROOT = "/var/lib/mailseal"
RUNS = ROOT + "/runs"
LOCK = "/run/mailseal.lock"

UNFINISHED = (RunState.APPLYING, RunState.HELD, RunState.UNDOING)


def run_directories(system: System) -> Tuple[str, ...]:
    """The directories of all runs, oldest first."""
    return tuple(posixpath.join(RUNS, name) for name in system.listdir(RUNS))


def journal_path(directory: str) -> str:
    """Where a run's journal lies."""
    return posixpath.join(directory, "journal")


def plan_of(system: System, directory: str) -> Plan:
    """The plan that a run applies. Raises OSError, codec.CodecError."""
    return codec.loads(Plan, system.read(directory + "/plan.json"), lenient=False)


def receipt(system: System, directory: str) -> Receipt:
    """The receipt of a run, told by its journal. Raises OSError, codec.CodecError."""
    return told_by(system, directory, Journal(system, journal_path(directory)))


def told_by(system: System, directory: str, journal: Journal) -> Receipt:
    """The receipt of a run whose journal is at hand."""
    plan = plan_of(system, directory)
    begin = journal.find("begin") or {}
    last = journal.records[-1] if journal.records else begin
    held = journal.find("held")
    state = journal.state or RunState.UNDONE
    return Receipt(
        run=posixpath.basename(directory),
        plan_sha=begin.get("plan_sha", ""),
        host=plan.host,
        endpoint=plan.endpoint,
        strategy=plan.strategy,
        stage=plan.stage,
        state=state,
        reason=_reason(journal, state),
        results=tuple(
            r["line"] for r in journal.records if r["what"] in ("done", "undone") and r["line"]
        ),
        proofs=_proofs(journal),
        exceptions=_exceptions(journal, plan),
        declared=plan.declared,
        deadline=rfc3339(held["deadline"]) if held and state is RunState.HELD else None,
        started=rfc3339(begin.get("at", 0.0)),
        ended=rfc3339(last.get("at", 0.0)),
        excepted=plan.excepted,
    )


def _reason(journal: Journal, state: RunState) -> str:
    if state is RunState.COMMITTED:
        return "confirmed by " + str((journal.find("commit") or {}).get("by", ""))
    reasons = [r["reason"] for r in journal.records if r.get("reason")]
    return "; ".join(dict.fromkeys(reasons))


def _proofs(journal: Journal) -> Tuple[Proof, ...]:
    """The latest proof of every claim."""
    latest: Dict[str, Any] = {}
    for record in journal.records:
        for data in record.get("proofs", ()):
            latest[codec.digest(data["claim"])] = data
    return tuple(codec.decode(Proof, data, lenient=True) for data in latest.values())


def _exceptions(journal: Journal, plan: Plan) -> Tuple[str, ...]:
    """Packages that this run installed: a rollback leaves them, and their users. Not those of which
    the way back found nothing: they could not be installed.
    """
    gone = {r["op"] for r in journal.records if r["what"] == "undone" and not r["line"]}
    return tuple(
        op.name
        for record in journal.records
        if record["what"] == "intent" and record["op"] not in gone
        for op in [plan.ops[record["op"]]]
        if isinstance(op, ops.InstallPackage) and not record["undo"]["version"]
    )
