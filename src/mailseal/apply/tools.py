"""What the executor is handed, how it refuses, and what forward and back share."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Callable, ContextManager, Dict, Iterator, Optional, Sequence, Tuple

from mailseal.apply import preflight
from mailseal.apply.operations import OpFailed, UndoRefused
from mailseal.apply.runs import LOCK
from mailseal.apply.trial import Greets
from mailseal.model.change import Actor
from mailseal.model.plan import Claim, Proof, Result
from mailseal.system.base import System

Prove = Callable[[Sequence[Claim]], Tuple[Proof, ...]]
Progress = Callable[[str], None]
Shield = Callable[[], None]


class Refused(Exception):
    """Nothing was changed. `problems` says why, each with what to do next."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Stopped(Exception):
    """The operator, or the system, asked us to end (a signal). `str()` says which."""


@contextlib.contextmanager
def unstoppable() -> Iterator[Shield]:
    """The least there is to `Tools.stoppable`: nobody asks us to end."""
    yield lambda: None


@dataclass(frozen=True)
class Tools:
    """What the executor is handed: the machine, the proofs, the executor's own code as a file that
    runs by itself (`bundle`, written into the run), and the interpreter to run it with. `actor`
    is who asks, None where nobody does (the dead-man). In a `stoppable` context Stopped is raised
    when we are asked to end; from the call of what it yields on no more: undoing is not to be
    stopped politely.
    """

    system: System
    prove: Prove
    greets: Greets
    questions: preflight.Questions
    bundle: Callable[[], bytes]
    python: str
    tell: Progress = lambda line: None
    stoppable: Callable[[], ContextManager[Shield]] = unstoppable
    actor: Optional[Actor] = None


def limit(system: System, seconds: float) -> Dict[str, Any]:
    """A time limit for a journal record, on a clock that nobody sets and that begins with the boot
    (proc(5), /proc/uptime), together with which boot that was.
    """
    return {"until": uptime(system) + seconds, "boot": boot(system)}


def uptime(system: System) -> float:
    """Seconds since the boot, on a clock that nobody sets."""
    try:
        return float(system.read("/proc/uptime").split()[0])
    except OSError:
        return system.now()


def boot(system: System) -> str:
    """Which boot this is (random(4), boot_id); empty where it cannot be told."""
    try:
        return system.read("/proc/sys/kernel/random/boot_id").decode("ascii").strip()
    except OSError:
        return ""


def tell(tools: Tools, line: str) -> None:
    """Progress for whoever still listens."""
    # Nobody may be listening any more: a lost connection is no reason to stop half-way.
    with contextlib.suppress(OSError):
        tools.tell(line)


@contextlib.contextmanager
def locked(system: System) -> Iterator[None]:
    """The lock of all changes of this host. Raises Refused where another holds it."""
    with system.lock(LOCK) as held:
        if not held:
            raise Refused(["another mailseal is changing this host: wait for it to end."])
        yield


def first_failure(proofs: Sequence[Proof]) -> str:
    """The first proof that failed, in words; empty where none did."""
    for proof in proofs:
        if proof.result is Result.FAIL:
            evidence = "; ".join(proof.evidence)
            return "%s does not hold at %s: %s" % (
                proof.claim.kind.value,
                proof.claim.endpoint,
                evidence,
            )
    return ""


def reason_of(error: Exception) -> str:
    """A failure in words; a fault of ours with its kind."""
    if isinstance(error, (OpFailed, UndoRefused, Stopped)):
        return str(error)
    return "%s: %s" % (type(error).__name__, error)
