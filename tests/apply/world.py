"""A simulated mail host for the tests of `apply`: plans, tools, deaths, and what came of them.

Strategy: the plan is made by the real planner from facts gathered on the host. The proofs look at
the simulated sockets. What the dead-man starts runs here, on the same host, as another process
would: with tools of its own, reading nothing but the journal.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mailseal import plan as planner
from mailseal.apply import executor
from mailseal.apply.executor import Tools
from mailseal.apply.journal import Journal
from mailseal.apply.preflight import Questions
from mailseal.facts.gather import gather
from mailseal.facts.scope import digest
from mailseal.model import codec
from mailseal.model.excepted import Excepted
from mailseal.model.moment import rfc3339
from mailseal.model.plan import Claim, ClaimKind, Plan, Proof, Receipt, Result, RunState
from mailseal.prove import neighbours_kept
from mailseal.system.base import Completed, System
from mailseal.system.memory import (
    AVAILABLE,
    Bind,
    Fault,
    Killed,
    MemorySystem,
    Point,
    Snapshot,
)
from mailseal.system.memory.firewall import RULES
from tests.apply import sysv

PORT = 109
HOLD = 60.0
PATIENCE = 120.0
"""Seconds in which the dead-man has come, whatever it was that died."""

LINES = (
    b"# what the administrator wrote stays\n"
    b"109 stream tcp nowait root /usr/local/sbin/ipop2d ipop2d\n"
    b"109 stream tcp6 nowait root /usr/local/sbin/ipop2d ipop2d\n"
    b"discard stream tcp nowait root internal\n"
)
BLOCK = (
    b"service pop2\n{\n\ttype = UNLISTED\n\tport = 109\n\tsocket_type = stream\n\tprotocol = tcp\n"
    b"\tflags = IPv6\n\twait = no\n\tuser = root\n\tserver = /usr/local/sbin/ipop2d\n"
    b"\tdisable = no\n}\n"
)
UNIT = (
    b"[Unit]\nDescription=POP2 server\nAfter=network.target\n[Service]\nType=notify\n"
    b"ExecStart=/usr/local/sbin/ipop2d --listen 0.0.0.0:109 --listen [::]:109\n"
    b"[Install]\nWantedBy=multi-user.target\n"
)
EXCEPTED = (
    Excepted("10.1.2.0/24", "2027-03-31", "alice", "scanners"),
    Excepted("2001:db8::/32", "2027-06-30", "bob", "printers"),
)
RELAY, NFT = 10109, "/usr/sbin/nft"
SOCKET = (
    b"[Unit]\nDescription=POP2 server\n[Socket]\nListenStream=109\nAccept=yes\n"
    b"[Install]\nWantedBy=sockets.target\n"
)
EACH = b"[Service]\nExecStart=-/usr/local/sbin/ipop2d\nStandardInput=socket\n"
BOOT_ID = "/proc/sys/kernel/random/boot_id"

EXCEPTIONS = (
    *("/proc", "/var/lib/mailseal", executor.LOCK),
    *(path for path in AVAILABLE["stunnel4"].files if not path.startswith("/etc/")),
    "/etc/stunnel",
)
"""What a rollback does not take back: the runs, and the files of the package that was installed."""


def standalone(argv: tuple[str, ...]) -> Sequence[Bind]:
    """The POP2 server on its own: it listens where its command line says."""
    found = []
    for option, word in itertools.pairwise(argv):
        if option == "--listen":
            host, _, port = word.rpartition(":")
            found.append(Bind(host.strip("[]"), int(port)))
    return found


def fresh(starter: str) -> MemorySystem:
    """A booted host that serves POP2 in cleartext on both families, without stunnel. One that is
    fenced has a firewall that lets in no more than ssh and that; `+nft` behind the starter's name:
    with nftables, `+sysv`: without systemd.
    """
    system = MemorySystem()
    starter, _, more = starter.partition("+")
    if more == "nft":
        system.install("nftables")
    system.daemons["ipop2d"] = standalone
    system.put("/usr/local/sbin/ipop2d", b"\x7fELF", 0o755)
    system.put(BOOT_ID, b"first\n")
    if starter == "fenced":
        system.put(RULES, b"tcp dport 22 accept\ntcp dport 109 accept\n", 0o600)
    if starter in ("inetd", "fenced"):
        system.install("openbsd-inetd")
        system.put("/etc/inetd.conf", LINES, 0o640)
    elif starter == "xinetd":
        system.install("xinetd")
        system.put("/etc/xinetd.d/pop2", BLOCK)
    elif starter == "socket":
        system.put("/etc/systemd/system/pop2.socket", SOCKET)
        system.put("/etc/systemd/system/pop2@.service", EACH)
        system.manager.reload_files()
        system.manager.enable("pop2.socket")
    else:
        system.put("/etc/systemd/system/pop2d.service", UNIT)
        system.manager.reload_files()
        system.manager.enable("pop2d.service")
    system.manager.boot()
    return scripted(system, SCRIPTS[starter]) if more == "sysv" else system


def scripted(system: MemorySystem, name: str) -> MemorySystem:
    """The same host run by SysV init, which starts the service by the script `name`."""
    del system.nodes["/run/systemd/system"]
    release = b'PRETTY_NAME="Devuan GNU/Linux 5 (daedalus)"\nID=devuan\n'
    system.put("/usr/lib/os-release", release)
    system.put("/etc/init.d/" + name, SCRIPT if name == "ipop2d" else b"#!/bin/sh\n", 0o755)
    sysv.link(system, name)
    sysv.equip(system)
    return system


SCRIPTS = {"inetd": "openbsd-inetd", "xinetd": "xinetd", "standalone": "ipop2d"}
SCRIPT = b"#!/bin/sh\n# Starts the POP2 server.\nDAEMON=/usr/local/sbin/ipop2d\n"


def fork(system: MemorySystem, fail: Fault | None = None) -> MemorySystem:
    """Another host in the same state; nodes are values, so only the tables are copied."""
    other = MemorySystem(fail)
    other.daemons["ipop2d"] = standalone
    for name in ("nodes", "users", "groups", "packages", "available", "listens"):
        setattr(other, name, dict(getattr(system, name)))
    other.clock, other.addresses, other.apt_error = system.clock, system.addresses, system.apt_error
    for name in ("loaded", "transient", "active", "bound", "inside", "paths", "timers"):
        setattr(other.manager, name, dict(getattr(system.manager, name)))
    other.manager.last_pid = system.manager.last_pid
    if "systemctl" not in system.programs:
        sysv.equip(other)
    return other


# -- what the executor is handed ---------------------------------------------------------------


def prove(system: System, claims: Sequence[Claim]) -> tuple[Proof, ...]:
    """Every claim, by the sockets that are there."""
    taken = rfc3339(system.now())
    return tuple(
        Proof(
            claim, Result.PASS if _holds(system, claim) else Result.FAIL, ("by the sockets",), taken
        )
        for claim in claims
    )


def _holds(system: System, claim: Claim) -> bool:
    where = claim.endpoint.address
    every = "::" if ":" in where else "0.0.0.0"
    there = [
        each
        for each in system.listeners()
        if each.port == claim.endpoint.port
        and (each.address in (where, every) or (each.address == "::" and each.dual))
    ]
    in_tls = [each for each in there if each.unit.startswith("mailseal@")]
    if claim.kind is ClaimKind.NEIGHBOURS_KEPT:
        return neighbours_kept.check(claim, system).result is Result.PASS
    if claim.kind is ClaimKind.CLOSED:
        return not there
    if claim.kind is ClaimKind.CLEARTEXT_SERVED and claim.expected.get("networks"):
        return any(each.port == RELAY for each in system.listeners())
    if claim.kind is ClaimKind.CLEARTEXT_SERVED:
        return bool(there) and not in_tls
    if claim.kind is ClaimKind.CLEARTEXT_REFUSED:
        return there == in_tls
    if claim.kind is ClaimKind.SERVICE_IN_TLS:
        return bool(in_tls) and backend(system)
    return backend(system)


def backend(system: System) -> bool:
    """Whether there is something behind the terminator."""
    ports = {each.port for each in system.listeners() if each.address == "127.0.0.1"}
    there = (system.stat(each) for each in ("/run/mailseal-109.sock", "/etc/mailseal/109.sock"))
    return any(there) or bool(ports - {PORT})


def greets(system: System, port: int) -> str | None:
    taken = any(each.port == port for each in system.listeners())
    return None if taken else "nobody answers"


def tools(system: MemorySystem, **changes: object) -> Tools:
    """As the agent hands them."""
    made = Tools(
        system=system,
        prove=functools.partial(prove, system),
        greets=lambda address, port, name, authority, protocol: greets(system, port),
        questions=Questions(
            facts_digest=lambda plan: digest(
                gather(system, plan.scope.ports, plan.scope.paths), plan.scope
            ),
            certificate=lambda plan: [],
        ),
        bundle=lambda: b"the executor",
        python="/usr/bin/python3",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


# -- a case: a host and a plan -----------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A host before, the plan for it, and what the host is to be like before and after."""

    host: MemorySystem
    plan: Plan
    payload: bytes
    before: Snapshot
    promised: Snapshot

    def start(self, fail: Fault | None = None) -> MemorySystem:
        """The host before the change. What its dead-man starts is run, and killed by `fail` too."""
        system = fork(self.host, fail)
        system.on_exec = functools.partial(dead_man, system)
        return system


@functools.cache
def case(starter: str, strategy: str = "wrap", stage: str = "enforce") -> Case:
    host = fresh(starter)
    options = planner.Options(strategy=strategy, stage=stage, name="mail.example")
    if stage == "except":
        host.install("nftables")
        options = replace(options, stage="enforce", excepted=EXCEPTED)
    made = planner.make(gather(host, (PORT,)), PORT, "pop2", options)
    payload = codec.dumps(made).encode("ascii")
    done = fork(host)
    held = executor.apply(payload, tools(done), HOLD)
    assert held.state is RunState.HELD, held.reason
    executor.confirm(run(done), tools(done), (), "the operator")
    return Case(host, made, payload, seen(host), seen(done))


def seen(system: MemorySystem) -> Snapshot:
    """The host as a value, without the exceptions."""
    sysv.waken(system)
    return system.snapshot(EXCEPTIONS)


def run(system: System) -> str:
    """The directory of the last run."""
    return executor.run_directories(system)[-1]


def receipt(system: System) -> Receipt:
    return executor.receipt(system, run(system))


def dead_man(system: MemorySystem, argv: tuple[str, ...]) -> int:
    """What the timer and the boot unit start: the executor's own copy, found on the disk."""
    if argv[0] in ("/bin/sh", NFT):
        return 0  # what renews and what ends finds nothing to do, and rules are loaded
    pyz, word, directory = argv[2:5]
    assert word == "recover"
    if pyz not in system.nodes:
        return 2
    try:
        if executor.due(system, directory):
            executor.recover(directory, tools(system))
    except Killed:
        system.revive()
        return 137
    return 0


# -- deaths ------------------------------------------------------------------------------------

Act = Callable[[MemorySystem], object]


def do_apply(each: Case) -> Act:
    return lambda system: executor.apply(each.payload, tools(system), HOLD)


def do_confirm(system: MemorySystem) -> Receipt:
    return executor.confirm(run(system), tools(system), (), "the operator")


def do_rollback(system: MemorySystem) -> Receipt:
    return executor.rollback_locked(run(system), tools(system), "rollback was asked for")


def points(start: Callable[[], MemorySystem], act: Act) -> tuple[Point, ...]:
    """Every point that `act` passes on a host of `start`."""
    passed: list[Point] = []
    system = start()
    system.fail = passed.append
    system.points = 0
    act(system)
    return tuple(passed)


def dies(system: MemorySystem, act: Act, number: int) -> None:
    """Does `act`, killed at the point `number`; later deaths are up to `system.fail`."""
    system.points = 0
    system.fail = die_at(number)
    try:
        act(system)
    except Killed:
        system.fail = None
        return
    raise AssertionError("point %d was not passed" % number)


def die_at(number: int) -> Fault:
    """Killed at that point, and nowhere after it."""

    def fault(point: Point) -> None:
        if point.number == number:
            raise Killed(point)

    return fault


def wait(system: MemorySystem) -> None:
    """Nobody does anything but the dead-man's timer."""
    system.advance(PATIENCE)


def reboot(system: MemorySystem) -> None:
    system.put(BOOT_ID, b"boot %d\n" % int(system.clock))
    system.reboot()


def power_loss(system: MemorySystem) -> None:
    system.put(BOOT_ID, b"boot %d\n" % int(system.clock))
    system.power_loss()


def run_program(system: MemorySystem, name: str, answer: Completed) -> None:
    """A program that says always the same."""
    system.programs[name] = lambda argv, data: replace(answer, argv=argv)


def settled(system: MemorySystem, each: Case) -> RunState | None:
    """The host is wholly as promised or wholly as before, its receipt says which, and nothing of
    the dead-man is left. Gives the state; None where no run had begun.
    """
    system.fail = None
    system.revive()
    sysv.waken(system)
    lasting = ("mailseal-renew@", "mailseal-except-")
    timers = {each for each in system.manager.timers if not each.startswith(lasting)}
    assert not timers, "a timer is left"
    assert not system.manager.transient, "a transient unit is left"
    state = None
    if executor.run_directories(system) and system.stat(run(system) + "/journal"):
        state = Journal(system, run(system) + "/journal").state
    if state is not None:
        assert receipt(system).state is state
    assert state in (None, RunState.UNDONE, RunState.COMMITTED)
    want = each.promised if state is RunState.COMMITTED else each.before
    assert differences(want, seen(system)) == {}
    return state


def differences(one: Snapshot, other: Snapshot) -> dict[str, tuple[object, object]]:
    """What differs, by path, unit or `listeners`."""
    found: dict[str, tuple[object, object]] = {}
    for left, right in ((one.files, other.files), (one.units, other.units)):
        for name in {*left, *right}:
            if left.get(name) != right.get(name):
                found[name] = (left.get(name), right.get(name))
    if one.listeners != other.listeners:
        found["listeners"] = (one.listeners, other.listeners)
    return found
