"""A run from end to end: promises kept, refusals that change nothing, and who may undo what."""

from __future__ import annotations

import contextlib
import errno
import functools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mailseal import plan as planner
from mailseal.apply import deadman, executor
from mailseal.apply.executor import Refused, Stopped
from mailseal.apply.journal import Journal, JournalDamaged
from mailseal.apply.preflight import Questions
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.model.look import Endpoint, Vantage
from mailseal.model.plan import Claim, ClaimKind, Plan, Proof, Receipt, Result, RunState
from mailseal.system.base import Completed
from mailseal.system.memory import Bind, MemorySystem, Point
from tests.apply import world
from tests.apply.world import HOLD, case, do_apply, do_confirm, do_rollback, run, tools

INETD = "/etc/inetd.conf"


def held() -> MemorySystem:
    system = case("inetd").start()
    done = executor.apply(case("inetd").payload, tools(system), HOLD)
    assert done.state is RunState.HELD
    return system


def committed() -> MemorySystem:
    system = held()
    do_confirm(system)
    return system


def undone(system: MemorySystem) -> bool:
    return world.settled(system, case("inetd")) in (None, RunState.UNDONE)


# -- there and back ------------------------------------------------------------------------------


def test_held_then_confirmed_is_as_promised_and_its_receipt_tells_the_story():
    system = held()
    made = case("inetd").plan
    told = world.receipt(system)
    assert (told.run, told.host, told.endpoint) == (run(system)[-22:], "mail", made.endpoint)
    # An action that counts on the way back alone leaves no line on the way forward.
    assert len(told.results) == sum(getattr(op, "do", "something") != "" for op in made.ops)
    assert len(told.proofs) == len(made.claims)
    assert told.exceptions == ("stunnel4",)
    assert told.deadline == "2026-01-01T00:01:00.000Z"
    proofs = world.prove(system, made.claims[:1])
    done = executor.confirm(run(system), tools(system), proofs, "a look from another host")
    assert done.state is RunState.COMMITTED
    assert done.reason == "confirmed by a look from another host"
    assert done.deadline is None
    assert world.settled(system, case("inetd")) is RunState.COMMITTED


def test_nobody_confirms_and_it_is_undone_when_the_time_is_over_and_not_before():
    system = held()
    system.advance(HOLD - deadman.PERIOD - 1)
    assert world.receipt(system).state is RunState.HELD
    world.wait(system)
    assert undone(system)
    assert "nobody confirmed the change in time" in world.receipt(system).reason


def test_a_clock_that_jumps_changes_nothing_where_the_system_counts_its_uptime():
    system = case("inetd").start()
    system.put("/proc/uptime", b"1000.00 2000.00\n")
    executor.apply(case("inetd").payload, tools(system), HOLD)
    for jump in (+86400, -2 * 86400):
        system.clock += jump
        assert not executor.due(system, run(system))
    system.put("/proc/uptime", b"%.2f 0\n" % (1000 + HOLD))
    assert executor.due(system, run(system))


def test_a_clock_set_back_does_not_change_the_order_of_runs():
    system = committed()
    do_rollback(system)
    first = run(system)
    system.clock -= 10 * 86400
    executor.apply(_again(system), tools(system), HOLD)
    assert run(system) > first


def _again(system: MemorySystem) -> bytes:
    """A plan for the host as it is now."""
    made = planner.make(gather(system, (109,)), 109, "pop2", planner.Options(name="mail.example"))
    return codec.dumps(made).encode("ascii")


def test_a_held_run_is_undone_at_boot():
    system = held()
    world.reboot(system)
    assert undone(system)


# -- failures on the way are undone --------------------------------------------------------------


def fails(system: MemorySystem, **changes: object) -> Receipt:
    done = executor.apply(case("inetd").payload, tools(system, **changes), HOLD)
    assert done.state is RunState.UNDONE
    assert undone(system)
    return done


def test_a_claim_that_does_not_hold():
    system = case("inetd").start()
    claims = case("inetd").plan.claims

    def prove(asked: Sequence[Claim]) -> tuple[Proof, ...]:
        proofs = world.prove(system, asked)
        if tuple(asked) != claims:
            return proofs
        return (replace(proofs[0], result=Result.FAIL, evidence=("login taken",)), *proofs[1:])

    done = fails(system, prove=prove)
    assert "cleartext-refused does not hold at 192.0.2.10:109: login taken" in done.reason


def test_a_service_that_is_dead_before_is_refused_and_nothing_changed():
    system = case("inetd").start()
    before = world.seen(system)

    def prove(asked: Sequence[Claim]) -> tuple[Proof, ...]:
        proofs = world.prove(system, asked)
        return (replace(proofs[0], result=Result.FAIL, evidence=("no connection",)), *proofs[1:])

    with pytest.raises(Refused, match=r"not as it was when the plan was made: .*no connection"):
        executor.apply(case("inetd").payload, world.tools(system, prove=prove))
    assert world.seen(system) == before


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), KeyError("x"), OSError("y")])
def test_any_fault_of_ours_in_the_proofs_or_in_an_op(error):
    system = case("inetd").start()
    first, claims = [error], case("inetd").plan.claims

    def prove(asked: Sequence[Claim]) -> tuple[Proof, ...]:
        if first and tuple(asked) == claims:
            raise first.pop()
        return world.prove(system, asked)

    assert type(error).__name__ in fails(system, prove=prove).reason

    def greets(*words: object) -> str | None:
        raise error

    assert type(error).__name__ in fails(case("inetd").start(), greets=greets).reason


def test_the_package_cannot_be_installed():
    system = case("inetd").start()
    system.apt_error = "E: Unable to fetch some archives"
    told = fails(system)
    assert "stunnel4 cannot be installed" in told.reason
    assert told.exceptions == ()


def test_the_port_is_taken_between_the_old_service_and_ours():
    system = case("inetd").start()
    system.put("/etc/systemd/system/thief.service", b"[Service]\nExecStart=/usr/bin/thief\n")
    system.put("/usr/bin/thief", b"\x7fELF", 0o755)
    system.daemons["thief"] = lambda argv: [Bind("192.0.2.10", 109)]
    system.manager.reload_files()
    each = replace(case("inetd"), before=world.seen(system))

    def steal(point: Point) -> None:
        words = point.args[:2]
        if point.when == "before" and words == ("systemctl", "start"):
            if point.args[-1] == "mailseal@109.service":
                system.manager.start("thief.service")
            system.fail = steal

    system.fail = steal
    done = executor.apply(case("inetd").payload, tools(system), HOLD)
    system.fail = None
    # The old service cannot come back while the thief sits there: that is said, loudly.
    assert done.state is RunState.UNDO_FAILED
    system.manager.stop("thief.service")
    assert do_rollback(system).state is RunState.UNDONE
    world.settled(system, each)


@pytest.mark.parametrize("number", range(0, 60, 7))
def test_asked_to_stop_at_any_moment_it_undoes_at_once(number):
    """SIGTERM, SIGHUP and SIGINT come as Stopped, wherever the run is."""
    system = case("inetd").start()
    shielded = []

    @contextlib.contextmanager
    def stoppable():
        yield lambda: shielded.append(True)

    def stop(point: Point) -> None:
        if point.number == number and not shielded:
            raise Stopped("stopped by SIGTERM")

    system.points = 0
    system.fail = stop
    done = executor.apply(case("inetd").payload, tools(system, stoppable=stoppable), HOLD)
    assert done.state is RunState.UNDONE
    assert "stopped by SIGTERM" in done.reason
    assert shielded
    assert undone(system)


def test_a_listener_that_went_away_does_not_stop_the_run():
    system = case("inetd").start()

    def tell(line: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    done = executor.apply(case("inetd").payload, tools(system, tell=tell), HOLD)
    assert done.state is RunState.HELD


def test_a_daemon_that_does_not_come_up_in_its_own_network_is_put_back():
    of = case("standalone")
    system = of.start()
    alone = "/etc/systemd/system/pop2d.service.d/zz-mailseal.conf"
    system.daemons["ipop2d"] = lambda argv: () if alone in system.nodes else world.standalone(argv)
    done = executor.apply(of.payload, tools(system), HOLD)
    assert done.state is RunState.UNDONE
    words = "nothing listens on 0.0.0.0 port 109 in the network namespace of pop2d.service"
    assert words in done.reason
    assert world.settled(system, of) in (None, RunState.UNDONE)


def test_a_dead_man_that_cannot_be_armed_is_a_reason_to_change_nothing():
    system = case("inetd").start()
    world.run_program(system, "systemd-run", Completed((), 1, b"", b"no bus"))
    done = executor.apply(case("inetd").payload, tools(system), HOLD)
    assert done.state is RunState.UNDONE
    assert "the dead-man timer cannot be set: systemd-run" in done.reason
    assert executor.run_directories(system) == ()
    assert undone(system)


# -- refusals ------------------------------------------------------------------------------------


def refused(system: MemorySystem, payload: bytes, **changes: object) -> str:
    """The words of a refusal, which changes nothing."""
    before = system.snapshot((executor.LOCK,))
    with pytest.raises(Refused) as said:
        executor.apply(payload, tools(system, **changes), HOLD)
    assert system.snapshot((executor.LOCK,)) == before
    assert said.value.problems
    return str(said.value)


def changed(**values: object) -> bytes:
    plan: Plan = replace(case("inetd").plan, **values)  # type: ignore[arg-type]
    return codec.dumps(plan).encode("ascii")


def test_refusals_say_what_to_do_and_change_nothing():
    start, payload = case("inetd").start, case("inetd").payload
    draft = refused(start(), changed(draft=("/etc/inetd.conf (permission denied)",)))
    assert "draft" in draft
    assert "Plan again as root" in draft
    assert "this is machine 0123456789abcdef" in refused(start(), changed(machine="f" * 32))
    stale = start()
    stale.put(INETD, b"# edited\n")
    assert "the plan is stale. Plan again" in refused(stale, payload)
    assert "stale" in refused(start(), changed(facts_digest="0" * 64))
    nobody = start()
    nobody.user = 1000
    assert "run it with sudo" in refused(nobody, payload)
    questions = Questions(lambda plan: plan.facts_digest, lambda plan: ["the certificate expired"])
    assert "the certificate expired" in refused(start(), payload, questions=questions)


def test_a_neighbour_that_is_gone_already_is_not_our_doing():
    beside = Claim(
        ClaimKind.NEIGHBOURS_KEPT, Endpoint("192.0.2.10", 109), Vantage.SELF,
        {"listening": "0.0.0.0:109 192.0.2.10:2525"},
    )  # fmt: skip
    said = refused(case("inetd").start(), changed(claims=(beside,)))
    assert "neighbours-kept does not hold" in said
    assert "Mend that first, or plan again" in said
    assert "0.0.0.0:109" not in said


@pytest.mark.parametrize("path", [INETD, "/etc/systemd/system", "/var/lib/mailseal/runs"])
def test_what_cannot_be_written_is_refused_before_anything_is_changed(path: str):
    system = case("inetd").start()
    mount = "1 0 8:1 / %s ro,relatime - ext4 /dev/sda1 rw\n" % path
    system.put("/proc/self/mountinfo", mount.encode())
    assert "%s is mounted read-only" % path in refused(system, case("inetd").payload)


def test_all_problems_are_told_at_once():
    system = case("inetd").start()
    questions = Questions(lambda plan: "another", lambda plan: ["expired", "wrong name"])
    with pytest.raises(Refused) as said:
        executor.apply(case("inetd").payload, tools(system, questions=questions), HOLD)
    assert len(said.value.problems) == 3


def test_an_edited_plan_is_no_plan():
    body = case("inetd").payload.replace(b'"strategy"', b'"strategie"')
    with pytest.raises(codec.CodecError, match="strateg"):
        executor.apply(body, tools(case("inetd").start()), HOLD)


def test_one_at_a_time():
    system = held()
    with system.lock(executor.LOCK) as got:
        assert got
        for act in (do_apply(case("inetd")), do_confirm, do_rollback):
            with pytest.raises(Refused, match="another mailseal is changing this host"):
                act(system)
    name = run(system).rpartition("/")[2]
    with pytest.raises(Refused, match=f"{name} is not finished .held.: confirm it"):
        do_apply(case("inetd"))(system)


# -- confirm -------------------------------------------------------------------------------------


def test_only_a_held_run_can_be_confirmed():
    system = held()
    do_rollback(system)
    with pytest.raises(Refused, match="it is undone"):
        do_confirm(system)
    system = committed()
    with pytest.raises(Refused, match="it is committed"):
        do_confirm(system)


def test_a_look_that_disproves_a_claim_confirms_nothing():
    system = held()
    proof = world.prove(system, case("inetd").plan.claims[:1])[0]
    bad = replace(proof, result=Result.FAIL, evidence=("login taken",))
    with pytest.raises(Refused, match="login taken"):
        executor.confirm(run(system), tools(system), (bad,), "a look")
    world.wait(system)
    assert undone(system)


def test_a_confirmation_that_cannot_be_recorded_is_none():
    system = held()

    def full(point: Point) -> None:
        if point.name == "append":
            raise OSError(28, "No space left on device")

    system.fail = full
    with pytest.raises(Refused, match=r"cannot be recorded.*Make room"):
        do_confirm(system)
    system.fail = None
    world.wait(system)
    assert undone(system)


# -- rollback ------------------------------------------------------------------------------------


def test_a_run_that_is_undone_cannot_be_undone_again():
    system = committed()
    assert do_rollback(system).state is RunState.UNDONE
    with pytest.raises(Refused, match="nothing to undo"):
        do_rollback(system)
    assert undone(system)


def test_nothing_is_undone_where_the_administrator_edited_a_file_since():
    """Half of it undone, the service would be neither as promised nor as before."""
    system = committed()
    edited = system.read(INETD) + b"# edited since\n"
    system.put(INETD, edited, 0o640)
    before = world.seen(system)
    with pytest.raises(Refused, match=r"/etc/inetd\.conf was changed since.* in .*/backup-"):
        do_rollback(system)
    assert world.differences(before, world.seen(system)) == {}
    system.put("/etc/mailseal/109.conf", b"somebody's", 0o644)
    with pytest.raises(Refused) as refused:
        do_rollback(system)
    assert sum("was changed since" in each for each in refused.value.problems) == 2


def test_what_cannot_be_read_keeps_nothing_else_from_being_undone():
    system = committed()
    real = system.read

    def read(path: str) -> bytes:
        if path == INETD:
            raise OSError(errno.EIO, "Input/output error", path)
        return real(path)

    system.read = read  # type: ignore[method-assign]
    done = do_rollback(system)
    assert done.state is RunState.UNDO_FAILED
    assert "Input/output error" in done.reason
    assert system.stat("/etc/mailseal/109.conf") is None


def test_the_dead_man_leaves_what_the_administrator_edited_and_force_does_not():
    system = committed()
    edited = system.read(INETD) + b"# edited since\n"
    system.put(INETD, edited, 0o640)
    done = executor.rollback(run(system), tools(system), "its time is over")
    assert done.state is RunState.UNDO_FAILED
    assert "/etc/inetd.conf was changed since" in done.reason
    assert f"the bytes before are in {run(system)}/backup-" in done.reason
    assert system.read(INETD) == edited
    words = "rollback was asked for"
    done = executor.rollback_locked(run(system), tools(system), words, force=True)
    assert done.state is RunState.UNDONE
    assert any("what it was changed to is in" in line for line in done.results)
    assert undone(system)


def test_an_undo_that_failed_is_tried_again_with_its_services():
    system = committed()
    edited = system.read(INETD)
    system.put(INETD, b"# emptied\n", 0o640)
    done = executor.rollback(run(system), tools(system), "its time is over")
    assert done.state is RunState.UNDO_FAILED
    assert do_rollback(system).state is RunState.UNDO_FAILED
    system.put(INETD, edited, 0o640)
    assert do_rollback(system).state is RunState.UNDONE
    assert undone(system)


def test_an_earlier_run_is_not_undone_below_a_later_one():
    system = case("inetd", stage="offer").start()
    executor.apply(case("inetd", stage="offer").payload, tools(system), HOLD)
    do_confirm(system)
    offer = run(system)
    executor.apply(_again(system), tools(system), HOLD)
    do_confirm(system)
    enforce = run(system)
    with pytest.raises(Refused, match=f"later run {enforce[-22:]} still stands"):
        executor.rollback_locked(offer, tools(system), "asked for")
    for directory in (enforce, offer):
        done = executor.rollback_locked(directory, tools(system), "asked for")
        assert done.state is RunState.UNDONE, done.reason
    assert world.differences(case("inetd").before, world.seen(system)) == {}


def test_the_state_before_is_proven_too():
    system = committed()
    system.programs["systemctl"] = functools.partial(_no_reload, system)
    done = do_rollback(system)
    assert done.state is RunState.UNDO_FAILED
    assert "reload" in done.reason


def _no_reload(system: MemorySystem, argv: tuple[str, ...], data: bytes) -> Completed:
    if "reload" in argv or "restart" in argv:
        return Completed(argv, 1, b"", b"inetd does not answer")
    return system.manager.systemctl(argv, data)


# -- the dead-man --------------------------------------------------------------------------------


def test_it_leaves_an_executor_at_work_alone_and_ends_one_beyond_its_time():
    each = case("inetd")
    system = each.start()
    edited = next(
        point
        for point in world.points(each.start, do_apply(each))
        if point.args[:1] == (INETD,) and point.when == "after"
    )
    world.dies(system, do_apply(each), edited.number)
    system.revive()
    killed: list[tuple[str, ...]] = []

    def kill(argv: tuple[str, ...], data: bytes) -> Completed:
        killed.append(argv)
        system.revive()
        return Completed(argv, 0, b"", b"")

    system.programs["kill"] = kill
    # As if it were not dead but hung: the lock is held, by process 4711.
    system.put("/proc/4711/stat", b"4711 (py) thon) S " + b"0 " * 18 + b"99 0\n")
    with system.lock(executor.LOCK):
        system.put(executor.LOCK, b"4711 99\n")
        assert executor.recover(run(system), tools(system)) is None
        assert killed == []
        system.clock += 86400
        executor.recover(run(system), tools(system))
    assert killed == [("kill", "-KILL", "4711")]
    assert undone(system)


def test_a_finished_run_ends_nobody_however_late_its_dead_man_comes():
    system = committed()
    system.put(executor.LOCK, b"4711 99\n")
    system.put("/proc/4711/stat", b"4711 (python) S " + b"0 " * 18 + b"99 0\n")
    system.programs["kill"] = lambda argv, data: pytest.fail("another run was ended")
    system.clock += 86400
    with system.lock(executor.LOCK):
        assert executor.recover(run(system), tools(system)) is None


def test_an_operators_rollback_that_comes_first_is_left_to_its_work():
    system = held()
    system.put("/proc/4711/stat", b"4711 (python) S " + b"0 " * 18 + b"99 0\n")
    system.programs["kill"] = lambda argv, data: pytest.fail("the operator was ended")
    system.clock += HOLD
    with system.lock(executor.LOCK):
        system.put(executor.LOCK, b"4711 99\n")
        assert executor.due(system, run(system))
        journal = Journal(system, run(system) + "/journal")
        journal.write("undo-begin", reason="asked for", until=system.clock + 600, boot="first")
        assert executor.recover(run(system), tools(system)) is None
    world.wait(system)
    assert undone(system)


@pytest.mark.parametrize("stat", [b"4711 (python) S " + b"0 " * 18 + b"100 0\n", b""])
def test_another_process_of_the_same_number_is_not_ended(stat):
    system = held()
    system.put(executor.LOCK, b"4711 99\n")
    system.put("/proc/4711/stat", stat)
    system.programs["kill"] = lambda argv, data: pytest.fail("another process was ended")
    system.clock += 86400
    with system.lock(executor.LOCK):
        assert executor.recover(run(system), tools(system)) is None


def test_the_dead_men_of_two_runs_do_not_meet():
    system = committed()
    do_rollback(system)
    first = run(system)
    executor.apply(_again(system), tools(system), HOLD)
    second = run(system)
    # The first one's timer, kept by a kill, comes late: it clears its own away and nothing else.
    executor.recover(first, tools(system))
    assert deadman.boot_path(second) in system.nodes
    assert deadman.timer_unit(second) + ".timer" in system.manager.timers
    world.wait(system)
    assert undone(system)


def test_without_systemd_a_child_watches():
    system = MemorySystem()
    del system.nodes["/run/systemd/system"]
    asked: list[tuple[str, ...]] = []

    def setsid(argv: tuple[str, ...], data: bytes) -> Completed:
        asked.append(argv)
        return Completed(argv, 0, b"", b"")

    system.programs["setsid"] = setsid
    assert deadman.arm(system, "/usr/bin/python3", "/var/lib/run", ()) == ""
    pyz = "/var/lib/run/mailseal.pyz"
    words = ("/usr/bin/python3", "-I", pyz, "recover", "/var/lib/run", "watch")
    assert asked == [("setsid", "--fork", *words)]
    deadman.disarm(system, "/var/lib/run")
    system.programs["setsid"] = lambda argv, data: Completed(argv, 1, b"", b"no")
    said = deadman.arm(system, "/usr/bin/python3", "/var/lib/run", ())
    assert said.startswith("the dead-man cannot be started: setsid")


def test_its_directory_of_links_goes_with_it_where_it_made_it():
    system = MemorySystem()
    before = system.snapshot()
    directory = "/var/lib/run-1"
    system.put(directory + "/journal", b"")
    assert deadman.arm(system, "/usr/bin/python3", directory, ("b", "a", "b")) == ""
    assert deadman.arm(system, "/usr/bin/python3", directory, ()) == ""
    assert system.listdir(deadman.WANTS) == ("mailseal-recover-run-1.service",)
    for _ in range(2):
        deadman.disarm(system, directory)
        assert system.snapshot((directory,)) == before


def test_a_damaged_journal_is_for_a_person_to_look_at():
    system = held()
    path = run(system) + "/journal"
    system.put(path, system.read(path).replace(b'"intent"', b'"intend"', 1))
    for act in (do_confirm, do_rollback, do_apply(case("inetd"))):
        with pytest.raises(JournalDamaged, match="line"):
            act(system)
    assert Journal(system, "/nowhere").state is None
