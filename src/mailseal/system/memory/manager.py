"""The service manager, a simulated systemd: units, timers, sockets, the order of a boot.

Knows units as of the last daemon-reload, answers systemctl(1) and systemd-run(1), and hands out
the sockets that daemons want. What the unit files say is read by `units`.
"""

from __future__ import annotations

import ipaddress
import os.path
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from mailseal.model.host import Listener
from mailseal.system.base import Completed, Meta
from mailseal.system.memory import units
from mailseal.system.memory.daemons import Bind, StartFailed, overlap
from mailseal.system.memory.files import Node
from mailseal.system.memory.units import Unit

if TYPE_CHECKING:
    from mailseal.system.memory.machine import MemorySystem


@dataclass
class Manager:
    """systemd. `loaded` are the unit files as of the last daemon-reload, `transient` the units that
    systemd-run made; `active` is unit to active, failed or (not named) inactive; `bound` are the
    sockets of units in the host's network, `inside` those of units that have one of their own,
    `paths` the Unix sockets of inetd.
    """

    machine: MemorySystem
    loaded: Dict[str, Unit] = field(default_factory=dict)
    transient: Dict[str, Dict[str, Tuple[str, ...]]] = field(default_factory=dict)
    active: Dict[str, str] = field(default_factory=dict)
    bound: Dict[str, Tuple[Listener, ...]] = field(default_factory=dict)
    inside: Dict[str, Tuple[Listener, ...]] = field(default_factory=dict)
    paths: Dict[str, Tuple[str, ...]] = field(default_factory=dict)
    timers: Dict[str, float] = field(default_factory=dict)
    jobs: List[str] = field(default_factory=list)
    last_pid: int = 400

    # -- unit files ----------------------------------------------------------------------------

    def reload_files(self) -> None:
        """daemon-reload: what is loaded is what the files say now."""
        self.loaded = units.load(self.machine)

    def unit(self, name: str) -> Optional[Unit]:
        """The unit as it is loaded; an instance from its template."""
        template, at, rest = name.partition("@")
        instance, _, kind = rest.rpartition(".")
        unit = self.transient.get(name) or self.loaded.get(name)
        if unit is None and at and instance:
            unit = self.loaded.get("%s@.%s" % (template, kind))
            unit = unit and {
                key: tuple(value.replace("%i", instance) for value in values)
                for key, values in unit.items()
            }
        return unit

    def enabled(self, name: str) -> str:
        """UnitFileState."""
        unit = self.unit(name)
        if units.masked(self.machine, name):
            return "masked"
        if unit is None:
            return ""
        if name in self.transient:
            return "transient"
        if any(path.endswith("/" + name) for path in units.wanted(self.machine)):
            return "enabled"
        return "disabled" if unit.get("Install.WantedBy") else "static"

    def enable(self, name: str) -> None:
        for wanting in (self.unit(name) or {}).get("Install.WantedBy", ()):
            path = "/etc/systemd/system/%s.wants/%s" % (wanting, name)
            target = units.fragment(self.machine, name)
            self.machine.place(path, Node("link", Meta(0o777, 0, 0), target=target))

    def disable(self, name: str) -> None:
        for path in units.wanted(self.machine):
            if path.endswith("/" + name):
                del self.machine.nodes[path]

    # -- starting and stopping -----------------------------------------------------------------

    def start(self, name: str) -> str:
        """Starts a unit with what it requires and wants; the complaint, empty where all is well."""
        unit = self.unit(name)
        if units.masked(self.machine, name):
            return "Unit %s is masked." % name
        if unit is None:
            return "Unit %s not found." % name
        if self.active.get(name) == "active" or not self._conditions(unit):
            return ""
        for key in ("Requires", "Wants"):
            for other in units.words(unit, "Unit." + key):
                if self.unit(other) and self.start(other) and key == "Requires":
                    return "A dependency job for %s failed." % name
        kind = name.rpartition(".")[2]
        try:
            starter = self._starters().get(kind)  # a target is no more than a name
            self.active[name] = starter(name, unit) if starter else "active"
        except StartFailed as failed:
            self.active[name] = "failed"
            # The process of a simple service was made; that it ended is not the start's business.
            simple = kind == "service" and units.last(unit, "Service.Type", "simple") == "simple"
            return "" if simple else "Job for %s failed: %s" % (name, failed)
        return ""

    def _conditions(self, unit: Unit) -> bool:
        """systemd.unit(5): a unit whose condition does not hold is passed over in silence."""
        return all(
            (path.lstrip("!") in self.machine.nodes) is not path.startswith("!")
            for path in unit.get("Unit.ConditionPathExists", ())
        )

    def stop(self, name: str) -> str:
        unit = self.unit(name)
        if unit is None:
            return "Unit %s not loaded." % name
        if name in self.jobs:
            self.jobs.remove(name)  # a stop takes the place of a start that waits
        for other in [each for each, word in self.active.items() if word == "active"]:
            if other != name and name in units.words(self.unit(other) or {}, "Unit.Requires"):
                self.stop(other)
        self.active.pop(name, None)
        self.bound.pop(name, None)
        self.inside.pop(name, None)
        self._open_paths(name, ())
        self.timers.pop(name, None)
        if self.transient.pop(name, None) and name.endswith(".timer"):
            self.transient.pop(name[: -len("timer")] + "service", None)
        for directory in units.words(unit, "Service.RuntimeDirectory"):
            self.machine.drop("/run/" + directory)
        if units.last(unit, "Socket.RemoveOnStop", "no") == "yes":
            for path in unit.get("Socket.ListenStream", ()):
                self.machine.nodes.pop(path, None)
        return ""

    def reload(self, name: str) -> str:
        unit = self.unit(name)
        if unit is None or not unit.get("Service.ExecReload"):
            return "Job type reload is not applicable for unit %s." % name
        if self.active.get(name) != "active":
            return "Unit %s is not active." % name
        try:
            self._bind(name, unit)
        except StartFailed:
            pass  # a daemon that cannot read its new configuration goes on with the old one
        return ""

    def _starters(self) -> Mapping[str, Callable[[str, Unit], str]]:
        return {"service": self._service, "socket": self._socket, "timer": self._timer}

    def _service(self, name: str, unit: Unit) -> str:
        uid = self.machine.users.get(units.last(unit, "Service.User", "root"), 0)
        gid = self.machine.groups.get(units.last(unit, "Service.Group", "root"), uid)
        for directory in units.words(unit, "Service.RuntimeDirectory"):
            mode = int(units.last(unit, "Service.RuntimeDirectoryMode", "0755"), 8)
            self.machine.place("/run/" + directory, Node("directory", Meta(mode, uid, gid)))
        argv = units.command(unit)
        if argv and argv[0] not in self.machine.nodes:
            raise StartFailed("%s: no such program (203/EXEC)" % argv[0])
        if name in self.machine.listens or units.program(argv) in self.machine.daemons:
            self._bind(name, unit)
            return "active"
        # No daemon we know: a program that runs to its end.
        status = self.machine.on_exec(argv) if self.machine.on_exec else 0
        # One that was killed is started again where its unit says so, and not for ever.
        for _ in range(4 if units.last(unit, "Service.Restart", "no") == "on-abnormal" else 0):
            if status > 128 and self.machine.on_exec:
                status = self.machine.on_exec(argv)
        if status:
            raise StartFailed("exit status %d" % status)
        if units.last(unit, "Service.Type", "simple") != "oneshot" and name not in self.transient:
            return "active"
        stays = units.last(unit, "Service.RemainAfterExit", "no") == "yes"
        return "active" if stays else "inactive"

    def _bind(self, name: str, unit: Unit) -> None:
        """The sockets of a daemon; of inetd those that are free, of others all or none."""
        argv = units.command(unit)
        program = units.program(argv)
        wanted = self.machine.listens.get(name)
        if wanted is None:
            wanted = self.machine.daemons[program](argv)
        if self.bound.get(re.sub(r"\.service$", ".socket", name)):
            wanted = ()  # stunnel takes what its socket unit listens at
        self.last_pid += 1
        alone = units.last(unit, "Service.PrivateNetwork", "no") == "yes"
        bound = []
        self._open_paths(name, [bind.address for bind in wanted if not bind.port])
        for bind in (each for each in wanted if each.port):
            if alone and not _everywhere(bind.address):
                raise StartFailed("bind %s: Cannot assign requested address" % bind.address)
            if alone or not self._taken(name, bind):
                process = (self.last_pid, program[:15], argv[0], name)
                bound.append(Listener(bind.address, bind.port, *process, bind.dual))
            elif program not in ("inetd", "xinetd"):
                raise StartFailed("bind %s:%d: Address already in use" % (bind.address, bind.port))
        (self.inside if alone else self.bound)[name] = tuple(bound)

    def _open_paths(self, name: str, paths: Sequence[str]) -> None:
        """The Unix sockets of inetd, which anybody may open; those it had are gone."""
        for path in self.paths.pop(name, ()):
            self.machine.nodes.pop(path, None)
        for path in paths:
            self.machine.place(path, Node("other", Meta(0o666, 0, 0)))
        if paths:
            self.paths[name] = tuple(paths)

    def _taken(self, name: str, bind: Bind) -> bool:
        return any(
            other.port == bind.port and overlap(bind, Bind(other.address, other.port, other.dual))
            for unit, sockets in self.bound.items()
            for other in sockets
            if unit != name
        )

    def _socket(self, name: str, unit: Unit) -> str:
        """systemd.socket(5): a bare port is every address of both families."""
        bound = []
        for stream in unit.get("Socket.ListenStream", ()):
            if stream.startswith("/"):
                user = self.machine.users[units.last(unit, "Socket.SocketUser", "root")]
                group = units.last(unit, "Socket.SocketGroup", "root")
                if group not in self.machine.groups:
                    raise StartFailed("no group %s" % group)
                mode = int(units.last(unit, "Socket.SocketMode", "0666"), 8)
                meta = Meta(mode, user, self.machine.groups[group])
                self.machine.place(stream, Node("other", meta))
                continue
            host, _, port = stream.rpartition(":")
            only = units.last(unit, "Socket.BindIPv6Only", "default") == "ipv6-only"
            address = host.strip("[]") or "::"
            bind = Bind(address, int(port), address == "::" and not only)
            if self._taken(name, bind):
                raise StartFailed("Failed to listen on %s: Address already in use" % stream)
            systemd = (1, "systemd", "/usr/lib/systemd/systemd")
            bound.append(Listener(bind.address, bind.port, *systemd, name, bind.dual))
        self.bound[name] = tuple(bound)
        return "active"

    def _timer(self, name: str, unit: Unit) -> str:
        delays = units.words(unit, "Timer.OnActiveSec")
        if delays:
            self.timers[name] = self.machine.clock + units.seconds(delays[-1])
        return "active"

    # -- time and boot -------------------------------------------------------------------------

    def next_timer(self) -> Optional[Tuple[float, str]]:
        return min(((when, name) for name, when in self.timers.items()), default=None)

    def fire(self, name: str) -> None:
        """A timer comes due: its service is started. It ends, unless it counts from the end of the
        service anew.
        """
        unit = self.unit(name) or {}
        service = units.last(unit, "Timer.Unit", re.sub(r"\.timer$", ".service", name))
        again = units.words(unit, "Timer.OnUnitInactiveSec")
        self.timers.pop(name)
        if not again:
            transient = self.transient.get(service)
            self.stop(name)
            if transient:
                self.transient[service] = transient
        ends = service in self.transient
        self.start(service)
        if ends:
            self.active.pop(service, None)  # --collect
        if again and self.active.get(name) == "active":
            self.timers[name] = self.machine.clock + units.seconds(again[-1])
        else:
            self.transient.pop(service, None)

    def boot(self) -> None:
        """Everything anew, from the files: what is wanted is started, in the order asked for."""
        for unit in tuple(self.paths):
            self._open_paths(unit, ())
        for state in (self.transient, self.active, self.bound, self.inside, self.timers):
            state.clear()
        self.reload_files()
        self._tmpfiles()
        wanted = [os.path.basename(path) for path in units.wanted(self.machine)]
        self.jobs = list(dict.fromkeys(name for name in wanted if self.unit(name)))
        while self.jobs:
            # With a cycle the first goes first, as good as systemd's own choice.
            ready = (each for each in self.jobs if not self._after(each, self.jobs))
            name = next(ready, self.jobs[0])
            self.jobs.remove(name)
            self.start(name)

    def _after(self, name: str, others: Sequence[str]) -> bool:
        """Whether one of the others has to be started first."""
        after = units.words(self.unit(name) or {}, "Unit.After")
        return any(
            other != name
            and (other in after or name in units.words(self.unit(other) or {}, "Unit.Before"))
            for other in others
        )

    def _tmpfiles(self) -> None:
        """tmpfiles.d(5): the lines that make a directory."""
        for name in self.machine.listdir("/etc/tmpfiles.d"):
            for line in self.machine.nodes["/etc/tmpfiles.d/" + name].data.decode().splitlines():
                words = line.split()
                if len(words) >= 5 and words[0] in ("d", "D"):
                    uid, gid = self.machine.users[words[3]], self.machine.groups[words[4]]
                    meta = Meta(int(words[2], 8), uid, gid)
                    self.machine.place(words[1], Node("directory", meta))

    # -- what is asked of it -------------------------------------------------------------------

    def listeners(self, unit: str = "") -> List[Listener]:
        if unit in self.inside:
            return list(self.inside[unit])
        if unit and unit not in self.bound:
            return []
        return [each for sockets in self.bound.values() for each in sockets]

    def states(self) -> Mapping[str, Tuple[str, str]]:
        names = {*self.loaded, *self.active, *self.transient}
        return {
            name: (self.active.get(name, "inactive"), self.enabled(name))
            for name in sorted(names)
            if self.active.get(name, "inactive") != "inactive" or self.enabled(name) == "enabled"
        }

    def systemctl(self, argv: Tuple[str, ...], data: bytes) -> Completed:
        words = [word for word in argv[1:] if not word.startswith("-")]
        if argv[1:] == ("--version",):
            return Completed(argv, 0, b"systemd 252 (252.39-1~deb12u1)\n", b"")
        verb, names = words[0], words[1:]
        if verb == "daemon-reload":
            self.reload_files()
            return Completed(argv, 0, b"", b"")
        if verb in ("show", "is-active", "is-enabled", "list-unit-files"):
            return self._answer(argv, verb, names)
        problems = [problem for name in names for problem in self._do(verb, name) if problem]
        if verb == "disable" and "--now" in argv:
            problems += [problem for problem in map(self.stop, names) if problem]
        return Completed(argv, 1 if problems else 0, b"", "\n".join(problems).encode())

    def _do(self, verb: str, name: str) -> Iterator[str]:
        if verb in ("stop", "restart"):
            known = self.unit(name) is not None
            yield self.stop(name) if known or verb == "stop" else ""
        if verb in ("start", "restart"):
            yield self.start(name)
        elif verb == "reload":
            yield self.reload(name)
        elif verb == "reset-failed":
            if self.active.get(name) == "failed":
                del self.active[name]
        elif verb in ("enable", "disable"):
            yield "" if self.unit(name) is not None else "Unit file %s does not exist." % name
            self.enable(name) if verb == "enable" else self.disable(name)
        elif verb != "stop":
            yield "Unknown command verb %s." % verb

    def _answer(self, argv: Tuple[str, ...], verb: str, names: Sequence[str]) -> Completed:
        if verb == "list-unit-files":
            lines = [name for name in sorted(self.loaded) if self.enabled(name) == "enabled"]
            return Completed(argv, 0, "".join("%s enabled -\n" % x for x in lines).encode(), b"")
        if verb != "show":
            active = verb == "is-active"
            said = [self.active.get(x, "inactive") if active else self.enabled(x) for x in names]
            # One that is will do.
            code = 0 if {"active", "enabled", "static"} & set(said) else 3
            return Completed(argv, code, "".join(word + "\n" for word in said).encode(), b"")
        name = names[-1]
        loaded = "loaded" if self.unit(name) is not None else "not-found"
        each = units.last(self.unit(name) or {}, "Socket.Accept", "no") == "yes"
        fragment = "/run/systemd/transient/" + name if name in self.transient else ""
        values = {
            "Id": name,
            "LoadState": "masked" if units.masked(self.machine, name) else loaded,
            "ActiveState": self.active.get(name, "inactive"),
            "UnitFileState": self.enabled(name),
            "FragmentPath": fragment or units.fragment(self.machine, name),
            "DropInPaths": " ".join(units.drop_ins(self.machine, name)),
            "Triggers": "" if each else re.sub(r"\.(?:socket|timer)$", ".service", name),
        }
        asked = re.findall(r"(?:--property=|-p\0|-p)([^\0]+)", "\0".join(argv))
        wanted = [each for one in asked for each in one.split(",")] or list(values)
        out = "".join("%s=%s\n" % (key, values[key]) for key in wanted if key in values)
        return Completed(argv, 0, out.encode(), b"")

    def systemd_run(self, argv: Tuple[str, ...], data: bytes) -> Completed:
        """systemd-run(1): `--on-active` makes a transient timer and its service; without it the
        service is started at once. `--unit` names them.
        """
        rest = list(argv[1:])
        options: Dict[str, str] = {}
        while rest and rest[0].startswith("-"):
            option = rest.pop(0)
            if option == "--":
                break
            key, _, value = option.partition("=")
            options[key] = value
        name = re.sub(r"\.(?:timer|service)$", "", options.get("--unit", "run-u%d" % len(argv)))
        for kind in ("timer", "service"):
            if self.unit("%s.%s" % (name, kind)) is not None:
                text = "Failed to start transient unit: Unit %s.%s already exists" % (name, kind)
                return Completed(argv, 1, b"", text.encode())
        command = " ".join(rest)
        self.transient[name + ".service"] = {"Service.ExecStart": (command,)}
        started = name + ".service"
        if "--on-active" in options:
            started = name + ".timer"
            self.transient[started] = {"Timer.OnActiveSec": (options["--on-active"],)}
            if "--on-unit-inactive" in options:
                self.transient[started]["Timer.OnUnitInactiveSec"] = (
                    options["--on-unit-inactive"],
                )
        problem = self.start(started)
        if started.endswith(".service"):
            self.transient.pop(started, None)
        return Completed(argv, 1 if problem else 0, b"", problem.encode())


def _everywhere(address: str) -> bool:
    """Whether a host without any interface but loopback has the address."""
    parsed = ipaddress.ip_address(address)
    return parsed.is_unspecified or parsed.is_loopback
