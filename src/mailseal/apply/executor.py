"""Runs a plan forward, and back.

Forward: journal what the undo will need, then act, then check; prove; hold. A held run stands, and
is undone by the dead-man unless it is confirmed. Back: undo in reverse, prove the old state.
Whatever is killed at whatever point, `recover` finds in the journal what to do, and ends in one of
two states: wholly as promised (committed), or wholly as before. Whatever else goes wrong on the way
forward, a fault of ours included, is a reason to go back at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from mailseal.apply import changes, control, deadman, preflight
from mailseal.apply.journal import Journal
from mailseal.apply.operations import Context, OpFailed, as_left, operation, seconds, writes
from mailseal.apply.runs import (
    LOCK,
    ROOT,
    RUNS,
    UNFINISHED,
    journal_path,
    plan_of,
    receipt,
    run_directories,
    told_by,
)
from mailseal.apply.tools import (
    Prove,
    Refused,
    Shield,
    Stopped,
    Tools,
    boot,
    first_failure,
    limit,
    locked,
    reason_of,
    tell,
    unstoppable,
    uptime,
)
from mailseal.apply.traces import clear, clear_traces, sweep
from mailseal.model import codec, ops
from mailseal.model.change import Control
from mailseal.model.firewall import UNITS
from mailseal.model.moment import rfc3339
from mailseal.model.plan import ClaimKind, Plan, Proof, Receipt, RunState
from mailseal.system.base import Meta, System

__all__ = [
    "LOCK",
    "ROOT",
    "RUNS",
    "Prove",
    "Refused",
    "Shield",
    "Stopped",
    "Tools",
    "apply",
    "clear_traces",
    "confirm",
    "due",
    "journal_path",
    "receipt",
    "recover",
    "rollback",
    "rollback_locked",
    "run_directories",
    "unstoppable",
]

_PRIVATE = Meta(0o600, 0, 0)
_PRIVATE_DIRECTORY = Meta(0o700, 0, 0)
_RESERVE = 1024 * 1024
"""Octets kept on the disk for the journal and the restored files of an undo."""

PROOF_SECONDS = 300.0
"""What all proofs together may take, at the very most."""

# -- forward -------------------------------------------------------------------------------------


def apply(
    payload: bytes, tools: Tools, hold_seconds: float = 300.0, given: Optional[Control] = None
) -> Receipt:
    """Applies the plan whose exact bytes are `payload`; the run is then held, or undone. `given`
    are its approvals, and the policies that must be met.

    Raises Refused (nothing changed) and codec.CodecError (not a plan).
    """
    plan = codec.loads(Plan, payload, lenient=False)
    system = tools.system
    if system.uid() != 0:
        raise Refused(["changing this host needs root: run it with sudo."])
    given = given or Control()
    with locked(system):
        _refuse_unfinished(system)
        _refuse_unapproved(given, payload, tools)
        changes.sync(tools)
        problems = preflight.problems(plan, system, tools.questions)
        if problems:
            raise Refused(problems)
        _refuse_dead(plan, tools)
        with tools.stoppable() as shield:
            return _Forward(payload, plan, tools, given).run(hold_seconds, shield)


def _refuse_unapproved(given: Control, payload: bytes, tools: Tools) -> None:
    sha = hashlib.sha256(payload).hexdigest()
    problems = control.problems(given, sha, tools.actor, tools.system)
    if problems:
        raise Refused(problems)


def _refuse_unfinished(system: System) -> None:
    for directory in run_directories(system):
        state = Journal(system, journal_path(directory)).state
        if state in UNFINISHED:
            run = posixpath.basename(directory)
            keep = "confirm it with `mailseal confirm %s`, or " % run
            raise Refused(
                [
                    "the run %s is not finished (%s): %sundo it with `mailseal rollback %s`."
                    % (run, state.value, keep if state is RunState.HELD else "", run)
                ]
            )


def _refuse_dead(plan: Plan, tools: Tools) -> None:
    """What does not hold before the change could not be proven to be back after an undo; and what
    is not so among the neighbours now would be laid at our door.
    """
    beside = [claim for claim in plan.claims if claim.kind is ClaimKind.NEIGHBOURS_KEPT]
    failure = first_failure(tools.prove((*plan.before, *beside)))
    if failure:
        hint = "Mend that first, or plan again if it is meant to be so."
        raise Refused(
            ["the host is not as it was when the plan was made: %s. %s" % (failure, hint)]
        )


class _Forward:
    def __init__(self, payload: bytes, plan: Plan, tools: Tools, given: Control) -> None:
        self.plan, self.payload, self.tools, self.given = plan, payload, tools, given
        self.system = tools.system
        self.directory = posixpath.join(RUNS, _new_name(self.system))
        self.journal = Journal(self.system, journal_path(self.directory))
        self.context = Context(self.system, self.directory, tools.greets)
        self.proofs: Tuple[Proof, ...] = ()

    def run(self, hold_seconds: float, shield: Shield) -> Receipt:
        begun = False
        try:
            self._begin()
            begun = True
            self._operate()
            self._prove()
            self.journal.write(
                "held",
                proofs=[codec.encode(proof) for proof in self.proofs],
                deadline=self.system.now() + hold_seconds,
                **limit(self.system, hold_seconds),
            )
            changes.write(self.system)
        # Whatever it was, also a fault of ours: the host is not left half-way.
        except Exception as error:
            shield()
            reason = reason_of(error)
            if not begun:
                return self._could_not_begin(reason)
            tell(self.tools, "undoing: " + reason)
            return rollback(self.directory, self.tools, reason, proofs=self.proofs)
        return receipt(self.system, self.directory)

    def _begin(self) -> None:
        clear_traces(self.system)
        for path in (ROOT, RUNS, self.directory):
            if self.system.stat(path) is None:
                self.system.mkdir(path, _PRIVATE_DIRECTORY)
        self.system.write(self.directory + "/plan.json", self.payload, _PRIVATE)
        self.system.write(self.directory + "/reserve", b"\0" * _RESERVE, _PRIVATE)
        self.system.write(self.directory + "/mailseal.pyz", self.tools.bundle(), _PRIVATE)
        problem = deadman.arm(self.system, self.tools.python, self.directory, _units(self.plan))
        if problem:
            raise OpFailed(problem)
        self.journal.write(
            "begin",
            plan_sha=hashlib.sha256(self.payload).hexdigest(),
            actor=codec.encode(self.tools.actor),
            approvals=codec.encode(self.given.approvals),
            **limit(self.system, _budget(self.plan)),
        )

    def _could_not_begin(self, reason: str) -> Receipt:
        """No op has run. What the start left is taken away as far as it can be."""
        moment = rfc3339(self.system.now())
        try:
            # Without its journal the run never was, should we be killed here.
            self.system.remove(self.journal.path)
            clear(self.system, self.directory)
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
            reason="the run could not begin: " + reason,
            results=(),
            proofs=(),
            exceptions=(),
            deadline=None,
            started=moment,
            ended=moment,
            excepted=self.plan.excepted,
            declared=self.plan.declared,
        )

    def _operate(self) -> None:
        for index, op in enumerate(self.plan.ops):
            row = operation(op)
            undo = row.before(self.context, op, index)
            self.journal.write("intent", op=index, undo=undo)
            line = row.act(self.context, op)
            self.journal.write("done", op=index, line=line)
            if line:
                tell(self.tools, line)

    def _prove(self) -> None:
        """Raises OpFailed where a claim does not hold."""
        tell(self.tools, "proving %d claims" % len(self.plan.claims))
        self.proofs = self.tools.prove(self.plan.claims)
        for proof in self.proofs:
            claim = proof.claim
            words = (proof.result.value, claim.kind.value, claim.endpoint)
            tell(self.tools, "%s: %s at %s" % words)
        failure = first_failure(self.proofs)
        if failure:
            raise OpFailed(failure)


def _new_name(system: System) -> str:
    """A number first: the order of runs does not hang on a clock that somebody may set back."""
    numbers = [int(name[:6]) for name in system.listdir(RUNS) if name[:6].isdigit()]
    stamp = "".join(char for char in rfc3339(system.now())[:19] if char.isalnum())
    return "%06d-%s" % (max(numbers, default=0) + 1, stamp)


def _budget(plan: Plan) -> float:
    """How long a run in one direction takes at the very most."""
    return PROOF_SECONDS + sum(map(seconds, plan.ops))


def _units(plan: Plan) -> Tuple[str, ...]:
    """Those that a plan's undo asks something of, and that load the rules which it takes away."""
    asked = [op.unit for op in plan.ops if isinstance(op, ops.UnitAction) and op.unit]
    opened = [UNITS[op.manager] for op in plan.ops if isinstance(op, ops.OpenPort)]
    return (*asked, *(unit for units in opened for unit in units))


# -- confirm, rollback, recover ----------------------------------------------------------------


def confirm(directory: str, tools: Tools, proofs: Sequence[Proof], by: str) -> Receipt:
    """Makes a held run final, and disarms. `proofs` are what the remote vantage showed; `by` says
    who confirms: a vantage, or the operator. Raises Refused where the run is not held, or a proof
    fails, or the confirmation cannot be recorded: the run is then undone when its time is over.
    """
    system = tools.system
    with locked(system), tools.stoppable() as shield:
        shield()
        journal = Journal(system, journal_path(directory))
        if journal.state is not RunState.HELD:
            state = journal.state.value if journal.state else "unknown"
            raise Refused(["this run is not waiting for a confirmation: it is %s." % state])
        failure = first_failure(proofs)
        if failure:
            raise Refused([failure + ". Undo the run with `mailseal rollback`."])
        try:
            journal.write(
                "commit",
                by=by,
                actor=codec.encode(tools.actor),
                proofs=[codec.encode(proof) for proof in proofs],
            )
        except OSError as error:
            words = (
                "the confirmation cannot be recorded: %s. Make room on the disk and confirm again"
            )
            raise Refused([words % error + "; otherwise the run is undone in its time."]) from None
        changes.sync(tools)
        with contextlib.suppress(OSError):  # the timer fires on, and disarms
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
    with tools.stoppable() as shield:
        shield()
        return _Back(directory, tools, force).run(reason, proofs)


class _Back:
    def __init__(self, directory: str, tools: Tools, force: bool) -> None:
        self.directory, self.tools = directory, tools
        self.system = tools.system
        self.journal = Journal(self.system, journal_path(directory))
        self.plan = plan_of(self.system, directory)
        self.context = Context(self.system, directory, tools.greets, force)
        self.recorded = True

    def run(self, reason: str, proofs: Sequence[Proof]) -> Receipt:
        # What was kept back for this hour: undoing must not fail on a disk that is full.
        self._attempt("freeing the reserve", self.system.remove, self.directory + "/reserve")
        self._attempt("arming the dead-man", self._arm)
        self._note(
            "undo-begin",
            reason=reason,
            actor=codec.encode(self.tools.actor),
            proofs=[codec.encode(proof) for proof in proofs],
            **limit(self.system, _budget(self.plan)),
        )
        failures = self._undo()
        after, failure = self._prove_before() if not failures else ((), "")
        failures += [failure] if failure else []
        self._note(
            "undo-failed" if failures else "rolled-back",
            reason="; ".join(failures),
            proofs=[codec.encode(proof) for proof in after],
        )
        changes.sync(self.tools)
        # An undo that failed and could not even be recorded is tried again by the dead-man.
        if self.recorded or not failures:
            self._attempt("clearing up", clear, self.system, self.directory, self.plan)
        return told_by(self.system, self.directory, self.journal)

    def _arm(self) -> None:
        """A run that was committed, or recovered at boot, has no timer; a killed undo needs one."""
        problem = deadman.arm(self.system, self.tools.python, self.directory, _units(self.plan))
        if problem:
            raise OpFailed(problem)

    def _undo(self) -> List[str]:
        """What could not be undone. The others are undone all the same: each one brings the host
        nearer to before.
        """
        failures: List[str] = []
        self._attempt("sweeping", sweep, self.system, self.directory, self.plan)
        undone = self.journal.undone()
        for record in self.journal.intents():
            op = self.plan.ops[record["op"]]
            # Services are asked again: since then more files may be as before. And a boot may have
            # loaded the rules of a file that was not as before yet.
            if record["op"] not in undone or isinstance(op, (ops.UnitAction, ops.OpenPort)):
                problem = self._attempt(type(op).__name__, self._undo_one, op, record)
                failures += [problem] if problem else []
        return failures

    def _undo_one(self, op: ops.Op, record: Dict[str, Any]) -> None:
        line = operation(op).undo(self.context, op, record["undo"])
        self._note("undone", op=record["op"], line=line)
        if line:
            tell(self.tools, line)

    def _prove_before(self) -> Tuple[Tuple[Proof, ...], str]:
        try:
            proofs = self.tools.prove(self.plan.before)
        except Exception as error:
            return (), "the state before could not be looked at: " + reason_of(error)
        return proofs, first_failure(proofs)

    def _attempt(self, what: str, act: Callable[..., None], *words: Any) -> str:
        """Empty text where it worked. Nothing stops the undoing, a fault of ours included."""
        try:
            act(*words)
        except Exception as error:
            problem = "%s: %s" % (what, reason_of(error))
            tell(self.tools, "NOT DONE: " + problem)
            return problem
        return ""

    def _note(self, what: str, **values: Any) -> None:
        """A record that cannot be written does not stop the undoing, which may be repeated."""
        try:
            self.journal.write(what, **values)
        except OSError as error:
            self.recorded = False
            tell(self.tools, "the journal cannot be written: %s" % error)


def rollback_locked(directory: str, tools: Tools, reason: str, *, force: bool = False) -> Receipt:
    """`rollback` under the lock. Raises Refused where another process holds it, where there is
    nothing to undo, and (without `force`) where a later run still stands on this one, or a file is
    not as the run left it: without it the service would be neither as promised nor as before.
    """
    system = tools.system
    with locked(system):
        journal = Journal(system, journal_path(directory))
        if journal.state in (None, RunState.UNDONE):
            raise Refused(["there is nothing to undo: this run is undone."])
        later = [each for each in run_directories(system) if each > directory]
        for other in reversed(later if not force else []):
            state = Journal(system, journal_path(other)).state
            if state not in (None, RunState.UNDONE):
                words = "the later run %s still stands (%s) and may rest on this one: undo it first"
                raise Refused([words % (posixpath.basename(other), state.value) + ", or --force."])
        # What has begun to be undone goes on, so that the host is as near to before as can be.
        stands = journal.state in (RunState.HELD, RunState.COMMITTED)
        drifted = _drifted(directory, tools, journal) if stands and not force else []
        if drifted:
            raise Refused(drifted)
        return rollback(directory, tools, reason, force=force)


def _drifted(directory: str, tools: Tools, journal: Journal) -> List[str]:
    """What of a run somebody changed since. A file of two ops is as the later one left it."""
    plan, context = plan_of(tools.system, directory), Context(tools.system, directory, tools.greets)
    problems: List[str] = []
    known: Set[str] = set()
    for record in journal.intents():
        op, undo = plan.ops[record["op"]], record["undo"]
        paths = writes(op)
        if known.isdisjoint(paths) and not _as_left(context, op, undo):
            kept = undo.get("backup", "")
            how = "the bytes before the run are in " + kept if kept else "move it away"
            words = "%s was changed since, so nothing is undone: settle it by hand (%s), or use "
            problems.append((words + "--force, which keeps a copy of it.") % (paths[0], how))
        known.update(paths)
    return problems


def _as_left(context: Context, op: ops.Op, undo: Dict[str, Any]) -> bool:
    """What cannot be read is no reason to undo nothing: the undo asks again, and says so."""
    try:
        return as_left(context, op, undo)
    except OSError:
        return True


def due(system: System, directory: str) -> bool:
    """Whether `recover` would do anything now: not while a run is held and in time, nor while the
    executor that holds the lock is. A time limit of another boot is over.
    """
    journal = Journal(system, journal_path(directory))
    limit = journal.limit
    late = limit and (boot(system) != limit["boot"] or uptime(system) >= limit["until"])
    if late and journal.state in UNFINISHED:
        return True
    if journal.state is RunState.HELD:
        return False
    with system.lock(LOCK) as held:
        return held


def unfinished(system: System, directory: str) -> bool:
    """Whether there is anything to undo. Once it is not, it never is again."""
    return Journal(system, journal_path(directory)).state in UNFINISHED


def recover(directory: str, tools: Tools) -> Optional[Receipt]:
    """What the dead-man calls: undoes the run unless it is finished or still in time. An executor
    that is beyond all time limits and holds the lock is ended. None where nothing was undone.
    """
    system = tools.system
    for attempt in range(10):
        # Asked each time: an operator's rollback that took the lock first sets a limit of its own,
        # and the lock of another run is no business of one that is finished.
        if not due(system, directory):
            return None
        with system.lock(LOCK) as held:
            if held:
                return _recover(directory, tools)
        if attempt == 3:
            _end_holder(system)
        system.sleep(1.0)
    return None


def _recover(directory: str, tools: Tools) -> Optional[Receipt]:
    # Read anew under the lock: it may have been confirmed this moment.
    state = Journal(tools.system, journal_path(directory)).state
    if state in UNFINISHED:
        reasons = {RunState.HELD: "nobody confirmed the change in time"}
        words = reasons.get(state, "what made the change ended before it was done")
        return rollback(directory, tools, words)
    # Who ended the run may have been killed between its journal and the record of changes.
    changes.sync(tools)
    clear(tools.system, directory)
    return None


def _end_holder(system: System) -> None:
    """Ends the process that holds the lock: by its own id, which it left in the lock file together
    with its time of start (so that no other of the same id is meant), never by a name.
    """
    try:
        pid, started = system.read(LOCK).decode("ascii").split()
        stat = system.read("/proc/%d/stat" % int(pid)).decode("ascii", "replace")
    except (OSError, ValueError):
        return
    # proc(5): field 22, counted from behind the name, which may hold anything.
    if stat.rpartition(")")[2].split()[19:20] == [started]:
        system.run(["kill", "-KILL", pid], timeout=10)
