"""A host that SysV init runs: what is turned off there, and what is refused with its runbook."""

import functools

import pytest

from mailseal import plan as planner
from mailseal.apply import executor
from mailseal.export import CannotExport, shell
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.model.excepted import Excepted
from mailseal.model.ops import UnitAction
from mailseal.model.plan import Plan, RunState
from mailseal.plan import Cannot
from mailseal.system import units
from mailseal.system.base import Completed
from mailseal.system.memory import MemorySystem
from tests.apply import world
from tests.export.make import source

SCRIPTS = {"inetd": "openbsd-inetd", "xinetd": "xinetd", "standalone": "ipop2d"}
UNITS = {"openbsd-inetd": "inetd.service", "ipop2d": "pop2d.service"}
"""What stands for a script here, where that has another name."""
SCRIPT = b"#!/bin/sh\n# Starts the POP2 server.\nDAEMON=/usr/local/sbin/ipop2d\n"
LEVELS = ("/etc/rc2.d/", "/etc/rc3.d/", "/etc/rc4.d/", "/etc/rc5.d/")


def update_rc(system: MemorySystem, argv: tuple[str, ...], data: bytes) -> Completed:
    """update-rc.d(8): S02 becomes K98, and the other way round."""
    name, word = argv[1:]
    was, will = ("S02", "K98") if word == "disable" else ("K98", "S02")
    for level in LEVELS:
        system.nodes[level + will + name] = system.nodes.pop(level + was + name)
    return Completed(argv, 0, b"", b"")


def host(starter: str) -> MemorySystem:
    """The simulated service manager stands for the init scripts, asked as service(8) asks them."""
    system = world.fresh(starter)
    del system.nodes["/run/systemd/system"]
    release = b'PRETTY_NAME="Devuan GNU/Linux 5 (daedalus)"\nID=devuan\n'
    system.put("/usr/lib/os-release", release)
    name = SCRIPTS[starter]
    system.put("/etc/init.d/" + name, SCRIPT if name == "ipop2d" else b"#!/bin/sh\n", 0o755)
    for level in LEVELS:
        system.put(level + "S02" + name, b"#!/bin/sh\n", 0o755)
    unit = UNITS.get(name, name + ".service")
    systemctl = system.programs.pop("systemctl")

    def service(argv: tuple[str, ...], data: bytes) -> Completed:
        assert argv[1] == name
        if argv[2] == "status":
            runs = system.manager.active.get(unit) == "active"
            return Completed(argv, 0 if runs else 3, b"", b"")
        return systemctl(("systemctl", argv[2], "--", unit), data)

    system.programs["service"] = service
    system.programs["update-rc.d"] = functools.partial(update_rc, system)
    system.programs["setsid"] = lambda argv, data: Completed(argv, 0, b"", b"")
    return system


def plan(system: MemorySystem, strategy: str) -> bytes:
    options = planner.Options(strategy=strategy, name="mail.example")
    made = planner.make(gather(system, (109,)), 109, "pop2", options)
    return codec.dumps(made).encode("ascii")


@pytest.mark.parametrize("starter", SCRIPTS)
def test_its_scripts_are_told(starter: str):
    facts = gather(host(starter), (109,))
    assert facts.init == "other"
    (unit,) = facts.units
    name = SCRIPTS[starter] + ".service"
    assert (unit.name, unit.load, unit.active, unit.enabled) == (
        *(name, "loaded", "active", "enabled"),
    )


def test_a_daemon_of_its_own_is_taken_out_of_the_boot_and_stopped():
    made = codec.loads(Plan, plan(host("standalone"), "retire"), lenient=False)
    assert [(op.do, op.undo) for op in made.ops if isinstance(op, UnitAction)] == [
        ("", "start"),
        ("disable", "enable"),
        ("stop", ""),
    ]
    assert made.ops == tuple(op for op in made.ops if getattr(op, "unit", "") == "ipop2d.service")
    assert "/etc/init.d/ipop2d" in made.scope.paths
    with pytest.raises(CannotExport, match="for systemd, and the plan is for an init script"):
        shell.export(source(made))


def not_at_boot(system: MemorySystem) -> None:
    for level in LEVELS:
        del system.nodes[level + "S02ipop2d"]


def test_one_that_nothing_starts_at_boot_is_stopped_alone():
    system = host("standalone")
    not_at_boot(system)
    made = codec.loads(Plan, plan(system, "retire"), lenient=False)
    assert [op.do for op in made.ops if isinstance(op, UnitAction)] == ["", "stop"]


def started_by_hand(system: MemorySystem) -> None:
    service = system.programs["service"]
    system.programs["service"] = lambda argv, data: (
        Completed(argv, 3, b"", b"") if argv[2] == "status" else service(argv, data)
    )


def in_some_levels(system: MemorySystem) -> None:
    del system.nodes["/etc/rc4.d/S02ipop2d"]


def in_two_scripts(system: MemorySystem) -> None:
    system.put("/etc/init.d/other", b"daemon='/usr/local/sbin/ipop2d'\n", 0o755)


def with_another_port(system: MemorySystem) -> None:
    unit = world.UNIT.replace(b"[::]:109", b"[::]:109 --listen 0.0.0.0:1109")
    system.put("/etc/systemd/system/pop2d.service", unit)
    system.manager.reload_files()
    system.manager.stop("pop2d.service")
    system.manager.start("pop2d.service")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (started_by_hand, "`/etc/init.d/ipop2d status` does not say that it runs"),
        (in_some_levels, "in some of the runlevels 2 to 5"),
        (in_two_scripts, "nor an init script known here starts it"),
        (with_another_port, "also starts what serves port 1109, which would go with it"),
    ],
)
def test_what_its_script_cannot_undo_is_refused(spoil, says: str):
    system = host("standalone")
    spoil(system)
    with pytest.raises(Cannot, match=says):
        plan(system, "retire")


def test_a_script_that_cannot_stop_it_is_undone():
    system = host("standalone")
    payload, service = plan(system, "retire"), system.programs["service"]
    before = system.snapshot(world.EXCEPTIONS)
    system.programs["service"] = lambda argv, data: (
        Completed(argv, 0, b"", b"") if argv[2] == "stop" else service(argv, data)
    )
    told = executor.apply(payload, world.tools(system), world.HOLD)
    assert told.state is RunState.UNDONE, told.reason
    assert system.snapshot(world.EXCEPTIONS) == before


@pytest.mark.parametrize("tool", ["update-rc.d", "chkconfig", "rc-update"])
def test_the_boot_is_changed_by_what_is_there(tool: str):
    system = host("standalone")
    asked: list[tuple[str, ...]] = []
    del system.programs["update-rc.d"]
    assert "nothing here changes" in units.act(system, "ipop2d.service", "disable").words()

    def program(argv: tuple[str, ...], data: bytes) -> Completed:
        asked.append(argv)
        return Completed(argv, 0, b"", b"")

    system.programs[tool] = program
    assert units.act(system, "ipop2d.service", "disable").ok
    assert units.act(system, "ipop2d.service", "enable").ok
    words = {"update-rc.d": ("disable", "enable"), "chkconfig": ("off", "on")}
    assert asked == (
        [(tool, "ipop2d", word) for word in words[tool]]
        if tool in words
        else [(tool, word, "ipop2d", "default") for word in ("del", "add")]
    )


def test_without_service_the_script_itself_is_asked():
    system = host("standalone")
    service = system.programs.pop("service")
    system.programs["ipop2d"] = lambda argv, data: service(("service", "ipop2d", argv[1]), data)
    assert units.state(system, "ipop2d.service").active == "active"
    assert units.act(system, "ipop2d.service", "stop").ok
    assert units.state(system, "ipop2d.service").active == "inactive"


def test_an_exception_needs_a_timer_of_systemd():
    options = planner.Options(excepted=(Excepted("192.0.2.0/28", "2026-12-31", "ops", "fax"),))
    with pytest.raises(Cannot, match="by a timer of systemd"):
        planner.make(gather(host("standalone"), (109,)), 109, "pop2", options)


@pytest.mark.parametrize("starter", SCRIPTS)
def test_retire_there_and_back(starter: str):
    system = host(starter)
    before = system.snapshot(world.EXCEPTIONS)
    told = executor.apply(plan(system, "retire"), world.tools(system), world.HOLD)
    assert told.state is RunState.HELD, told.reason
    assert not [each for each in system.listeners() if each.port == 109]
    assert world.do_confirm(system).state is RunState.COMMITTED
    assert world.do_rollback(system).state is RunState.UNDONE
    assert system.snapshot(world.EXCEPTIONS) == before


def test_wrap_is_refused_with_the_runbook_of_that_system():
    with pytest.raises(Cannot, match="`mailseal runbook sysv TARGET`"):
        plan(host("inetd"), "wrap")


def test_a_script_that_runs_nothing_is_no_reason_to_edit():
    system = host("inetd")
    system.programs["service"] = lambda argv, data: Completed(argv, 3, b"", b"")
    with pytest.raises(Cannot, match="no active unit or init script"):
        plan(system, "retire")


def test_a_script_that_fails_undoes_the_change():
    system = host("inetd")
    before = system.nodes["/etc/inetd.conf"].data
    payload, service = plan(system, "retire"), system.programs["service"]
    system.programs["service"] = lambda argv, data: (
        Completed(argv, 1, b"", b"failed!") if argv[2] == "reload" else service(argv, data)
    )
    told = executor.apply(payload, world.tools(system), world.HOLD)
    assert told.state in (RunState.UNDONE, RunState.UNDO_FAILED)
    assert system.nodes["/etc/inetd.conf"].data == before


def test_words_without_a_script():
    system = host("inetd")
    assert units.act(system, "", "daemon-reload").ok
    assert units.state(system, "gone.service").load == "not-found"
    assert units.state(system, "openbsd-inetd.socket").load == "not-found"
    with pytest.raises(ValueError, match="not a word"):
        units.act(system, "openbsd-inetd.service", "kill")
