"""What holds on the copy is rolled back there; what does not is told as `apply` would tell it."""

import re

import pytest

from mailseal.apply.executor import Refused
from mailseal.model import codec
from mailseal.model.plan import Result, RunState
from mailseal.workflow.hosts import HostUnreachable
from mailseal.workflow.rehearse import Rehearsal, both_ways
from tests.workflow.fakes import FakeHost
from tests.workflow.test_seal import PLAN, proving

APPLY, CONFIRM = "apply 300", "confirm R by a look from another host"


def rehearsed(host: FakeHost) -> Rehearsal:
    return both_ways(host, PLAN, codec.dumps(PLAN).encode(), lambda line: None, ("no music",))


@pytest.mark.parametrize("result", [Result.PASS, Result.UNKNOWN])
def test_what_holds_is_confirmed_and_rolled_back_and_nobody_is_asked(result: Result):
    host = FakeHost(prove=proving(result))
    done = rehearsed(host)
    assert host.calls == [APPLY, CONFIRM, "rollback R"]
    assert done.applied.sealed == (result is Result.PASS)
    assert done.back is not None
    assert done.back.state is RunState.UNDONE
    assert done.gaps == ("no music",)


def test_what_a_look_from_outside_refutes_is_undone_once():
    host = FakeHost(prove=proving(Result.FAIL))
    done = rehearsed(host)
    assert host.calls == [APPLY, "rollback R"]
    assert done.applied.receipt is not None
    assert done.applied.receipt.state is RunState.UNDONE
    assert done.back is None


def test_what_fails_in_the_copy_is_not_rolled_back_again():
    host = FakeHost(applied=RunState.UNDO_FAILED)
    assert rehearsed(host).back is None
    assert host.calls == [APPLY]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Refused(["the plan is stale."]), "as it is after a boot, .* the plan is stale. no music"),
        (HostUnreachable("the agent failed"), "the copy was lost on the way: the agent failed"),
    ],
)
def test_a_refusal_says_that_it_is_the_copys(error: Exception, says: str):
    with pytest.raises(Refused) as refused:
        rehearsed(FakeHost(applied=error))
    assert re.search(says, " ".join(refused.value.problems))
