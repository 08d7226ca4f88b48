"""Every point at which a run can die: then the host is wholly as promised or wholly as before.

Strategy: a point is before, during and after every mutating call, so every write of the journal and
every gap between two ops is among them. Each is tried with each way in which help comes: the
dead-man's timer alone, a reboot, the operator's rollback. The number of points is printed; what is
too long for every day is marked `soak`.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable

import pytest

from mailseal.apply import executor
from mailseal.apply.executor import Refused
from mailseal.model.plan import RunState
from mailseal.system.memory import Killed, MemorySystem, Point
from tests.apply import world
from tests.apply.world import Act, Case, case, dies, do_apply, do_confirm, do_rollback, points

CASES = [
    ("inetd", "wrap", "enforce"),
    ("inetd+nft", "wrap", "enforce"),
    ("fenced", "wrap", "offer"),
    ("xinetd", "wrap", "enforce"),
    ("standalone", "wrap", "enforce"),
    ("inetd", "retire", "enforce"),
    ("standalone", "retire", "enforce"),
    ("socket", "wrap", "enforce"),
    ("inetd+sysv", "wrap", "enforce"),
    pytest.param(("standalone", "wrap", "except"), marks=pytest.mark.soak),
]

Help = Callable[[MemorySystem], None]


def by_rollback(system: MemorySystem) -> None:
    """The operator, at once; the timer fires all the same."""
    system.revive()
    if executor.run_directories(system):
        with contextlib.suppress(Refused):  # nothing to undo: it had not begun
            do_rollback(system)
    world.wait(system)


def by_reboot(system: MemorySystem) -> None:
    world.reboot(system)
    world.wait(system)


def by_boot_after_power_loss(system: MemorySystem) -> None:
    world.power_loss(system)
    world.wait(system)


HELP: dict[str, Help] = {
    "timer": world.wait,
    "reboot": by_reboot,
    "power loss": by_boot_after_power_loss,
    "rollback": by_rollback,
}


ARMED_HALF = re.compile(
    r"/etc/(?:systemd/system|init\.d)/(mailseal-recover-[^/]*|\.mailseal-[^/]*)"
)
"""The one trace that the end of the power may leave, in one gap (see `deadman`): a file that
nothing starts, or the temporary file it was to become.
"""


def at_rest(system: MemorySystem, each: Case) -> tuple[RunState | None, bool]:
    """The state, and whether there was a trace; then the next run has taken it away."""
    system.fail = None
    traces = list(filter(ARMED_HALF.fullmatch, system.nodes))
    if not traces:
        return world.settled(system, each), False
    links = [path for path, node in system.nodes.items() if node.target in traces]
    assert links == [], "it is started at boot, and should have taken itself away"
    system.revive()
    executor.clear_traces(system)
    return world.settled(system, each), True


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    def say(line: str) -> None:
        with capsys.disabled():
            print("\n    " + line, end="")

    return say


def begun(each: Case, *acts: Act) -> Callable[[], MemorySystem]:
    """A maker of hosts on which `acts` are done."""
    done = each.start()
    for act in acts:
        act(done)

    def start() -> MemorySystem:
        system = world.fork(done)
        system.on_exec = functools.partial(world.dead_man, system)
        return system

    return start


@pytest.mark.parametrize("help_comes", HELP)
@pytest.mark.parametrize("which", CASES, ids=lambda which: "-".join(which))
def test_killed_while_applying(which, help_comes, tell):
    each = case(*which)
    passed = points(each.start, do_apply(each))
    traces = 0
    for point in passed:
        system = each.start()
        dies(system, do_apply(each), point.number)
        HELP[help_comes](system)
        state, trace = at_rest(system, each)
        assert state in (None, RunState.UNDONE), point
        traces += trace
    # After the write of the boot unit's file, before the link to it.
    assert traces <= (0 if help_comes in ("timer", "rollback") else 4)
    tell("%d kill points" % len(passed))
    assert len(passed) > 50


@pytest.mark.parametrize("help_comes", HELP)
@pytest.mark.parametrize("which", CASES, ids=lambda which: "-".join(which))
def test_killed_while_confirming(which, help_comes, tell):
    each = case(*which)
    start = begun(each, do_apply(each))
    states = []
    passed = points(start, do_confirm)
    for point in passed:
        system = start()
        dies(system, do_confirm, point.number)
        if help_comes == "rollback":  # that would undo what was confirmed
            system.revive()
            world.wait(system)
        else:
            HELP[help_comes](system)
        states.append(at_rest(system, each)[0])
    # Nobody confirmed before the record was written; from then on it is kept.
    kept = states.count(RunState.COMMITTED)
    assert 0 < kept < len(states)
    assert states == sorted(states, key=lambda state: state is RunState.COMMITTED)
    tell("%d kill points" % len(passed))


@pytest.mark.parametrize("from_state", ["held", "committed"])
@pytest.mark.parametrize("help_comes", HELP)
@pytest.mark.parametrize("which", CASES, ids=lambda which: "-".join(which))
def test_killed_while_rolling_back(which, help_comes, from_state, tell):
    each = case(*which)
    acts: list[Act] = [do_apply(each)]
    acts += [do_confirm] if from_state == "committed" else []
    start = begun(each, *acts)
    passed = points(start, do_rollback)
    states = []
    for point in passed:
        system = start()
        dies(system, do_rollback, point.number)
        HELP[help_comes](system)
        states.append(at_rest(system, each)[0])
    if help_comes == "rollback" or from_state == "held":
        assert set(states) == {RunState.UNDONE}
    else:
        # Killed before its first record the rollback never was.
        assert states == sorted(states, key=lambda state: state is RunState.UNDONE)
    tell("%d kill points" % len(passed))


def _killed_twice(each: Case, first: Point, rest: Help, stride: int) -> int:
    """Killed at `first`, and the recovery at every `stride`th of its own points."""
    dead = each.start()
    dies(dead, do_apply(each), first.number)

    def again() -> MemorySystem:
        system = world.fork(dead)
        system.on_exec = functools.partial(world.dead_man, system)
        return system

    passed = points(again, rest)
    for point in passed[::stride]:
        system = again()
        system.points = 0
        system.fail = world.die_at(point.number)
        rest(system)
        system.fail = None
        world.wait(system)
        assert at_rest(system, each)[0] in (None, RunState.UNDONE), (first, point)
    return len(passed[::stride])


def _survives(help_comes: Help) -> Help:
    """Help that may itself be killed: the operator's shell is left, and the host."""

    def rest(system: MemorySystem) -> None:
        try:
            help_comes(system)
        except Killed:
            system.revive()

    return rest


@pytest.mark.parametrize("help_comes", HELP)
def test_killed_again_while_recovering(help_comes, tell):
    each = case("inetd")
    first = points(each.start, do_apply(each))
    rest = _survives(HELP[help_comes])
    count = sum(_killed_twice(each, point, rest, 7) for point in first[:: len(first) // 12])
    tell("%d pairs of kill points (all of them: script/soak)" % count)
    assert count > 100


@pytest.mark.soak
@pytest.mark.parametrize("help_comes", HELP)
@pytest.mark.parametrize("which", [CASES[0], CASES[3], CASES[5]], ids=lambda which: "-".join(which))
def test_killed_again_while_recovering_at_all_points(which, help_comes, tell):
    each = case(*which)
    first = points(each.start, do_apply(each))
    rest = _survives(HELP[help_comes])
    count = sum(_killed_twice(each, point, rest, 1) for point in first)
    tell("%d pairs of kill points" % count)


def test_power_loss_while_held_undoes_and_after_the_confirmation_keeps():
    each = case("inetd")
    system = begun(each, do_apply(each))()
    world.power_loss(system)
    assert world.settled(system, each) is RunState.UNDONE
    system = begun(each, do_apply(each), do_confirm)()
    world.power_loss(system)
    assert world.settled(system, each) is RunState.COMMITTED


# -- disk full -----------------------------------------------------------------------------------

WRITES = ("write", "append", "mkdir", "symlink")


def full_from(number: int, system: MemorySystem, *, for_good: bool) -> Callable[[Point], None]:
    """The disk is full from that point on; until somebody frees the reserve, or `for_good`."""
    freed = False

    def fault(point: Point) -> None:
        nonlocal freed
        if point.name == "remove" and str(point.args[0]).endswith("/reserve"):
            freed = not for_good
        if point.number >= number and point.name in WRITES and point.when != "after" and not freed:
            raise OSError(28, "No space left on device", str(point.args[0]))

    return fault


@pytest.mark.parametrize("which", CASES, ids=lambda which: "-".join(which))
def test_disk_full_at_every_write_is_undone(which, tell):
    each = case(*which)
    passed = points(each.start, do_apply(each))
    writes = [point for point in passed if point.name in WRITES and point.when == "before"]
    for point in writes:
        system = each.start()
        system.points = 0
        system.fail = full_from(point.number, system, for_good=False)
        done = executor.apply(each.payload, world.tools(system), world.HOLD)
        assert done.state is RunState.UNDONE, point
        assert "No space left" in done.reason
        assert done.exceptions in ((), ("stunnel4",))
        assert world.settled(system, each) in (None, RunState.UNDONE), point
    tell("%d writes" % len(writes))


def test_a_disk_that_stays_full_is_said_and_undone_when_there_is_room(tell):
    each = case("inetd")
    passed = points(each.start, do_apply(each))
    writes = [point for point in passed if point.name in WRITES and point.when == "before"]
    states = []
    for point in writes:
        system = each.start()
        system.points = 0
        system.fail = full_from(point.number, system, for_good=True)
        done = executor.apply(each.payload, world.tools(system), world.HOLD)
        as_before = world.differences(each.before, world.seen(system))
        left = {path for path in as_before if "mailseal-" not in path}
        # It never says that it is undone while it is not.
        assert done.state is (RunState.UNDO_FAILED if left else RunState.UNDONE), (point, left)
        states.append(done.state)
        system.fail = None
        world.wait(system)
        # What was undone but not recorded is not undone again and again; the operator does it once.
        if left == set() and executor.run_directories(system):
            with contextlib.suppress(Refused):
                do_rollback(system)
        assert world.settled(system, each) in (None, RunState.UNDONE), point
    assert set(states) == {RunState.UNDO_FAILED, RunState.UNDONE}
    tell("%d writes" % len(writes))
