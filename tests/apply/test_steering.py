"""Steering on a simulated host: what it asks of nft and systemd, what it leaves where that fails.
The real thing is in tests/lab/test_handover.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mailseal.apply.operations import OpFailed, operation
from mailseal.model import ops
from mailseal.system.base import Completed
from mailseal.system.memory import MemorySystem
from tests.apply import world
from tests.apply.test_operations import STEER, context, host, state

TABLE = "/run/table-mailseal_handover"
BACK = replace(STEER, do="end", undo="begin", drains=(109,))


def begin(system: MemorySystem, op: ops.Steer = STEER) -> str:
    return operation(op).act(context(system), op)


def end(system: MemorySystem, op: ops.Steer = BACK) -> str:
    return operation(op).act(context(system), op)


def refuses(said: bytes, only: bytes = b"") -> Callable[..., Completed]:
    """An nft that fails, on all or on rules with these words."""

    def nft(argv: tuple[str, ...], data: bytes) -> Completed:
        return Completed(argv, 1 if only in data else 0, b"", said)

    return nft


def test_each_new_connection_is_led_to_loopback_of_its_family() -> None:
    system = host()
    begin(system)
    (port,) = {each.port for each in system.listeners() if "second" in each.unit}
    rules = system.read(TABLE).decode().splitlines()[3:5]
    mark = "tcp flags & (fin|syn|rst|ack) == syn"
    assert [each.strip() for each in rules] == [
        f"ip daddr 192.0.2.10 tcp dport 109 {mark} tproxy ip to 127.0.0.1:{port}",
        f"ip6 daddr 2001:db8:1::10 tcp dport 109 {mark} tproxy ip6 to [::1]:{port}",
    ]


def test_a_terminator_comes_to_its_old_backend_until_its_sessions_have_begun() -> None:
    """By loopback, at a port from which clients of other hosts are led away already."""
    system, given = host(), []
    real = system.programs["nft"]

    def nft(argv: tuple[str, ...], data: bytes) -> Completed:
        given.append(data.decode())
        return real(argv, data)

    system.programs["nft"] = nft
    begin(system)
    outside = 'iifname != "lo" '
    assert [each.count(outside) for each in given if "tproxy" in each] == [2, 0]
    assert given[-2].replace(outside, "") == given[-1]


def test_it_begins_and_ends_twice_and_leaves_nothing() -> None:
    system = host()
    before = state(system)
    begin(system)
    begin(system)
    assert end(system) == "new connections go where they are meant to"
    assert end(system) == ""
    assert state(system) == before


@pytest.mark.parametrize("only", [b"", b"tproxy"])
def test_a_kernel_that_cannot_steer_fails_the_op_and_nothing_stays(only: bytes) -> None:
    system = host()
    before = state(system)
    system.programs["nft"] = refuses(b"Error: Could not process rule: No such file", only)
    with pytest.raises(OpFailed, match=r"No such file.*; --handover plain plans without it"):
        begin(system)
    operation(STEER).undo(context(system), STEER, {})
    assert state(system) == before


def test_a_second_stunnel_that_does_not_serve_leads_nobody_anywhere() -> None:
    system = host()
    mute = replace(context(system), greets=lambda *words: "no greeting")
    with pytest.raises(OpFailed, match="the second stunnel does not serve: no greeting"):
        operation(STEER).act(mute, STEER)
    assert TABLE not in system.nodes


def test_the_way_back_is_gone_without_steering_where_it_cannot_be() -> None:
    system = host()
    before = state(system)
    system.programs["nft"] = refuses(b"Error: no", b"tproxy")
    said = operation(BACK).undo(context(system), BACK, {})
    assert said.startswith("not steered: new connections cannot be led")
    assert state(system) == before


def test_a_table_that_stays_is_told() -> None:
    system = host()
    begin(system)
    real = system.programs["nft"]
    failing = refuses(b"Error: busy")
    system.programs["nft"] = lambda argv, data: (real if "list" in argv else failing)(argv, data)
    with pytest.raises(OpFailed, match="mailseal_handover cannot be taken away"):
        operation(STEER).undo(context(system), STEER, {})


SESSIONS = b"""0 0 192.0.2.10:109 192.0.2.99:4000 users:(("ipop2d",pid=88,fd=0))
0 0 [2001:db8:1::10]:109 [2001:db8:1::99]:4001
0 0 192.0.2.10:22 192.0.2.99:4002 users:(("sshd",pid=7,fd=4))
garbage
"""


@pytest.mark.parametrize(("drains", "waits"), [((), False), ((109,), True), ((995,), False)])
def test_sessions_of_others_at_the_ports_to_drain_are_waited_for(
    drains: tuple[int, ...], waits: bool
) -> None:
    system = host()
    world.run_program(system, "ss", Completed((), 0, SESSIONS, b""))
    began = system.clock
    begin(system, replace(STEER, drains=drains, seconds=20.0))
    assert (system.clock - began > 19.0) is waits


@pytest.mark.parametrize(("listener", "waits"), [(b"stunnel4", True), (b"inetd", False)])
def test_the_sessions_that_are_there_have_time_once_to_come_to_their_backend(
    listener: bytes, waits: bool
) -> None:
    """Where the process that has it is to let go of the port; inetd's sessions are their own."""
    system = host()
    holders = {
        b"stunnel4": b'users:(("stunnel4",pid=7,fd=9))',
        b"inetd": b'users:(("inetd",pid=5,fd=4))',
    }
    session = b"0 0 192.0.2.10:109 192.0.2.99:4000 " + holders[b"stunnel4"] + b"\n"

    def ss(argv: tuple[str, ...], data: bytes) -> Completed:
        if "listening" in argv:
            return Completed(argv, 0, b"0 128 192.0.2.10:109 0.0.0.0:* " + holders[listener], b"")
        return Completed(argv, 0, session, b"")

    system.programs["ss"] = ss
    began = system.clock
    begin(system, replace(STEER, drains=()))
    assert int((system.clock - began) / 5.0) == waits


def test_a_listener_has_time_to_take_what_was_accepted_for_it() -> None:
    system = host()
    answers = [b"3 128 0.0.0.0:109 0.0.0.0:*\n0 128 0.0.0.0:22 0.0.0.0:*\n"] * 4
    system.programs["ss"] = lambda argv, data: Completed(
        argv, 0, answers.pop() if answers else b"0 128 0.0.0.0:109 0.0.0.0:*\n", b""
    )
    begin(system)
    assert answers == []
