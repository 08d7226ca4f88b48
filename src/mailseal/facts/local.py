"""What a host exposes, seen from inside: each listening socket with all that leads to its cause.

Strategy: the kernel's sockets are the truth, and every other source only adds to one of them:
records of daemons and super-servers say which sockets they were configured to open, and one
comparison of address, family and port joins the two. What a super-server is to open and nobody
has open is told as well. Whatever cannot be told becomes a gap with its reason; nothing is guessed:
where a process cannot be seen, neither is its configuration consulted for it.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

from mailseal import daemons
from mailseal.daemons.base import Daemon
from mailseal.facts import addresses
from mailseal.facts.superservers import SUPERSERVERS, SYSTEMD, command_line
from mailseal.model import moment
from mailseal.model.local import (
    Declared,
    Extent,
    Holder,
    LocalHost,
    LocalListener,
    Program,
    Source,
)
from mailseal.system import ownership
from mailseal.system.base import Process, Socket, System
from mailseal.system.proc import container_of, unit_of
from mailseal.system.reader import Reader, reason
from mailseal.system.updates import updates

PORTS = (25, 109, 110, 143, 465, 587, 993, 995, 4190)
"""SMTP, POP2, POP3, IMAP, submission and ManageSieve."""

ByPort = Mapping[int, Sequence[Declared]]

NOT_ROOT = "not told: not root"


def gather(system: System, ports: Sequence[int] = (), every: bool = False) -> LocalHost:
    """The listeners on PORTS, on `ports` and those of any mail daemon, also behind a super-server;
    or `every` one. Never raises for what it may not see.
    """
    return _Gathering(system).host(frozenset((*PORTS, *ports)), every)


class _Gathering:
    """One gathering. What a daemon declares is read once for each of its processes."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.reader = Reader(system)
        self.root = system.uid() == 0
        self.declared: Dict[Tuple[str, int], ByPort] = {}
        self.commands: Dict[str, Optional[Source]] = {}
        self.met: Set[Declared] = set()
        self.own = ""

    def host(self, ports: "frozenset[int]", every: bool) -> LocalHost:
        reader = self.reader
        self.own = container_of(
            (reader.read("/proc/self/cgroup") or b"").decode("utf-8", "replace")
        )
        try:
            sockets = self.system.sockets()
        except OSError as error:
            reader.unread["listening sockets"] = reason(error)
            sockets = ()
        if not self.root:
            reader.unread["other network namespaces, processes of others"] = NOT_ROOT
        found = []
        for each in sockets:
            asked = every or each.port in ports or _daemon(each)
            if asked or _superserver(_process(each)):
                listener = self._listener(each)
                # A super-server's own program says nothing: it is the one that it starts.
                if asked or any(daemons.of(program.path) for program in listener.programs):
                    found.append(listener)
        found += self._silent(sockets, ports, every)
        name = (reader.read("/etc/hostname") or b"").decode("utf-8", "replace").split()
        listeners = tuple(self._with_packages(found))
        programs = (program for each in listeners for program in each.programs if program.package)
        packages = dict.fromkeys((program.package, program.version) for program in programs)
        return LocalHost(
            host=name[0] if name else "",
            taken=moment.rfc3339(self.system.now()),
            privileged=self.root,
            listeners=listeners,
            unread=reader.unread,
            addresses=self._addresses(),
            software=updates(reader, tuple(packages)),
        )

    # -- one socket ----------------------------------------------------------------------------

    def _listener(self, one: Socket) -> LocalListener:
        """All but the packages, which are asked for at once: `programs` are paths so far."""
        process = _process(one)
        daemon = _daemon(one) or _superserver(process)
        owner, extent, foreign = self._place(one, process)
        activated = self._activated(one)
        cause = activated
        gaps: List[str] = []
        if process is None:
            gaps.append(self._unseen())
        elif foreign:
            gaps.append("configuration and package: not told: its files are the container's")
        else:
            cause = cause or self._cause(daemon, process, one)
            if cause is None:
                gaps.append(_no_line(daemon, process))
            if process.program == "replaced":
                gaps.append("package: of the file that is at its path now, not of what runs")
        if cause:
            self.met.add(cause)
        paths = (
            process.executable if process and not foreign else "",
            cause.server if cause else "",
        )
        service = daemon.name if daemon else "systemd" if activated else ""
        return LocalListener(
            address=one.address,
            port=one.port,
            family="both" if one.dual else "ipv6" if ":" in one.address else "ipv4",
            extent=extent,
            listening=True,
            owner=owner,
            inode=one.inode,
            uid=one.uid,
            user="" if foreign else one.user,
            processes=tuple(_holder(each, foreign) for each in one.holders),
            service=service,
            programs=tuple(Program(path, "", "") for path in paths if path),
            unit=unit_of(process.cgroup) if process and process.pid != 1 else "",
            socket_unit=activated.unit if activated else "",
            source=cause.source if cause else None,
            gaps=tuple(gaps),
        )

    def _place(self, one: Socket, process: Optional[Process]) -> Tuple[str, Extent, bool]:
        """Whose the socket is (empty: the host's own), from where it can be reached, and whether
        the files of its process are not the host's.
        """
        space = one.namespace
        container = self._container(space.process if space else None)
        container = container or self._container(process)
        if space is None:
            address = ipaddress.ip_address(one.address)
            extent = Extent.LOOPBACK if address.is_loopback else Extent.ADDRESS
            extent = Extent.EVERYWHERE if address.is_unspecified else extent
            return container, extent, bool(container)
        if container:
            return container, Extent.CONTAINER, True
        unit = unit_of(space.process.cgroup)
        name = "netns " + space.name if space.name else unit or "process %d" % space.process.pid
        return name, Extent.NAMESPACE, False

    def _container(self, process: Optional[Process]) -> str:
        """The container of a process, other than the one we may be in ourselves."""
        known = container_of(process.cgroup) if process else ""
        if process is None or known == self.own:
            # One of a kind that we do not know shows in that its program is not ours.
            foreign = process is not None and process.program == "elsewhere"
            return "container of process %d" % process.pid if process and foreign else ""
        return known

    def _unseen(self) -> str:
        if not self.root:
            return "process, package, unit and configuration: " + NOT_ROOT
        return "process: none that is visible from here (the kernel itself, or another container)"

    # -- the line that causes it -----------------------------------------------------------------

    def _of(self, daemon: Daemon, process: Optional[Process] = None) -> ByPort:
        key = (daemon.name, process.pid if process else 0)
        if key not in self.declared:
            arguments = process.arguments if process else ()
            by_port: Dict[int, List[Declared]] = {}
            for each in daemon.declares(self.reader, arguments):
                by_port.setdefault(each.port, []).append(each)
            self.declared[key] = by_port
        return self.declared[key]

    def _cause(self, daemon: Optional[Daemon], process: Process, one: Socket) -> Optional[Declared]:
        declared = self._of(daemon, process).get(one.port, ()) if daemon else ()
        found = best(declared, one.address, one.dual)
        if found is None:
            line = self._command(unit_of(process.cgroup))
            if line and re.search(r"(?<!\d)%d(?!\d)" % one.port, line.text):
                found = Declared("", one.port, line)
        return found

    def _activated(self, one: Socket) -> Optional[Declared]:
        """The socket unit, where systemd holds the socket, or nobody whom we see does."""
        held = any(each.pid == 1 for each in one.holders)
        if one.namespace or not (held or not one.holders):
            return None
        declared = self._of(SYSTEMD).get(one.port, ())
        is_open = [each for each in declared if each.open]
        return best(is_open, one.address, one.dual, exactly=True)

    def _command(self, unit: str) -> Optional[Source]:
        """The line that starts a service of systemd."""
        if unit not in self.commands:
            asked = ("systemctl", "show", "--property=FragmentPath,DropInPaths", "--", unit)
            said = self.reader.ask(*asked) if unit.endswith(".service") else ""
            paths = [path for line in said.splitlines() for path in line.partition("=")[2].split()]
            found = command_line(self.reader, paths)
            self.commands[unit] = found[0] if found else None
        return self.commands[unit]

    # -- what is configured and does not listen --------------------------------------------------

    def _silent(
        self, sockets: Sequence[Socket], ports: "frozenset[int]", every: bool
    ) -> List[LocalListener]:
        """What super-servers are to open and nobody has open. Where a listener on the port has a
        process that we do not see, it may be the one: then nothing is said.
        """
        mine = [each for each in sockets if each.namespace is None]
        unseen = {each.port for each in mine if not each.holders}
        found = []
        for daemon in SUPERSERVERS:
            for port in sorted(set(self._of(daemon)) - unseen):
                held = [
                    each
                    for each in mine
                    if each.port == port and any(_superserver(p) is daemon for p in each.holders)
                ]
                for declared in self._of(daemon)[port]:
                    if not (every or port in ports or daemons.of(declared.server)):
                        continue
                    met = any(best((declared,), each.address, each.dual) for each in held)
                    if not met and declared not in self.met:
                        found.append(_not_listening(daemon, declared))
        return found

    def _addresses(self) -> Tuple[str, ...]:
        said = self.reader.ask(*addresses.ASK)
        try:
            found = addresses.parse(said) if said else ()
        except ValueError as error:
            self.reader.unread["addresses"] = str(error)
            return ()
        return tuple(each.address for each in found if each.scope not in ("host", "link"))

    # -- packages --------------------------------------------------------------------------------

    def _with_packages(self, listeners: Sequence[LocalListener]) -> List[LocalListener]:
        paths = {program.path for each in listeners for program in each.programs}
        known = ownership.owners(self.reader, paths)

        def programs(each: LocalListener) -> Tuple[Program, ...]:
            return tuple(Program(p.path, *known.get(p.path, ("", ""))) for p in each.programs)

        return [replace(each, programs=programs(each)) for each in listeners]


def _process(one: Socket) -> Optional[Process]:
    """The process that serves: not systemd, where it opened the socket for another."""
    others = [each for each in one.holders if each.pid != 1]
    return next(iter(others or one.holders), None)


def _holder(process: Process, foreign: bool) -> Holder:
    """As it is told: the number of a user has no name here where it is a container's."""
    replaced = process.program == "replaced"
    user = "" if foreign else process.user
    return Holder(process.pid, process.name, process.executable, replaced, process.uid, user)


def _daemon(one: Socket) -> Optional[Daemon]:
    process = _process(one)
    return daemons.of(process.executable) if process else None


def _superserver(process: Optional[Process]) -> Optional[Daemon]:
    return _superserver_of(process.executable) if process else None


@functools.lru_cache(maxsize=1024)
def _superserver_of(executable: str) -> Optional[Daemon]:
    return next((each for each in SUPERSERVERS if each.runs(executable)), None)


def _no_line(daemon: Optional[Daemon], process: Process) -> str:
    if daemon:
        return "configuration: nothing of %s that could be read names this port" % daemon.name
    return "configuration: that of %s is not known to mailseal" % (process.name or "the program")


def _not_listening(daemon: Daemon, declared: Declared) -> LocalListener:
    host = declared.host or "::"
    try:
        address = ipaddress.ip_address(host)
        wide, loop = address.is_unspecified, address.is_loopback
    except ValueError:
        wide, loop = False, host == "localhost"
    return LocalListener(
        address=host,
        port=declared.port,
        family="ipv6" if ":" in host else "ipv4",
        extent=Extent.EVERYWHERE if wide else Extent.LOOPBACK if loop else Extent.ADDRESS,
        listening=False,
        owner="",
        inode=0,
        uid=-1,
        user="",
        processes=(),
        service=daemon.name,
        programs=(Program(declared.server, "", ""),) if declared.server else (),
        unit="",
        socket_unit=declared.unit,
        source=declared.source,
        gaps=(),
    )


# -- comparison ------------------------------------------------------------------------------------

_WILDCARDS: Mapping[str, int] = {"": 0, "*": 0, "0.0.0.0": 4, "::": 6}


def best(
    declared: Sequence[Declared], address: str, dual: bool, exactly: bool = False
) -> Optional[Declared]:
    """Which of these, all of its port, a socket comes from: the first that fits best; with
    `exactly` only one with its address. None where none fits.
    """
    least = _EXACT if exactly else 1
    fits = [(_fit(each.host, address, dual), each) for each in declared]
    fit, found = max(fits, key=lambda each: each[0], default=(0, None))
    return found if fit >= least else None


_EXACT = 4


def _fit(host: str, address: str, dual: bool) -> int:
    """_EXACT: it is the address; 3: nothing is said; 2: all addresses of the other family, of a
    socket of both; 1: a name, which may be the address; 0: another.
    """
    family = _WILDCARDS.get(host)
    own = ipaddress.ip_address(address)
    if family == 0:
        return 3
    if family is None:
        try:
            return _EXACT if ipaddress.ip_address(host) == own else 0
        except ValueError:
            return 1
    if not own.is_unspecified:
        return 0
    return _EXACT if family == own.version else 2 if dual else 0
