"""Takes the facts of a host: who listens, what is configured, what is installed.

Strategy: ask little and bounded, change nothing. The files are a table of paths and directories,
what the units of the asked ports are made of, and what a daemon there is configured by and says of
its configuration with its own tool. Contents are kept of these alone, never of a
private key. What cannot be read becomes a line in `unread` with the reason, and the facts go on.
"""

from __future__ import annotations

import hashlib
import os.path
import re
from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

from mailseal import daemons
from mailseal.configs import fail2ban
from mailseal.daemons.base import MAX_LINKS, Native
from mailseal.daemons.behind import PATHS
from mailseal.facts import addresses, firewall
from mailseal.facts.scripts import Scripts
from mailseal.model import moment
from mailseal.model.excepted import HOSTS
from mailseal.model.host import AddressFact, FileFact, HostFacts, Listener, UnitFact
from mailseal.system import datagrams, packages, units
from mailseal.system.base import Completed, System
from mailseal.system.reader import Reader

FILES = (
    *("/etc/inetd.conf", "/etc/xinetd.conf", "/etc/services", "/etc/hosts.allow"),
    *("/etc/hosts.deny", "/etc/default/openbsd-inetd", "/etc/default/xinetd"),
    "/etc/nsswitch.conf",
    *(fail2ban.MAIN, fail2ban.LOCAL),
    *firewall.FILES,
)
DIRECTORIES = ("/etc/inetd.d", "/etc/xinetd.d", fail2ban.DIRECTORY)
"""Read with all files in them, not below."""

OURS = "/etc/mailseal"
"""Read with all that is below, to the depth of MAX_DEPTH."""

UNITS = "/etc/systemd/system"
OUR_UNITS = ("mailseal-", "mailseal@")
"""Units of ours in UNITS, with their drop-ins."""

KNOWN_UNITS = (
    *("inetd.service", "openbsd-inetd.service", "inetutils-inetd.service", "xinetd.service"),
    "stunnel4.service",
    "stunnel.target",
    *firewall.UNITS,
)
SCRIPTED = ("mailseal.service", "cron.service", "crond.service")
"""Init scripts that matter where there is no systemd."""
PACKAGES = ("stunnel4", "stunnel", "openbsd-inetd", "inetutils-inetd", "xinetd", "nftables")
TOOLS: Mapping[str, Tuple[str, ...]] = {
    "stunnel4": ("stunnel4", "-version"),
    "stunnel": ("stunnel", "-version"),
    "openssl": ("openssl", "version"),
    "systemctl": ("systemctl", "--version"),
    "python3": ("python3", "--version"),
}

MAX_CONTENT = 1024 * 1024
MAX_ENTRIES = 1000
MAX_DEPTH = 4
SECONDS = 10.0

_LOGGED = re.compile(r"^\d{4}\.\d\d\.\d\d [\d:]+ LOG\d\[[^]]*\]: ")
_PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def gather(system: System, ports: Sequence[int] = (109,), paths: Sequence[str] = ()) -> HostFacts:
    """The facts of a host, for the services on `ports`; `paths` are looked at besides the tables
    above (a certificate, a daemon's own configuration). Never raises for what it may not see.
    """
    return _Gathering(system).facts(ports, paths)


class _Gathering:
    """One gathering; `unread` fills up on the way."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.unread: Dict[str, str] = {}
        self.reader = Reader(system)

    def facts(self, ports: Sequence[int], more: Sequence[str]) -> HostFacts:
        system = self.system
        privileged = system.uid() == 0
        systemd = self._stat_kind("/run/systemd/system") == "directory"
        listeners = self._listeners(ports)
        if not systemd:
            listeners = self._by_scripts(listeners)
        owners = self._with_triggered(
            {each.unit for each in listeners if each.port in ports and each.unit}
        )
        names = (
            sorted({*KNOWN_UNITS, *owners, *self._our_units()})
            if systemd
            else self._scripted(owners)
        )
        paths = [*FILES, *self._below(DIRECTORIES, 1), *self._below((OURS,), MAX_DEPTH)]
        taken = [native.take(self.reader) for native in self._natives(listeners, ports)]
        paths += [
            *more,
            *self._behind(listeners, ports),
            *(HOSTS % port for port in ports),
            *(place for each in taken for path in each.paths for place in self._way(path)),
        ]
        if systemd:
            paths += [*self._unit_files([*owners, *self._instances(owners)])]
            paths += self._our_unit_files()
        else:
            paths += [units.LEVELS[0], *(units.SCRIPTS + units.script(each) for each in names)]
        files = [self._file(path) for path in dict.fromkeys(paths)]
        found = [units.state(system, name) for name in names]
        filters, complaints = firewall.answers(system, found)
        if complaints:
            self.unread["firewall"] = "; ".join(complaints)
        return HostFacts(
            host=self._line("/etc/hostname"),
            machine=self._line("/etc/machine-id"),
            taken=moment.rfc3339(system.now()),
            system=self._pretty_name(),
            privileged=privileged,
            init="systemd" if systemd else "other",
            files=tuple(each for each in files if each),
            listeners=listeners,
            units=tuple(each for each in found if self._answered(each)),
            addresses=self._addresses(),
            packages=packages.known(system, PACKAGES),
            manager=packages.manager_name(system),
            tools=self._tools(),
            firewall=filters,
            unread={**self.reader.unread, **self.unread},
            answers={line: said for each in taken for line, said in each.answers.items()},
            datagrams=self._datagrams(),
        )

    # -- daemons -----------------------------------------------------------------------------

    def _natives(self, listeners: Sequence[Listener], ports: Sequence[int]) -> List[Native]:
        """The daemons on the asked ports that can enforce TLS themselves."""
        programs = dict.fromkeys(each.executable for each in listeners if each.port in ports)
        found = [daemons.of(program) for program in programs]
        return list(dict.fromkeys(each.native for each in found if each and each.native))

    def _behind(self, listeners: Sequence[Listener], ports: Sequence[int]) -> List[str]:
        """What counts for the daemons on the asked ports when a terminator stands before them."""
        found = (daemons.of(each.executable) for each in listeners if each.port in ports)
        return [path for each in found if each for path in PATHS.get(each.name, ())]

    def _way(self, path: str) -> List[str]:
        """A path, and those that its links lead to."""
        way = [path]
        while len(way) <= MAX_LINKS:
            try:
                found = self.system.stat(way[-1])
            except OSError:
                break  # told where the file itself is read
            if not found or found.kind != "link":
                break
            way.append(os.path.normpath(os.path.join(os.path.dirname(way[-1]), found.target)))
        return way

    # -- files -------------------------------------------------------------------------------

    def _file(self, path: str) -> Optional[FileFact]:
        """None where there is nothing, or one may not look."""
        try:
            found = self.system.stat(path)
        except OSError as error:
            self.unread[path] = _reason(error)
            return None
        if not found:
            return None
        data: Optional[bytes] = None
        if found.kind == "file":
            data = self._read(path)
        keep = data is not None and len(data) <= MAX_CONTENT and not _PRIVATE.search(data)
        if data is not None and len(data) > MAX_CONTENT:
            self.unread[path] = "longer than %d bytes" % MAX_CONTENT
        return FileFact(
            path=path,
            kind=found.kind,
            mode=found.meta.mode,
            uid=found.meta.uid,
            gid=found.meta.gid,
            sha256="" if data is None else hashlib.sha256(data).hexdigest(),
            content=data if keep else None,
            target=found.target,
        )

    def _read(self, path: str) -> Optional[bytes]:
        try:
            return self.system.read(path)
        except OSError as error:
            self.unread[path] = _reason(error)
            return None

    def _list(self, path: str) -> Tuple[str, ...]:
        """The names in a directory, as far as one may look."""
        try:
            names = self.system.listdir(path)
        except OSError as error:
            self.unread[path] = _reason(error)
            return ()
        if len(names) > MAX_ENTRIES:
            self.unread[path] = "only the first %d of %d entries" % (MAX_ENTRIES, len(names))
        return names[:MAX_ENTRIES]

    def _stat_kind(self, path: str) -> str:
        try:
            found = self.system.stat(path)
        except OSError as error:
            self.unread[path] = _reason(error)
            return ""
        return found.kind if found else ""

    def _below(self, directories: Sequence[str], depth: int) -> List[str]:
        """The directories that are there, and what is in them, `depth` levels deep."""
        found: List[str] = []
        for directory in directories:
            if self._stat_kind(directory) != "directory":
                continue
            found.append(directory)
            paths = [os.path.join(directory, name) for name in self._list(directory)]
            found += paths
            found += self._below(paths, depth - 1) if depth > 1 else []
        return found[:MAX_ENTRIES]

    def _line(self, path: str) -> str:
        """The first line of a file."""
        lines = (self._read(path) or b"").decode("utf-8", "replace").splitlines()
        return lines[0].strip() if lines else ""

    def _pretty_name(self) -> str:
        """PRETTY_NAME of os-release(5), whose usual place is a link."""
        path = "/etc/os-release"
        if self._stat_kind(path) == "link":
            found = self.system.stat(path)
            path = os.path.normpath(os.path.join("/etc", found.target if found else path))
        text = (self._read(path) or b"").decode("utf-8", "replace")
        match = re.search(r"^PRETTY_NAME=[\"']?(.*?)[\"']?$", text, re.MULTILINE)
        return match.group(1) if match else ""

    # -- units -------------------------------------------------------------------------------

    def _scripted(self, owners: Sequence[str]) -> Sequence[str]:
        """What SysV init may run, by the names that systemd gives to its scripts."""
        known = (each for each in (*KNOWN_UNITS, *SCRIPTED) if each.endswith(".service"))
        names = sorted({*owners, *known})
        if "/run/systemd/system" in self.unread:
            return []
        scripts = self._list(units.SCRIPTS.rstrip("/"))
        return [each for each in names if units.script(each) in scripts]

    def _by_scripts(self, listeners: Sequence[Listener]) -> Tuple[Listener, ...]:
        """With the init scripts that started them in place of units."""
        found = Scripts(self.system, self.reader, self._list(units.SCRIPTS.rstrip("/")))
        return tuple(replace(each, unit=found.unit(each)) for each in listeners)

    def _our_units(self) -> List[str]:
        names = [name for name in self._list(UNITS) if name.startswith(OUR_UNITS)]
        no_unit = (".d", ".wants", ".requires")
        return [name for name in names if not name.endswith(no_unit) and "@." not in name]

    def _our_unit_files(self) -> List[str]:
        names = [name for name in self._list(UNITS) if name.startswith(OUR_UNITS)]
        paths = [os.path.join(UNITS, name) for name in names]
        return [*paths, *self._below([path for path in paths if path.endswith(".d")], 1)]

    def _with_triggered(self, names: Set[str]) -> List[str]:
        """The units, and the services that the sockets among them start. Instances of the moment,
        one for each session, are none of them.
        """
        found = set(names)
        for name in names:
            if name.endswith(".socket"):
                triggered = units.properties(self.system, name, ("Triggers",))
                found |= {each for each in triggered.get("Triggers", "").split() if "@" not in each}
        return sorted(found)

    def _instances(self, names: Sequence[str]) -> List[str]:
        """What the sockets among the units may start for each connection (systemd.socket(5),
        Accept=): an instance, since systemd tells nothing of a template.
        """
        sockets = [name[: -len(".socket")] for name in names if name.endswith(".socket")]
        return [name + "@mailseal.service" for name in sockets if "@" not in name]

    def _unit_files(self, names: Sequence[str]) -> List[str]:
        """The unit file and drop-ins of each unit, and the directory for drop-ins of the host's."""
        found: List[str] = []
        for name in names:
            values = units.properties(self.system, name, ("FragmentPath", "DropInPaths"))
            found += [*" ".join(values.values()).split(), os.path.join(UNITS, name + ".d")]
        return found

    def _answered(self, fact: UnitFact) -> bool:
        if not fact.load:
            self.unread["unit " + fact.name] = "systemctl gave no answer"
        return fact.load not in ("", "not-found")

    # -- network -----------------------------------------------------------------------------

    def _listeners(self, ports: Sequence[int]) -> Tuple[Listener, ...]:
        found = self.system.listeners()
        for each in found:
            if each.port in ports and not each.pid:
                self.unread["listener %s port %d" % (each.address, each.port)] = (
                    "the processes of other users are not visible; run as root"
                )
        return found

    def _datagrams(self) -> Tuple[Listener, ...]:
        try:
            return datagrams.bound(self.system)
        except OSError as error:
            self.unread["UDP sockets"] = _reason(error)
            return ()

    def _addresses(self) -> Tuple[AddressFact, ...]:
        done = self._ask("addresses", addresses.ASK)
        try:
            return addresses.parse(done.out) if done else ()
        except ValueError as error:
            self.unread["addresses"] = str(error)
            return ()

    # -- programs ----------------------------------------------------------------------------

    def _tools(self) -> Mapping[str, str]:
        """The line in which each says its version; those that are not there left out."""
        found = {}
        for name, argv in TOOLS.items():
            done = self._ask(name, argv)
            lines = (done.out or done.err).decode("utf-8", "replace").splitlines() if done else []
            # stunnel says other things first, and may put the time before each line.
            lines = [_LOGGED.sub("", line) for line in lines]
            version = next((line for line in lines if re.search(r"\d", line)), "")
            if version:
                found[name] = version.strip()
        return found

    def _ask(self, what: str, argv: Tuple[str, ...]) -> Optional[Completed]:
        """The answer of a program; None, and told, where it failed; None where there is none."""
        try:
            done = self.system.run(argv, timeout=SECONDS)
        except OSError as error:
            self.unread[what] = _reason(error)
            return None
        if not done.ok and done.code != 127:
            self.unread[what] = done.words()
        return done if done.ok else None


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied; run as root"
    return error.strerror or str(error)
