"""Who confirms a change, and what becomes of it where nobody does."""

from dataclasses import replace

import pytest

from mailseal.apply.executor import Refused
from mailseal.model.look import Vantage
from mailseal.model.plan import Claim, Plan, Proof, Result, RunState
from mailseal.plan import Options, make
from mailseal.workflow.hosts import HostUnreachable
from mailseal.workflow.seal import Talk, Unsettled, seal
from tests.plan.hosts import facts
from tests.workflow.fakes import RECEIPT, FakeHost

PLAN = make(facts("inetd"), 109, "pop2", Options(name="mail.example"))


class Person:
    """Shows and asks; `answers` are given in turn, each question is kept."""

    def __init__(self, *answers: bool | Exception, accept: bool = False) -> None:
        self.answers = list(answers)
        self.said: list[str] = []
        self.talk = Talk(self.show, self.ask, self.said.append, accept)

    def show(self, made: Plan) -> None:
        self.said.append("shown")

    def ask(self, question: str) -> bool:
        self.said.append(question)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def proving(result: Result):
    def prove(claims: tuple[Claim, ...]) -> tuple[Proof, ...]:
        assert {claim.vantage for claim in claims} == {Vantage.REMOTE}
        return tuple(Proof(claim, result, ("because",), "") for claim in claims)

    return prove


def test_a_no_changes_nothing():
    host, person = FakeHost(), Person(False)
    assert seal(host, PLAN, person.talk).receipt is None
    assert host.calls == []
    assert person.said == ["shown", "Apply this plan to mail"]


@pytest.mark.parametrize(
    ("result", "answers", "accept", "calls", "sealed"),
    [
        (Result.PASS, [True], False, ["confirm R by a look from another host"], True),
        (Result.FAIL, [True], True, ["rollback R"], False),
        (Result.UNKNOWN, [True, False], False, ["rollback R"], False),
        (Result.UNKNOWN, [True, True], False, ["confirm R by a look from another host"], False),
        (Result.UNKNOWN, [True], True, ["confirm R by a look from another host"], False),
    ],
)
def test_over_ssh_the_look_from_here_decides(result, answers, accept, calls, sealed):
    host = FakeHost(prove=proving(result))
    done = seal(host, PLAN, Person(*answers, accept=accept).talk, 60)
    assert host.calls == ["apply 60", *calls]
    assert done.sealed is sealed


@pytest.mark.parametrize(
    ("keep", "call"), [(True, "confirm R by the operator"), (False, "rollback R")]
)
def test_on_the_host_itself_the_operator_decides(keep: bool, call: str):
    host, person = FakeHost(remote=False), Person(True, keep)
    done = seal(host, PLAN, person.talk)
    assert host.calls == ["apply 300", call]
    assert not done.sealed
    assert "Look from another host now" in person.said[-1 if keep else -2]


def test_what_failed_there_is_told_as_it_is():
    host = FakeHost(applied=RunState.UNDONE)
    done = seal(host, PLAN, Person(True).talk)
    assert done.receipt is not None
    assert done.receipt.state is RunState.UNDONE
    assert host.calls == ["apply 300"]


def test_a_refusal_of_the_host_passes():
    with pytest.raises(Refused, match="wait"):
        seal(FakeHost(applied=Refused(["wait"])), PLAN, Person(True).talk)


@pytest.mark.parametrize(
    "host",
    [
        FakeHost(applied=HostUnreachable("gone")),
        FakeHost(prove=proving(Result.PASS), confirmed=HostUnreachable("gone")),
    ],
)
def test_a_host_that_is_lost_is_neither_changed_nor_unchanged(host: FakeHost):
    with pytest.raises(Unsettled, match=r"gone.*see `mailseal runs` there"):
        seal(host, PLAN, Person(True).talk)


def test_the_dead_man_may_be_faster():
    undone = replace(RECEIPT, state=RunState.UNDONE)
    host = FakeHost(prove=proving(Result.PASS), confirmed=Refused(["it is undone"]), past=(undone,))
    assert seal(host, PLAN, Person(True).talk).receipt == undone


def test_an_interrupted_question_says_what_becomes_of_the_change():
    person = Person(True, InterruptedError())
    with pytest.raises(InterruptedError):
        seal(FakeHost(remote=False), PLAN, person.talk)
    assert person.said[-1] == "the change is not confirmed: it is undone at 12:00"
