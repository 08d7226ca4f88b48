"""Leads new connections to a second stunnel, and leaves them alone again (`ops.Steer`).

Strategy: a table of nftables of our own, so that no other ruleset is touched, at a hook that comes
before all filters: each SYN to one of the ports gets the second stunnel's socket (`tproxy` in
nft(8)) and stays otherwise as it is. No address is translated and no connection is tracked: filters
see the port that the client means, packets of sessions that are open match nothing, and a session
that was led there needs the table no more. So it can be taken away at any time. (A `redirect` is
none of this: filters see the other port, and taking it away resets what it redirected.)

All of it is in /run and in the kernel: a boot leaves none of it.
"""

from __future__ import annotations

import re
from typing import AbstractSet, Callable, FrozenSet, Iterable, Iterator, NamedTuple

from mailseal.apply.trial import Greets, free_port
from mailseal.model.ops import Steer
from mailseal.system import units
from mailseal.system.base import Meta, System

TABLE = "mailseal_handover"
_SETTLE = 0.5
"""Seconds that a handshake has which the other listener has begun."""
_QUEUE = 5.0
"""Seconds at most in which a listener takes what it has to take."""
_BEGIN_SECONDS = 5.0
"""Seconds at most in which a session comes to its backend: a terminator that shakes hands is still
to connect there, and the backend may be elsewhere by then. Which sessions do cannot be seen."""
_ROUND = 0.1
SECONDS = 3 * units.SECONDS + 60.0
"""What one turn takes at the most, the sessions' own time apart."""


class Failed(Exception):
    """There is no steering, or it could not be ended; `str()` says why."""


def begin(system: System, op: Steer, meta: Meta, greets: Greets) -> str:
    """May be done again. `meta` is for the configuration. Raises Failed."""
    _clear(system, op)
    port = free_port(system)
    for path, content, how in (
        (op.path, op.configuration, meta),
        (op.units + ".socket", op.socket, Meta(0o644, 0, 0)),
        (op.units + ".service", op.service, Meta(0o644, 0, 0)),
    ):
        system.write(path, content.replace(op.PORT, b"%d" % port), how)
    units.act(system, "", "daemon-reload")
    for kind in (".socket", ".service"):
        done = units.act(system, op.unit + kind, "start")
        if not done.ok:
            raise Failed("the second stunnel does not start: " + done.words())
    problem = _silent(system, op, port, greets)
    if problem:
        said = units.last_words(system, op.unit + ".service")
        raise Failed("the second stunnel does not serve: %s%s" % (problem, said))
    own = _process(system, op)
    # A terminator whose backend is at one of the ports comes there by loopback, and finds the old
    # listener until its sessions have begun. Only then clients of the host itself are led as well.
    old: FrozenSet[str] = frozenset()
    for rules in (_FROM_OUTSIDE, _FROM_ANYWHERE):
        now = _peers(system)
        words = _EMPTY + _ruleset(op, port, rules)
        done = system.run(["nft", "-f", "-"], data=words, timeout=30)
        if not done.ok:
            raise Failed("new connections cannot be led to a second stunnel: " + done.words())
        _await_begun(system, {each.port for each in op.routes}, own, old)
        old = now
    _await(
        system,
        op.seconds if op.drains else 0.0,
        lambda: any(
            row.port in op.drains and own not in row.holders for row in _rows(system, "established")
        ),
    )
    return "new connections are led to a second stunnel, at loopback port %d" % port


def _silent(system: System, op: Steer, port: int, greets: Greets) -> str:
    """Why it is not ready; empty where it is."""
    where = "::1" if all(":" in each.address for each in op.routes) else "127.0.0.1"
    if op.protocol:
        return greets(where, port, op.server, op.authority, op.protocol) or ""
    system.sleep(_SETTLE)
    state = units.state(system, op.unit + ".service").active
    return "" if state == "active" else "it is %s" % (state or "unknown")


def end(system: System, op: Steer) -> str:
    """Ends the steering, and the second stunnel when its sessions have ended. Raises Failed."""
    done = system.run(["nft", "-f", "-"], data=_EMPTY, timeout=30)
    # Where the kernel or the host knows no nftables, nothing was led anywhere.
    if not done.ok and system.run(["nft", "list", "table", "inet", TABLE], timeout=30).ok:
        raise Failed("the table %s cannot be taken away: %s" % (TABLE, done.words()))
    own = _process(system, op)
    if own:
        listens = {each.port for each in system.listeners() if each.unit == op.unit + ".socket"}
        _await_queues(system, listens)
        _await(
            system,
            op.seconds,
            lambda: any(own in row.holders for row in _rows(system, "established")),
        )
    left = _clear(system, op)
    return "new connections go where they are meant to" if left or own else ""


def _clear(system: System, op: Steer) -> bool:
    """Stops the second stunnel and removes its files; whether there was anything."""
    paths = [op.units + ".service", op.units + ".socket", op.path]
    there = [path for path in paths if system.stat(path) is not None]
    for kind in (".socket", ".service"):
        if there and units.state(system, op.unit + kind).active not in ("inactive", ""):
            units.act(system, op.unit + kind, "stop")
            units.forget_failure(system, op.unit + kind)
    for path in there:
        system.remove(path)
    if there:
        units.act(system, "", "daemon-reload")
    return bool(there)


_EMPTY = b"add table inet %s\ndelete table inet %s\n" % (TABLE.encode(), TABLE.encode())
"""Whether it is there or not; nft(8) takes all it is given as one transaction."""

_FROM_OUTSIDE, _FROM_ANYWHERE = 'iifname != "lo" ', ""
_RULE = (
    "  %(from)s%(family)s daddr %(address)s tcp dport %(port)d "
    "tcp flags & (fin|syn|rst|ack) == syn tproxy %(family)s to %(to)s:%(second)d\n"
)


def _ruleset(op: Steer, port: int, whose: str) -> bytes:
    rules = [
        _RULE
        % {
            "from": whose,
            "family": "ip6" if ":" in each.address else "ip",
            "address": each.address,
            "port": each.port,
            "to": "[::1]" if ":" in each.address else "127.0.0.1",
            "second": port,
        }
        for each in op.routes
    ]
    chain = " chain steer {\n  type filter hook prerouting priority mangle;\n%s }\n"
    return ("table inet %s {\n" % TABLE + chain % "".join(rules) + "}\n").encode("ascii")


# -- what is under way ----------------------------------------------------------------------------


def _await(system: System, seconds: float, busy: Callable[[], bool]) -> None:
    """Waits while it is so; rounds are counted, for the clock may jump."""
    for _ in range(int(seconds / _ROUND)):
        if not busy():
            return
        system.sleep(_ROUND)


def _await_queues(system: System, ports: Iterable[int]) -> None:
    """Waits until the listeners at these ports have taken what the kernel accepted for them: it
    resets what is left when they close.
    """
    system.sleep(_SETTLE)
    at = frozenset(ports)
    _await(
        system,
        _QUEUE,
        lambda: any(row.waiting and row.port in at for row in _rows(system, "listening")),
    )


def _await_begun(system: System, ports: AbstractSet[int], own: str, old: AbstractSet[str]) -> None:
    """Waits while a session that is not `old` is in a process that listens at these ports."""
    _await_queues(system, ports)

    def busy() -> bool:
        serving: FrozenSet[str] = frozenset()
        for row in _rows(system, "listening"):
            serving |= row.holders if row.port in ports else frozenset()
        return any(
            row.port in ports and row.peer not in old and row.holders & serving - {own}
            for row in _rows(system, "established")
        )

    _await(system, _BEGIN_SECONDS, busy)


def _peers(system: System) -> FrozenSet[str]:
    return frozenset(row.peer for row in _rows(system, "established"))


def _process(system: System, op: Steer) -> str:
    """The second stunnel's process number, empty where it does not run."""
    name = "MainPID"
    number = units.properties(system, op.unit + ".service", (name,)).get(name, "0")
    return "" if number == "0" else number


class _Row(NamedTuple):
    """A TCP socket: the local port, what waits in its receive queue (of a listener: connections),
    who is at the other end, and the numbers of the processes that have it.
    """

    port: int
    waiting: int
    peer: str
    holders: FrozenSet[str]


def _rows(system: System, state: str) -> Iterator[_Row]:
    """The TCP sockets in that state, by ss(8)."""
    done = system.run(["ss", "-Htnp", "state", state], timeout=30)
    for line in done.out.decode("utf-8", "replace").splitlines():
        waiting, _, local, peer, holders = [*line.split(None, 4), "", "", "", ""][:5]
        port = local.rpartition(":")[2]
        if waiting.isdigit() and port.isdigit():
            yield _Row(int(port), int(waiting), peer, frozenset(_PID.findall(holders)))


_PID = re.compile(r"\bpid=([0-9]+),")
