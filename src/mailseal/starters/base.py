"""What a starter tells about a service: Start and Change."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass, field
from typing import Callable, Mapping, Optional, Sequence, Tuple

from mailseal.configs import text
from mailseal.model.excepted import Door
from mailseal.model.host import HostFacts, Listener, Server
from mailseal.model.ops import EditFile, Listening, Op, Splice, UnitAction


@dataclass(frozen=True)
class Change:
    """A change of the starter's configuration: `edit`, and the words by which `unit` takes it on
    the way forward and on the way back. With `down` the unit is stopped before systemd reads its
    files again, either way: a socket that is not in them any more would be closed and left in /run.
    """

    edit: Tuple[Op, ...]
    unit: str
    forward: str
    back: str
    files: Tuple[str, ...]
    down: bool = False

    def ops(self, after: Sequence[Listening], before: Sequence[Listening]) -> Tuple[Op, ...]:
        """The edit between the unit's actions. The sockets `after` are waited for on the way
        forward, those of `before` on the way back.
        """
        reload_manager = any(path.startswith("/etc/systemd/") for path in self.files)
        stop = "stop" if self.down else ""
        undo: Tuple[Op, ...] = (UnitAction(self.unit, stop, self.back, after_undo=tuple(before)),)
        do: Tuple[Op, ...] = (UnitAction(self.unit, self.forward, stop, after_do=tuple(after)),)
        if reload_manager:
            undo += (UnitAction("", "", "daemon-reload"),)
            do = (UnitAction("", "daemon-reload", ""), *do)
        if self.down:
            # A boot right behind the edit starts the unit as the edit has it, and the last action,
            # by which that would be stopped on the way back, has not begun.
            undo += (UnitAction(self.unit, stop, stop),)
        return undo + self.edit + do


@dataclass(frozen=True)
class Admission:
    """How a starter lets some networks in and nobody else, besides the host itself. `edit` makes it
    ask the list of `door`; empty where it does so already. `problems` are why it cannot.
    """

    door: Door
    edit: Tuple[Op, ...] = ()
    problems: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Declared:
    """A service of a super-server's file, whoever has the `port` now (None: none that is known).
    `values` are its attributes, for xinetd.
    """

    path: str
    name: str
    port: Optional[int]
    program: str
    values: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """How a service is started today.

    `files` are those that say so. `off` takes it off the network for good. `server` is what a
    socket of ours can start in its place; where it is None (a stand-alone daemon) `isolated` gives
    it a network of its own, with a socket at the loopback or wildcard address `inside`, which it
    shares with the unit `companion` alone. `moved` gives the change by which what listens for it
    goes on at a Unix socket instead, of this path and for this group. `lost` is what a terminator
    in front takes away, `told` what else is to be known of it there; `guarded` is the name by which
    hosts_access(5) knows the service, where its rules count. `admission` is how it excepts
    networks, None where it cannot.
    `problems` are reasons not to touch it at all, `fixed` are reasons why it cannot hang behind a
    terminator, `tied` why it cannot be taken off the network at all.
    """

    starter: str
    unit: str
    listeners: Tuple[Listener, ...]
    files: Tuple[str, ...]
    off: Change
    server: Optional[Server] = None
    isolated: Optional[Change] = None
    inside: str = ""
    companion: str = ""
    guarded: str = ""
    admission: Optional[Admission] = None
    moved: Optional[Callable[[str, str], Change]] = None
    lost: Tuple[str, ...] = ()
    told: Tuple[str, ...] = ()
    problems: Tuple[str, ...] = ()
    fixed: Tuple[str, ...] = ()
    tied: Tuple[str, ...] = ()


def edit(path: str, data: bytes, splices: Sequence[Splice]) -> EditFile:
    """The op for splices of a file whose bytes are `data`, made to be of whole lines."""
    changed = text.apply_splices(data, splices)
    before, after = (hashlib.sha256(each).hexdigest() for each in (data, changed))
    return EditFile(path, before, after, text.whole_lines(data, splices))


def listeners_at(facts: HostFacts, port: int) -> Tuple[Listener, ...]:
    """The listening sockets of a port."""
    return tuple(listener for listener in facts.listeners if listener.port == port)


def held_by(listeners: Sequence[Listener], processes: Sequence[str]) -> bool:
    """Whether there are any, all held by such a process. One that is not seen (facts taken without
    root) may be: what is planned then is a draft.
    """
    return bool(listeners) and all(each.process in ("", *processes) for each in listeners)


def content(facts: HostFacts, path: str) -> Optional[bytes]:
    """The bytes of a file, None where it is not among the facts."""
    fact = facts.file(path)
    return None if fact is None else fact.content


def unit_of(facts: HostFacts, names: Sequence[str]) -> str:
    """The first of these units that is active."""
    for name in names:
        for unit in facts.units:
            if unit.name == name and unit.active == "active":
                return name
    return ""


def no_unit(unit: str, starter: str, names: Sequence[str]) -> Tuple[str, ...]:
    """The problem that `unit_of` found none, if so."""
    if unit:
        return ()
    words = "no active unit or init script runs this %s (looked for %s)"
    return (words % (starter, ", ".join(names)),)


LOST = (
    "the client's address: the service and its log see stunnel in its place; stunnel's own log "
    "(journalctl -u 'mailseal@*'; without systemd the syslog) has it",
)


ACCESS = ("/etc/hosts.allow", "/etc/hosts.deny")


def guarded(facts: HostFacts, name: str) -> str:
    """The name by which hosts_access(5) knows a service, where there are rules at all."""
    return posixpath.basename(name) if access_rules(facts) else ""


def access_rules(facts: HostFacts) -> bool:
    """Whether there are any rules of hosts_access(5)."""
    return any(
        line.strip() and not line.lstrip().startswith(b"#")
        for path in ACCESS
        for line in (content(facts, path) or b"").splitlines()
    )
