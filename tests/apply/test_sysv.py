"""A host that SysV init runs: what is turned off there, and what is refused with its runbook."""

import pytest

from mailseal import plan as planner
from mailseal.apply import executor
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.model.plan import RunState
from mailseal.plan import Cannot
from mailseal.system import units
from mailseal.system.base import Completed
from mailseal.system.memory import MemorySystem
from tests.apply import world

SCRIPTS = {"inetd": "openbsd-inetd", "xinetd": "xinetd"}


def host(starter: str) -> MemorySystem:
    """The simulated service manager stands for the init scripts, asked as service(8) asks them."""
    system = world.fresh(starter)
    del system.nodes["/run/systemd/system"]
    release = b'PRETTY_NAME="Devuan GNU/Linux 5 (daedalus)"\nID=devuan\n'
    system.put("/usr/lib/os-release", release)
    name = SCRIPTS[starter]
    system.put("/etc/init.d/" + name, b"#!/bin/sh\n", 0o755)
    system.put("/etc/rc2.d/S02" + name, b"#!/bin/sh\n", 0o755)
    unit = {"openbsd-inetd": "inetd"}.get(name, name) + ".service"
    systemctl = system.programs.pop("systemctl")

    def service(argv: tuple[str, ...], data: bytes) -> Completed:
        assert argv[1] == name
        if argv[2] == "status":
            runs = system.manager.active.get(unit) == "active"
            return Completed(argv, 0 if runs else 3, b"", b"")
        return systemctl(("systemctl", argv[2], "--", unit), data)

    system.programs["service"] = service
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
