"""A host that SysV init runs: what is turned off there, TLS in front, and what is refused."""

import functools
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mailseal import plan as planner
from mailseal.apply import executor
from mailseal.apply.operations import spliced
from mailseal.export import CannotExport, shell
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.model.excepted import Excepted
from mailseal.model.ops import EditFile, UnitAction, WriteFile
from mailseal.model.plan import ClaimKind, Plan, RunState
from mailseal.plan import AlreadySealed, Cannot
from mailseal.system import units
from mailseal.system.base import Completed
from mailseal.system.memory import MemorySystem
from tests.apply import world
from tests.apply.world import SCRIPT, SCRIPTS
from tests.export.make import source

LEVELS = ("/etc/rc2.d/", "/etc/rc3.d/", "/etc/rc4.d/", "/etc/rc5.d/")


def host(starter: str) -> MemorySystem:
    system = world.fresh(starter + "+sysv")
    system.on_exec = functools.partial(world.dead_man, system)
    return system


def plan(system: MemorySystem, strategy: str, stage: str = "enforce") -> bytes:
    options = planner.Options(strategy=strategy, stage=stage, name="mail.example")
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
    before = world.seen(system)
    system.programs["service"] = lambda argv, data: (
        Completed(argv, 0, b"", b"") if argv[2] == "stop" else service(argv, data)
    )
    told = executor.apply(payload, world.tools(system), world.HOLD)
    assert told.state is RunState.UNDONE, told.reason
    assert world.seen(system) == before


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
    before = world.seen(system)
    told = executor.apply(plan(system, "retire"), world.tools(system), world.HOLD)
    assert told.state is RunState.HELD, told.reason
    assert not [each for each in system.listeners() if each.port == 109]
    assert world.do_confirm(system).state is RunState.COMMITTED
    assert world.do_rollback(system).state is RunState.UNDONE
    assert world.seen(system) == before


# -- TLS in front ---------------------------------------------------------------------------------


def wrapped(system: MemorySystem, stage: str = "enforce") -> Plan:
    return codec.loads(Plan, plan(system, "wrap", stage), lenient=False)


def files(made: Plan) -> dict[str, bytes]:
    return {op.path: op.content for op in made.ops if isinstance(op, WriteFile)}


def test_inetd_itself_hands_the_service_to_stunnel_alone():
    made = wrapped(host("inetd"))
    (edit,) = [op for op in made.ops if isinstance(op, EditFile)]
    assert spliced(world.LINES, edit.splices) == (
        b"# what the administrator wrote stays\n"
        b"/etc/mailseal/109.sock stream unix nowait root /usr/local/sbin/ipop2d ipop2d\n"
        b"# mailseal: 109 stream tcp nowait root /usr/local/sbin/ipop2d ipop2d\n"
        b"# mailseal: 109 stream tcp6 nowait root /usr/local/sbin/ipop2d ipop2d\n"
        b"discard stream tcp nowait root internal\n"
    )
    written = files(made)
    assert not [path for path in written if "systemd" in path]
    configuration = written["/etc/mailseal/109.conf"].decode()
    assert "\nconnect = /etc/mailseal/109.sock\n" in configuration
    assert "\npid = /run/mailseal/109.pid\nsyslog = yes\n" in "\n" + configuration
    assert "foreground" not in configuration
    assert "setuid" not in configuration
    (guard,) = [each for each in made.claims if each.kind is ClaimKind.BACKEND_GUARDED]
    assert guard.expected["path"] == "/etc/mailseal/109.sock"
    assert "about a second" in made.gap
    assert any("nothing starts stunnel again" in each for each in made.risks)
    with pytest.raises(CannotExport, match="for systemd, and the plan is for an init script"):
        shell.export(source(made))


def test_what_starts_it_is_no_shell_of_luck(tmp_path: Path):
    script = tmp_path / "mailseal"
    script.write_bytes(files(wrapped(host("inetd")))["/etc/init.d/mailseal"])
    subprocess.run(["sh", "-n", script], check=True)
    done = subprocess.run(["sh", script, "frobnicate"], capture_output=True, check=False)
    assert (done.returncode, done.stderr[:6]) == (2, b"usage:")
    done = subprocess.run(["sh", script, "status", "no-such"], capture_output=True, check=False)
    assert done.returncode == 3


def test_why_it_does_not_start_is_said_last(tmp_path: Path):
    """By the script, with the real stunnel, which here stays the user that it is."""
    text = files(wrapped(host("inetd")))["/etc/init.d/mailseal"].decode()
    own = f"-m 0770 {tmp_path}/run"
    text = text.replace('-o root -g "$user" -m 0770 "$run"', own).replace("/run/", f"{tmp_path}/")
    text = re.sub(r"setpriv (.*\\\n)+", "", text)
    text = text.replace("=/etc/mailseal ", f"={tmp_path} ").replace(
        "=/run/mailseal", f"={tmp_path}/run"
    )
    (tmp_path / "mailseal").write_text(text)
    (tmp_path / "109.conf").write_text("nonsense = 3\n")
    words = ["sh", str(tmp_path / "mailseal"), "start", "109"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("mailseal: start 109: no: [!] ")
    assert "Specified option name is not valid here" in last
    assert not list(tmp_path.glob("mailseal-start.*"))


@pytest.mark.parametrize("cron", [True, False])
def test_the_renewal_is_left_to_cron_where_there_is_one(cron: bool):
    system = host("inetd")
    if cron:
        system.put("/etc/init.d/cron", SCRIPT, 0o755)
        system.manager.active["cron.service"] = "active"
    made = wrapped(system)
    said = [each for each in made.risks if "certificate comes from a private CA" in each]
    assert "/etc/mailseal/renew" in files(made)
    assert ("/etc/cron.d/mailseal-109" in files(made)) is cron
    assert ("cron renews it" in said[0], "NOTHING RENEWS IT" in said[0]) == (cron, not cron)


@pytest.mark.parametrize("stage", ["offer", "enforce"])
def test_wrap_there_and_back(stage: str):
    system = host("inetd")
    before = world.seen(system)
    told = executor.apply(plan(system, "wrap", stage), world.tools(system), world.HOLD)
    assert told.state is RunState.HELD, told.reason
    assert world.do_confirm(system).state is RunState.COMMITTED
    promised = {(e.address, e.port, e.unit) for e in system.listeners() if "mailseal" in e.unit}
    assert promised
    world.reboot(system)
    assert promised <= {(each.address, each.port, each.unit) for each in system.listeners()}
    assert world.do_rollback(system).state is RunState.UNDONE
    assert world.seen(system) == before


def test_enforce_follows_offer():
    system = host("inetd")
    for stage in ("offer", "enforce"):
        told = executor.apply(plan(system, "wrap", stage), world.tools(system), world.HOLD)
        assert told.state is RunState.HELD, told.reason
        assert world.do_confirm(system).state is RunState.COMMITTED
    connect = b"connect = /etc/mailseal/109.sock\n"
    for name in ("109", "1109"):
        assert connect in system.nodes["/etc/mailseal/%s.conf" % name].data
    with pytest.raises(AlreadySealed, match="served by mailseal@109"):
        plan(system, "wrap")
    world.reboot(system)
    assert {each.port for each in system.listeners() if "mailseal@" in each.unit} == {109, 1109}


@pytest.mark.parametrize("starter", ["xinetd", "standalone"])
def test_what_nobody_opens_a_unix_socket_for_is_offered_and_not_enforced(starter: str):
    with pytest.raises(Cannot) as cannot:
        plan(host(starter), "wrap")
    assert "--strategy retire turns" in str(cannot.value)
    assert wrapped(host(starter), "offer").stage == "offer"


def asks_itself(system: MemorySystem) -> None:
    system.put("/etc/default/openbsd-inetd", b'OPTIONS="-il"\n')


def another_inetd(system: MemorySystem) -> None:
    del system.packages["openbsd-inetd"]


@pytest.mark.parametrize("spoil", [asks_itself, another_inetd])
def test_an_inetd_that_may_not_do_it_is_refused(spoil):
    system = host("inetd")
    spoil(system)
    with pytest.raises(Cannot, match="only openbsd-inetd"):
        plan(system, "wrap")


def test_wrap_is_refused_elsewhere_with_the_runbook_of_that_system():
    facts = gather(host("inetd"), (109,))
    options = planner.Options(strategy="wrap", name="mail.example")
    no_levels = tuple(each for each in facts.files if each.path != LEVELS[0].rstrip("/"))
    for elsewhere in (replace(facts, files=no_levels), replace(facts, manager="yum")):
        with pytest.raises(Cannot, match=r"run by neither .* `mailseal runbook sysv TARGET`"):
            planner.make(elsewhere, 109, "pop2", options)


def test_without_confirmation_a_boot_undoes_it():
    system = host("inetd")
    before = world.seen(system)
    payload = plan(system, "wrap")
    assert executor.apply(payload, world.tools(system), world.HOLD).state is RunState.HELD
    world.reboot(system)
    world.wait(system)
    assert world.receipt(system).state is RunState.UNDONE
    assert world.seen(system) == before


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
