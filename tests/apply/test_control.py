"""Change control: what a policy lets through, by whom and when; and that nobody passes it by."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from mailseal import plan as planner
from mailseal.apply import executor
from mailseal.apply.control import POLICY, SKEW, problems, unmet, wording
from mailseal.apply.executor import Refused
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.model.change import Actor, Approval, ChangePolicy, Control, Window
from mailseal.model.moment import rfc3339, seconds
from mailseal.model.plan import RunState
from mailseal.system.memory import MemorySystem
from tests.apply.world import HOLD, case, do_confirm, do_rollback, seen, tools

SHA = "5" * 64
NOW = seconds("2026-01-15T12:00:00.000Z")
"""A Thursday."""
HOUR = 3600.0
ALICE, BOB, ROOT = (
    Actor("alice", 1000, "desk"),
    Actor("bob", 1001, "desk"),
    Actor("root", 0, "desk"),
)


def policy(**changes) -> ChangePolicy:
    made = ChangePolicy("here", "1" * 64, 1, (), True, False, 0.0, 0.0, "UTC", ())
    return replace(made, **changes)


def approval(actor: Actor = ALICE, age: float = HOUR, **changes) -> Approval:
    return replace(Approval(SHA, actor, actor.account, "", rfc3339(NOW - age), ""), **changes)


@pytest.mark.parametrize(
    ("asks", "approvals"),
    [
        ({}, [approval()]),
        ({}, [approval(age=-SKEW + 1)]),
        ({}, [approval(plan_sha="6" * 64), approval()]),
        ({"approvals": 0}, []),
        ({"approvals": 2}, [approval(), approval(BOB)]),
        ({"approvers": ("alice",)}, [approval()]),
        ({"apart": False}, [approval(ROOT)]),
        ({"ticket": True}, [approval(ticket="CHG-1")]),
        ({"notice_hours": 1.0}, [approval()]),
        # Approving again does not begin the notice anew.
        ({"notice_hours": 1.0}, [approval(), approval(age=0)]),
        ({"expires_hours": 2.0}, [approval()]),
        ({}, [approval(until=rfc3339(NOW + 1))]),
    ],
)
def test_what_is_enough(asks, approvals):
    assert unmet(policy(**asks), approvals, SHA, ROOT, NOW) == []


@pytest.mark.parametrize(
    ("asks", "approvals", "says"),
    [
        ({}, [], "wanted are approvals of 1, and 0 count. Write the plan"),
        ({}, [approval(plan_sha="6" * 64)], "that of alice is for another plan"),
        ({"approvals": 2}, [approval(), approval()], "approvals of 2, and 1 count"),
        ({"approvers": ("bob",)}, [approval()], "that of alice is of an account that may not"),
        # A name that was given decides nothing.
        ({"approvers": ("bob",)}, [approval(by="bob")], "may not approve"),
        ({}, [approval(ROOT)], "that of root is of who applies it"),
        ({}, [approval(replace(ROOT, host="mail"))], "is of who applies it"),
        ({"ticket": True}, [approval()], "names no ticket"),
        ({}, [approval(age=-SKEW - 1)], "lies ahead of this host's clock"),
        ({}, [approval(until=rfc3339(NOW))], "ended at 2026-01-15T12:00:00.000Z"),
        ({"expires_hours": 1.0}, [approval()], "is older than 1 hours"),
        ({"notice_hours": 24.0}, [approval()], "counts from 2026-01-16T11:00:00.000Z"),
    ],
)
def test_what_is_not_enough_is_said(asks, approvals, says: str):
    (problem,) = unmet(policy(**asks), approvals, SHA, ROOT, NOW)
    assert says in problem


def test_who_is_not_known_applies_nothing_that_wants_another_approver():
    assert unmet(policy(), [approval()], SHA, None, NOW)


NIGHT = Window((4, 5), 22 * 60, 4 * 60)
"""Friday and Saturday, into the next morning."""


@pytest.mark.parametrize(
    ("moment", "zone", "window", "open_"),
    [
        ("2026-01-16T22:00", "UTC", NIGHT, True),
        ("2026-01-16T21:59", "UTC", NIGHT, False),
        ("2026-01-18T03:59", "UTC", NIGHT, True),
        ("2026-01-18T04:00", "UTC", NIGHT, False),
        ("2026-01-16T03:00", "UTC", NIGHT, False),
        ("2026-01-16T21:00", "Europe/Berlin", NIGHT, True),
        ("2026-07-17T20:00", "Europe/Berlin", NIGHT, True),
        ("2026-07-17T19:59", "Europe/Berlin", NIGHT, False),
        ("2026-01-15T23:59", "UTC", Window((3,), 0, 1440), True),
        ("2026-01-16T00:00", "UTC", Window((3,), 0, 1440), False),
    ],
)
def test_windows(moment: str, zone: str, window: Window, open_: bool):
    asks = policy(approvals=0, zone=zone, windows=(window,))
    found = unmet(asks, (), SHA, ROOT, seconds(moment + ":00.000Z"))
    assert (found == []) is open_
    assert all("outside the change windows (%s)" % wording(window) in each for each in found)


def test_a_window_in_words():
    assert wording(NIGHT) == "Fri, Sat 22:00-04:00"


def test_a_zone_that_this_host_does_not_know_lets_nobody_in():
    asks = policy(approvals=0, zone="Europe/Nowhere", windows=(NIGHT,))
    (problem,) = unmet(asks, (), SHA, ROOT, NOW)
    assert "not known on this host: install tzdata" in problem


# -- on a host -----------------------------------------------------------------------------------


def applies(system: MemorySystem, given: Control) -> RunState:
    each = case("inetd")
    return executor.apply(each.payload, tools(system, actor=ROOT), HOLD, given).state


def of_case(system: MemorySystem, actor: Actor = ALICE) -> Approval:
    sha = hashlib.sha256(case("inetd").payload).hexdigest()
    return Approval(sha, actor, actor.account, "CHG-1", rfc3339(system.now()), "")


def test_without_its_approval_nothing_is_changed_and_with_it_the_plan_is_applied():
    system = case("inetd").start()
    with pytest.raises(Refused, match="here: wanted are approvals of 1, and 0 count"):
        applies(system, Control((), (policy(),)))
    assert seen(system) == case("inetd").before
    assert executor.run_directories(system) == ()
    assert applies(system, Control((of_case(system),), (policy(),))) is RunState.HELD


def test_every_policy_must_be_met():
    system = case("inetd").start()
    strict = policy(source="there", sha256="2" * 64, approvals=2)
    with pytest.raises(Refused, match=r"^there: wanted are approvals of 2"):
        applies(system, Control((of_case(system),), (policy(), strict)))


def test_a_policy_of_the_host_that_was_not_read_is_not_passed_by():
    system = case("inetd").start()
    text = b"approvals = 0\n"
    system.put(POLICY, text)
    for given in (Control(), Control((), (policy(approvals=0),))):
        with pytest.raises(Refused, match="was not read as it is now"):
            applies(system, given)
    made = planner.make(gather(system, (109,)), 109, "pop2", planner.Options(name="mail.example"))
    met = Control((), (policy(approvals=0, sha256=hashlib.sha256(text).hexdigest()),))
    done = executor.apply(codec.dumps(made).encode("ascii"), tools(system), HOLD, met)
    assert done.state is RunState.HELD


def test_a_policy_that_came_after_the_change_outlives_its_rollback():
    system = case("inetd").start()
    assert applies(system, Control()) is RunState.HELD
    do_confirm(system)
    system.put(POLICY, b"")
    done = do_rollback(system)
    assert done.state is RunState.UNDONE
    assert "left directory /etc/mailseal: it holds the policy of change control" in done.results
    assert system.read(POLICY) == b""


def test_a_policy_that_cannot_be_read_lets_nobody_in():
    system = case("inetd").start()
    system.put(POLICY + "/in-its-place", b"")
    assert "cannot be read" in problems(Control(), SHA, ROOT, system)[0]
