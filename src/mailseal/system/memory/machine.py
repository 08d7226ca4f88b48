"""The machine as a whole: a disk, a service manager, tables of programs and daemons, a clock.

Strategy: every program and daemon is a row in a table that tests may change; time passes only when
somebody waits, and reboots are in order or not.
"""

from __future__ import annotations

import functools
import os.path
from dataclasses import dataclass, replace
from typing import Callable, Dict, Mapping, Optional, Sequence, Tuple

from mailseal.model.host import Listener
from mailseal.system.base import Completed, Meta, Namespace, Process, Socket
from mailseal.system.memory.daemons import DAEMONS, Bind, Daemon
from mailseal.system.memory.debian import (
    ADDRESSES,
    AVAILABLE,
    BOOT_RUN,
    DIRECTORIES,
    FILES,
    GROUPS,
    USERS,
    Package,
)
from mailseal.system.memory.faults import Fault
from mailseal.system.memory.files import DIRECTORY, Disk, Node
from mailseal.system.memory.manager import Manager
from mailseal.system.memory.programs import PROGRAMS, Program, changes

BOOT_SECONDS = 30.0


@dataclass(frozen=True)
class Snapshot:
    """The machine at one moment, comparable: path to kind, metadata and bytes (or target); unit to
    active and enabled, of those that are not at rest; listening address, port, dual and unit.
    """

    files: Mapping[str, Tuple[str, Meta, bytes]]
    units: Mapping[str, Tuple[str, str]]
    listeners: Tuple[Tuple[str, int, bool, str], ...]


class MemorySystem(Disk):
    """Implements `System`. For tests to read and to set, besides what a Disk has: `addresses`
    (interface, address, prefix length, scope), `packages` (installed name to version), `available`,
    `apt_error` (what apt-get says instead of working), `programs` and `daemons` (by name of the
    program), `listens` (sockets by name of the unit), `on_exec` (called with the argv of a unit
    that is no daemon we know; gives its exit status).
    """

    def __init__(
        self,
        fail: Optional[Fault] = None,
        on_exec: Optional[Callable[[Tuple[str, ...]], int]] = None,
    ) -> None:
        super().__init__(USERS, GROUPS, fail)
        self.on_exec = on_exec
        self.addresses: Tuple[Tuple[str, str, int, str], ...] = ADDRESSES
        self.packages: Dict[str, str] = {}
        self.available: Dict[str, Package] = dict(AVAILABLE)
        self.apt_error = ""
        self.listens: Dict[str, Sequence[Bind]] = {}
        for path in DIRECTORIES:
            self.place(path, DIRECTORY)
        self._unpack(FILES)
        release = Node("link", Meta(0o777, 0, 0), target="../usr/lib/os-release")
        self.place("/etc/os-release", release)
        self.manager = Manager(self)
        self.daemons: Dict[str, Daemon] = {
            name: functools.partial(daemon, self) for name, daemon in DAEMONS.items()
        }
        self.programs: Dict[str, Program] = {
            "systemctl": self.manager.systemctl,
            "systemd-run": self.manager.systemd_run,
        }
        for name, program in PROGRAMS.items():
            self.programs[name] = functools.partial(program, self)

    # -- for tests -----------------------------------------------------------------------------

    def install(self, name: str) -> None:
        """A package with its units enabled, as if it had always been there. Nothing starts."""
        package = self.available[name]
        self.packages[name] = package.version
        self._unpack(package.files)
        for user in package.users:
            number = 100 + len(self.users)
            self.users[user] = self.groups[user] = number
        self.manager.reload_files()
        for unit in package.units:
            self.manager.enable(unit)

    def _unpack(self, files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            self.put(path, data, 0o755 if data.startswith(b"\x7fELF") else 0o644)

    def advance(self, seconds: float) -> None:
        """Time passes; timers that come due fire, in their order."""
        self.revive()
        self._pass(seconds)

    def reboot(self) -> None:
        """An orderly reboot, or a power cut after everything was written back."""
        self.revive()
        self.clock += BOOT_SECONDS
        for path in [each for each in self.nodes if each.startswith("/run/")]:
            if path not in BOOT_RUN:
                del self.nodes[path]
        self.manager.boot()

    def power_loss(self) -> None:
        """A power cut now: of what was not synced the names are left, and no bytes."""
        self.lose_unsynced()
        self.reboot()

    def snapshot(self, exclude: Sequence[str] = (), times: bool = False) -> Snapshot:
        """The machine as a value, but for the paths in `exclude` and what is below them. The times
        of modification count only with `times`.
        """
        files = {}
        for path, node in self.nodes.items():
            if any(path == each or path.startswith(each.rstrip("/") + "/") for each in exclude):
                continue
            meta = node.meta if times else replace(node.meta, modified_ns=None)
            files[path] = (node.kind, meta, node.data or node.target.encode())
        listening = ((each.address, each.port, each.dual, each.unit) for each in self.listeners())
        return Snapshot(files, self.manager.states(), tuple(listening))

    # -- System --------------------------------------------------------------------------------

    def listeners(self, unit: str = "") -> Tuple[Listener, ...]:
        self._alive()
        found = self.manager.listeners(unit)
        if self.user:
            found = [replace(each, pid=0, process="", executable="", unit="") for each in found]
        return tuple(sorted(found, key=lambda each: (each.port, each.address)))

    def sockets(self) -> Tuple[Socket, ...]:
        """All are root's. A unit with a network of its own is a namespace for itself."""
        self._alive()
        spaces = [(0, self.manager.listeners())]
        spaces += [] if self.user else enumerate(map(list, self.manager.inside.values()), 1)
        found = []
        for inode, listeners in spaces:
            for number, each in enumerate(listeners):
                path, cgroup = each.executable, "0::/system.slice/%s\n" % each.unit
                process = Process(each.pid, each.process, path, "here", 0, "root", cgroup)
                space = Namespace(inode, "", process) if inode else None
                held = () if self.user else (process,)
                # The manager counts on with each time that a daemon opens its sockets.
                where = (each.address, each.port, each.dual, 1000 * each.pid + number)
                found.append(Socket(*where, 0, "root", held, space))
        return tuple(found)

    def ids(self, user: str, group: str) -> Tuple[int, int]:
        self._alive()
        return self.users[user], self.groups[group]

    def now(self) -> float:
        self._alive()
        return self.clock

    def uid(self) -> int:
        self._alive()
        return self.user

    def run(
        self,
        argv: Sequence[str],
        *,
        data: bytes = b"",
        timeout: float = 60.0,
        env: Optional[Mapping[str, str]] = None,
    ) -> Completed:
        """Programs that only answer pass no point."""
        self._alive()
        argv = tuple(argv)
        program = self.programs.get(os.path.basename(argv[0]))
        if not program:
            return Completed(argv, 127, b"", b"no such program")
        if not changes(argv):
            return program(argv, data)
        if self.user:
            return Completed(argv, 1, b"", b"Access denied")
        self._point("before", "run", *argv)
        done = program(argv, data)
        self._point("after", "run", *argv)
        return done

    def sleep(self, seconds: float) -> None:
        self._alive()
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        end = self.clock + seconds
        while True:
            due = self.manager.next_timer()
            if not due or due[0] > end:
                break
            self.clock = max(self.clock, due[0])
            self.manager.fire(due[1])
        self.clock = max(self.clock, end)
