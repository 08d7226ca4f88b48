"""Runs a plan forward, and back.

Forward: journal what the undo will need, then act, then check; prove; hold. A held run stands, and
is undone by the dead-man unless it is confirmed. Back: undo in reverse, prove the old state.
Whatever is killed at whatever point, `recover` finds in the journal what to do, and ends in one of
two states: wholly as promised (committed), or wholly as before.
"""

from __future__ import annotations

import hashlib
import posixpath
import secrets
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from mailseal.apply import deadman, preflight
from mailseal.apply.journal import Journal
from mailseal.apply.operations import Context, OpFailed, UndoRefused, operation
from mailseal.apply.trial import Greets
from mailseal.model import codec, ops
from mailseal.model.moment import rfc3339
from mailseal.model.plan import Claim, Plan, Proof, Receipt, Result, RunState
from mailseal.system.base import Meta, System

ROOT = "/var/lib/mailseal"
RUNS = ROOT + "/runs"
LOCK = "/run/mailseal.lock"

_RESERVE = 1024 * 1024
"""Octets kept on the disk for the journal and the restored files of an undo."""

_PRIVATE = Meta(0o600, 0, 0)
_PRIVATE_DIRECTORY = Meta(0o700, 0, 0)

Prove = Callable[[Sequence[Claim]], Tuple[Proof, ...]]
Progress = Callable[[str], None]


class Refused(Exception):
    """Nothing was changed. `problems` says why, each with what to do next."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Tools:
    """What the executor is handed: the machine, the proofs, the executor's own code as a file that
    runs by itself (`bundle`, written into the run), and the interpreter to run it with.
    """

    system: System
    prove: Prove
    greets: Greets
    questions: preflight.Questions
    bundle: Callable[[], bytes]
    python: str
    tell: Progress = field(default=lambda line: None)


# -- forward -------------------------------------------------------------------------------------


def apply(payload: bytes, tools: Tools, hold_seconds: float = 300.0) -> Receipt:
    """Applies the plan whose exact bytes are `payload`; the run is then held, or undone.

    Raises Refused (nothing changed) and codec.CodecError (not a plan).
    """
    plan = codec.loads(Plan, payload, lenient=False)
    system = tools.system
    if system.uid() != 0:
        raise Refused(["changing this host needs root: run it with sudo."])
    with system.lock(LOCK) as held:
        if not held:
            raise Refused(["another mailseal is changing this host: wait for it to end."])
        _refuse_unfinished(system)
        problems = preflight.problems(plan, system, tools.questions)
        if problems:
            raise Refused(problems)
        return _Forward(payload, plan, tools).run(hold_seconds)


def _refuse_unfinished(system: System) -> None:
    for directory in run_directories(system):
        state = Journal(system, journal_path(directory)).state
        if state in (RunState.APPLYING, RunState.HELD, RunState.UNDOING):
            run = posixpath.basename(directory)
            raise Refused(
                [
                    "the run %s is not finished (%s): confirm it with `mailseal confirm %s`, or "
                    "undo it with `mailseal rollback %s`." % (run, state.value, run, run)
                ]
            )


class _Forward:
    def __init__(self, payload: bytes, plan: Plan, tools: Tools) -> None:
        self.plan, self.payload, self.tools = plan, payload, tools
        self.system = tools.system
        started = rfc3339(self.system.now())
        stamp = "".join(char for char in started[:19] if char.isalnum())
        self.directory = posixpath.join(RUNS, "%s-%s" % (stamp, secrets.token_hex(3)))
        self.context = Context(self.system, self.directory, tools.greets)

    def run(self, hold_seconds: float) -> Receipt:
        try:
            self._begin(hold_seconds)
        except OSError as error:
            return self._could_not_begin("the run cannot be recorded: %s" % error)
        except OpFailed as error:
            return self._could_not_begin(str(error))
        reason = self._operate()
        proofs: Tuple[Proof, ...] = ()
        if not reason:
            proofs = self._prove()
            reason = _first_failure(proofs)
        if reason:
            self.tools.tell("undoing: " + reason)
            return rollback(self.directory, self.tools, reason, proofs=proofs)
        deadline = self.system.now() + hold_seconds
        self.journal.write("held", proofs=[codec.encode(p) for p in proofs], deadline=deadline)
        return receipt(self.system, self.directory)

    def _begin(self, hold_seconds: float) -> None:
        for path in (ROOT, RUNS, self.directory):
            if self.system.stat(path) is None:
                self.system.mkdir(path, _PRIVATE_DIRECTORY)
        self.system.write(self.directory + "/plan.json", self.payload, _PRIVATE)
        self.system.write(self.directory + "/reserve", b"\0" * _RESERVE, _PRIVATE)
        self.system.write(self.directory + "/mailseal.pyz", self.tools.bundle(), _PRIVATE)
        self.journal = Journal(self.system, journal_path(self.directory))
        self.journal.write("begin", plan_sha=hashlib.sha256(self.payload).hexdigest())
        # The ops take time of their own: the hold begins when they are done.
        budget = (
            hold_seconds
            + 120.0
            + sum(op.seconds for op in self.plan.ops if isinstance(op, ops.UnitAction))
        )
        problem = deadman.arm(self.system, self.tools.python, self.directory, budget)
        if problem:
            raise OpFailed(problem)

    def _could_not_begin(self, reason: str) -> Receipt:
        """No op has run. What the start left is taken away as far as it can be."""
        moment = rfc3339(self.system.now())
        try:
            deadman.disarm(self.system, self.directory)
            for name in self.system.listdir(self.directory):
                self.system.remove(posixpath.join(self.directory, name))
            self.system.remove(self.directory)
        except OSError as error:
            reason += " (and %s)" % error
        return Receipt(
            run=posixpath.basename(self.directory),
            plan_sha=hashlib.sha256(self.payload).hexdigest(),
            host=self.plan.host,
            endpoint=self.plan.endpoint,
            strategy=self.plan.strategy,
            stage=self.plan.stage,
            state=RunState.UNDONE,
            reason=reason,
            results=(),
            proofs=(),
            exceptions=(),
            deadline=None,
            started=moment,
            ended=moment,
        )

    def _operate(self) -> str:
        """Empty text where every op is done, else why not."""
        for index, op in enumerate(self.plan.ops):
            row = operation(op)
            try:
                undo = row.before(self.context, op, index)
                self.journal.write("intent", op=index, undo=undo)
                line = row.act(self.context, op)
                self.journal.write("done", op=index, line=line)
            except OpFailed as error:
                return str(error)
            except OSError as error:
                return "%s: %s" % (type(op).__name__, error)
            self.tools.tell(line)
        return ""

    def _prove(self) -> Tuple[Proof, ...]:
        self.tools.tell("proving %d claims" % len(self.plan.claims))
        proofs = self.tools.prove(self.plan.claims)
        for proof in proofs:
            claim = proof.claim
            self.tools.tell("%s: %s at %s" % (proof.result.value, claim.kind.value, claim.endpoint))
        return proofs


def _first_failure(proofs: Sequence[Proof]) -> str:
    for proof in proofs:
        if proof.result is Result.FAIL:
            evidence = "; ".join(proof.evidence)
            return "%s does not hold at %s: %s" % (
                proof.claim.kind.value,
                proof.claim.endpoint,
                evidence,
            )
    return ""


# -- confirm, rollback, recover ----------------------------------------------------------------


def confirm(directory: str, tools: Tools, proofs: Sequence[Proof], by: str) -> Receipt:
    """Makes a held run final, and disarms. `proofs` are what the remote vantage showed; `by` says
    who confirms: a vantage, or the operator. Raises Refused where the run is not held.
    """
    system = tools.system
    with system.lock(LOCK) as held:
        if not held:
            raise Refused(["another mailseal is changing this host: wait for it to end."])
        journal = Journal(system, journal_path(directory))
        if journal.state is not RunState.HELD:
            state = journal.state.value if journal.state else "unknown"
            raise Refused(["this run is not waiting for a confirmation: it is %s." % state])
        journal.write("commit", by=by, proofs=[codec.encode(proof) for proof in proofs])
        deadman.disarm(system, directory)
    return receipt(system, directory)


def rollback(
    directory: str,
    tools: Tools,
    reason: str,
    *,
    force: bool = False,
    proofs: Sequence[Proof] = (),
) -> Receipt:
    """Undoes a run, whatever its state, under a lock that the caller holds, and proves the state
    before. May be killed and begun again.
    """
    system = tools.system
    journal = Journal(system, journal_path(directory))
    plan = _plan(system, directory)
    context = Context(system, directory, tools.greets, force)
    # What was kept back for this hour: undoing must not fail on a disk that is full.
    system.remove(directory + "/reserve")
    note = _Notes(journal, tools.tell)
    note.write("undo-begin", reason=reason, proofs=[codec.encode(proof) for proof in proofs])
    failures: List[str] = []
    for record in journal.open_intents():
        op = plan.ops[record["op"]]
        try:
            line = operation(op).undo(context, op, record["undo"])
        except (OpFailed, UndoRefused, OSError) as error:
            # The others are undone all the same: each one brings the host nearer to before.
            failures.append("%s: %s" % (type(op).__name__, error))
            tools.tell("NOT UNDONE: " + failures[-1])
            continue
        note.write("undone", op=record["op"], line=line)
        tools.tell(line)
    after = tools.prove(plan.before) if not failures else ()
    failures += [line for line in [_first_failure(after)] if line]
    evidence = [codec.encode(proof) for proof in after]
    what = "undo-failed" if failures else "rolled-back"
    if note.write(what, reason="; ".join(failures), proofs=evidence):
        deadman.disarm(system, directory)
    return receipt(system, directory)


class _Notes:
    """Journal writes on the way back. One that fails does not stop the undoing, which may be
    repeated; but the run then stays unfinished, and the dead-man armed.
    """

    def __init__(self, journal: Journal, tell: Progress) -> None:
        self._journal, self._tell = journal, tell

    def write(self, what: str, **values: Any) -> bool:
        try:
            self._journal.write(what, **values)
        except OSError as error:
            self._tell("the journal cannot be written: %s" % error)
            return False
        return True


def rollback_locked(directory: str, tools: Tools, reason: str, *, force: bool = False) -> Receipt:
    """`rollback` under the lock. Raises Refused where another run holds it."""
    with tools.system.lock(LOCK) as held:
        if not held:
            raise Refused(["another mailseal is changing this host: wait for it to end."])
        journal = Journal(tools.system, journal_path(directory))
        if journal.state in (None, RunState.UNDONE):
            raise Refused(["there is nothing to undo: this run is undone."])
        return rollback(directory, tools, reason, force=force)


def recover(directory: str, tools: Tools) -> Optional[Receipt]:
    """What the dead-man calls: undoes the run unless it is committed or undone already. Ends an
    executor that still holds the lock (by the process id in its own lock file).
    """
    system = tools.system
    for attempt in range(60):
        with system.lock(LOCK) as held:
            if held:
                journal = Journal(system, journal_path(directory))
                if journal.state in (RunState.APPLYING, RunState.HELD, RunState.UNDOING):
                    return rollback(directory, tools, "nobody confirmed the change in time")
                deadman.disarm(system, directory)
                return None
        if attempt == 10:
            _end_holder(system)
        system.sleep(1.0)
    return None


def _end_holder(system: System) -> None:
    """Ends the process that holds the lock, known by its own id, never by a name."""
    try:
        holder = system.read(LOCK).decode("ascii", "replace").strip()
    except OSError:
        return
    if holder.isdigit() and int(holder) > 1:
        system.run(["kill", "-KILL", holder], timeout=10)


# -- what there is -----------------------------------------------------------------------------


def run_directories(system: System) -> Tuple[str, ...]:
    """The directories of all runs, oldest first."""
    return tuple(posixpath.join(RUNS, name) for name in system.listdir(RUNS))


def journal_path(directory: str) -> str:
    """Where a run's journal lies."""
    return posixpath.join(directory, "journal")


def _plan(system: System, directory: str) -> Plan:
    return codec.loads(Plan, system.read(directory + "/plan.json"), lenient=False)


def receipt(system: System, directory: str) -> Receipt:
    """The receipt of a run, told by its journal. Raises OSError, codec.CodecError."""
    journal = Journal(system, journal_path(directory))
    plan = _plan(system, directory)
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
        results=tuple(r["line"] for r in journal.records if r["what"] in ("done", "undone")),
        proofs=_proofs(journal),
        exceptions=_exceptions(journal, plan),
        deadline=rfc3339(held["deadline"]) if held and state is RunState.HELD else None,
        started=rfc3339(begin.get("at", 0.0)),
        ended=rfc3339(last.get("at", 0.0)),
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
    """Packages that this run installed: a rollback leaves them, and their users."""
    return tuple(
        op.name
        for record in journal.records
        if record["what"] == "intent"
        for op in [plan.ops[record["op"]]]
        if isinstance(op, ops.InstallPackage) and not record["undo"]["version"]
    )
