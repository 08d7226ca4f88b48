"""The record of changes: told by the journals, chained, and what shows when somebody alters it."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.apply import changes, executor
from mailseal.model.change import Actor, Approval, ChangeEvent, ChangeHistory, Control
from mailseal.model.moment import rfc3339
from mailseal.model.plan import Result
from mailseal.system.base import Meta
from mailseal.system.memory import Killed, MemorySystem, Point
from tests.apply import world
from tests.apply.world import HOLD, case, do_confirm, do_rollback, run, tools

ALICE, ROOT = Actor("alice", 1000, "desk"), Actor("root", 0, "desk")


@functools.cache
def yes() -> Approval:
    sha = hashlib.sha256(case("inetd").payload).hexdigest()
    return Approval(sha, ALICE, "the board", "CHG-1", rfc3339(0), "")


def held(fail=None) -> MemorySystem:
    system = case("inetd").start(fail)
    given = Control((yes(),), ())
    executor.apply(case("inetd").payload, tools(system, actor=ROOT), HOLD, given)
    return system


def events(system: MemorySystem) -> list[tuple[ChangeEvent, Actor | None]]:
    return [(line.event, line.actor) for line in changes.history(system).lines]


def alter(system: MemorySystem, data: bytes) -> None:
    system.write(changes.PATH, data, Meta(0o600, 0, 0))


# -- what it tells -------------------------------------------------------------------------------


def test_applied_confirmed_and_rolled_back_by_whom_and_with_whose_approval():
    system = held()
    executor.confirm(run(system), tools(system, actor=ALICE), (), "the operator")
    with_root = tools(system, actor=ROOT)
    executor.rollback_locked(run(system), with_root, "rollback was asked for")
    history = changes.history(system)
    assert [(line.event.value, line.actor, line.reason) for line in history.lines] == [
        ("applied", ROOT, ""),
        ("confirmed", ALICE, "the operator"),
        ("rolled-back", ROOT, "rollback was asked for"),
    ]
    for line in history.lines:
        assert (line.plan_sha, line.approvals) == (yes().plan_sha, (yes(),))
        assert (line.host, line.endpoint) == ("mail", case("inetd").plan.endpoint)
    assert history.problems == ()
    last = system.read(changes.PATH).splitlines()[-1]
    assert history.head == hashlib.sha256(last).hexdigest()
    assert system.nodes[changes.PATH].meta.mode == 0o600


def test_what_undid_itself_is_nobodys_doing():
    system = held()
    world.wait(system)
    applied, undone = changes.history(system).lines
    assert (applied.actor, undone.event, undone.actor) == (ROOT, ChangeEvent.ROLLED_BACK, None)
    assert undone.reason == "nobody confirmed the change in time"


def test_a_change_that_failed_was_rolled_back_and_never_applied():
    system = case("inetd").start()

    def prove(claims):
        return tuple(
            replace(proof, result=Result.FAIL) if claims == case("inetd").plan.claims else proof
            for proof in world.prove(system, claims)
        )

    executor.apply(case("inetd").payload, tools(system, prove=prove, actor=ROOT), HOLD)
    assert events(system) == [(ChangeEvent.ROLLED_BACK, ROOT)]


def test_there_is_no_record_where_nothing_was_changed():
    assert changes.history(MemorySystem()) == ChangeHistory((), (), "")


# -- crashes -------------------------------------------------------------------------------------


def killed_at_the_record(system: MemorySystem, when: str, act) -> None:
    """Killed at the first line of the record that `act` writes."""

    def fault(point: Point) -> None:
        if (point.name, point.when, point.args[:1]) == ("append", when, (changes.PATH,)):
            system.fail = None
            raise Killed(point)

    system.fail = fault
    with pytest.raises(Killed):
        act(system)
    system.revive()


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("act", [do_confirm, do_rollback])
def test_a_line_that_a_kill_left_out_or_cut_short_is_added_by_who_comes_next(act, when: str):
    system = held()
    killed_at_the_record(system, when, act)
    if when != "after":
        problems = changes.history(system).problems
        assert any("no line says that the run" in each for each in problems)
    world.wait(system)
    history = changes.history(system)
    assert history.problems == ()
    assert len(history.lines) == 2
    assert system.read(changes.PATH).count(b"\n") == (3 if when == "during" else 2)


def test_runs_of_before_there_was_a_record_are_in_it_after_the_next_change():
    system = held()
    do_confirm(system)
    system.remove(changes.PATH)
    system.clock += 3600
    do_rollback(system)
    first, second, third = changes.history(system).lines
    assert [first.event.value, second.event.value, third.event.value] == [
        "applied",
        "confirmed",
        "rolled-back",
    ]
    assert first.written == third.written > first.at


def test_a_record_that_cannot_be_written_stops_no_undoing():
    system = held()

    def fault(point: Point) -> None:
        if point.args[:1] == (changes.PATH,) and point.when == "before":
            raise OSError(28, "No space left on device")

    said: list[str] = []
    system.fail = fault
    with_tell = tools(system, tell=said.append)
    executor.rollback_locked(run(system), with_tell, "rollback was asked for")
    assert [each for each in said if "record of changes cannot be written" in each]
    system.fail = None
    assert world.settled(system, case("inetd"))
    assert "rolled-back" in changes.history(system).problems[0]


# -- what was altered ----------------------------------------------------------------------------


@functools.cache
def story() -> tuple[MemorySystem, bytes]:
    system = held()
    do_confirm(system)
    do_rollback(system)
    return system, system.read(changes.PATH)


def judged(data: bytes, journals: bool = True) -> tuple[str, ...]:
    told = changes._told(story()[0]).lines if journals else {}
    return changes.judged(data, told, {}).problems


def test_a_removed_line_shows_where_it_was_and_goes_on_showing():
    system, data = story()
    one, _, three = data.splitlines(keepends=True)
    problems = judged(one + three, journals=False)
    assert problems == (
        "line 2 does not carry the hash of the line before it: lines were changed or removed up "
        "to there",
    )
    other = world.fork(system)
    alter(other, one + three)
    changes.write(other)
    assert changes.history(other).problems == problems


def test_a_last_line_that_was_removed_or_changed_shows_by_the_journal():
    lines = story()[1].splitlines(keepends=True)
    assert "no line says" in judged(b"".join(lines[:-1]))[0]
    edited = lines[-1].replace(b"rollback was asked for", b"all is well")
    assert "does not say what the journal" in judged(b"".join([*lines[:-1], edited]))[0]


def test_a_line_that_is_there_twice_shows():
    _, data = story()
    again = json.loads(data.splitlines()[0])
    again["before"] = hashlib.sha256(data.splitlines()[-1]).hexdigest()
    problems = judged(data + json.dumps(again).encode() + b"\n")
    assert "line 4 says again what another line says" in problems


@given(st.data())
def test_any_octet_that_is_changed_before_the_last_line_shows_by_the_chain_alone(data):
    text = story()[1]
    end = text.rstrip(b"\n").rindex(b"\n")
    place = data.draw(st.integers(0, end - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda each: each != text[place]))
    assert judged(text[:place] + bytes([octet]) + text[place + 1 :], journals=False)


@given(st.data())
def test_any_lines_that_are_removed_or_moved_show(data):
    lines = story()[1].splitlines(keepends=True)
    order = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=5))
    if order != list(range(len(lines))):
        assert judged(b"".join(lines[each] for each in order))


@given(st.binary(max_size=400))
def test_any_octets_are_judged(data: bytes):
    found = changes.judged(data, {}, {})
    assert bool(found.problems) == bool(data) or not data.strip(b"\n")
