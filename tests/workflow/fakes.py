"""A mail host that does as it is told, for workflows."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mailseal.facts import local
from mailseal.facts.gather import gather
from mailseal.model.change import ChangeHistory, Control
from mailseal.model.host import HostFacts
from mailseal.model.local import LocalHost
from mailseal.model.look import Endpoint, Observation
from mailseal.model.plan import Proof, Receipt, RunState
from mailseal.probe.look import Question
from mailseal.prove import Prove
from mailseal.system.memory import MemorySystem
from tests.plan import hosts
from tests.prove.looks import CLEARTEXT

RECEIPT = Receipt(
    run="R", plan_sha="", host="mail", endpoint=Endpoint("192.0.2.10", 109), strategy="wrap",
    stage="enforce", state=RunState.HELD, reason="", results=(), proofs=(), exceptions=(),
    deadline="12:00", started="", ended="",
)  # fmt: skip


@dataclass
class FakeHost:
    """`calls` is what was asked of it. Errors stand in for what it answers."""

    remote: bool = True
    names: tuple[str, ...] = ("mailhost",)
    system: MemorySystem = field(default_factory=hosts.inetd)
    seen: Observation = CLEARTEXT
    applied: RunState | Exception = RunState.HELD
    confirmed: RunState | Exception = RunState.COMMITTED
    past: tuple[Receipt, ...] = ()
    prove: Callable[[Sequence[object]], tuple[Proof, ...]] = lambda claims: ()
    rules: bytes | None = None
    calls: list[str] = field(default_factory=list)

    def facts(self, ports: Sequence[int], paths: Sequence[str] = ()) -> HostFacts:
        return gather(self.system, tuple(ports), tuple(paths))

    def local(self, ports: Sequence[int], every: bool) -> LocalHost:
        return local.gather(self.system, ports, every)

    def look(self, question: Question) -> Observation:
        self.calls.append("look %s" % question.endpoint)
        return self.seen

    def _answer(self, call: str, state: RunState | Exception) -> Receipt:
        self.calls.append(call)
        if isinstance(state, Exception):
            raise state
        return replace(RECEIPT, state=state)

    def apply(
        self, payload: bytes, hold: float, tell: Callable[[str], None], given: Control
    ) -> Receipt:
        return self._answer("apply %g" % hold, self.applied)

    def confirm(self, run: str, by: str, proofs: Sequence[Proof]) -> Receipt:
        return self._answer("confirm %s by %s" % (run, by), self.confirmed)

    def rollback(self, run: str, force: bool, tell: Callable[[str], None]) -> Receipt:
        return self._answer("rollback " + run, RunState.UNDONE)

    def receipts(self) -> tuple[Receipt, ...]:
        return self.past

    def changes(self) -> ChangeHistory:
        return ChangeHistory((), (), "")

    def policy(self) -> bytes | None:
        return self.rules

    @contextlib.contextmanager
    def prove_from_here(self) -> Iterator[Prove]:
        yield self.prove
