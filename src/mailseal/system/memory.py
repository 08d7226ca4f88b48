"""A simulated Debian host, to try every crash point of a run in milliseconds.

This is also where it is written down what we assume of a host. The assumptions that matter:

* A `System` verb is atomic and durable: after a kill or a power loss it happened or it did not. A
  killed write may leave its temporary file; a killed append may leave the first half of its bytes.
* What *programs* write (openssl) is not synced: a power loss leaves such files empty, until the
  same bytes are written again through `write`.
* systemd knows units as of the last daemon-reload. Starting a service of Type=simple is success
  even if the daemon dies at once; a taken port makes stunnel fail and inetd skip the entry.
* A reboot drops /run, transient units and every process, then starts what a `*.wants` directory
  names, in the order of After= and Before=.
* The clock moves only when somebody waits (`sleep`, `advance`).

Strategy: the disk is one dict of nodes, the service manager one class, every program a row in a
table that tests may change. Each mutating call passes numbered points, at which `fail` may raise;
whoever was killed stays dead: all that its `finally` blocks still ask for is Killed again, until
the test revives the machine. Links in the middle of a path are not followed.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import ipaddress
import json
import os.path
import re
from dataclasses import dataclass, field, replace
from typing import (
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from mailseal.configs import inetd, stunnel, xinetd
from mailseal.model.host import Listener
from mailseal.system.base import Completed, Meta, Stat
from mailseal.system.packages import GUARD

NOBODY = 65534
BOOT_SECONDS = 30.0


class Killed(BaseException):
    """The process was killed here (SIGKILL). No Exception: nothing may catch it and go on."""


@dataclass(frozen=True)
class Point:
    """A moment in a mutating call: `when` is before, during (write and append alone) or after."""

    number: int
    when: str
    name: str
    args: Tuple[object, ...]


Fault = Callable[[Point], None]


def kill_at(number: int) -> Fault:
    """Kills whoever comes to that point."""

    def fault(point: Point) -> None:
        if point.number == number:
            raise Killed(point)

    return fault


def disk_full_at(number: int) -> Fault:
    """The disk is full from that point on, for those who write."""

    def fault(point: Point) -> None:
        if point.number >= number and point.name in ("write", "append", "mkdir", "symlink"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(point.args[0]))

    return fault


@dataclass(frozen=True)
class Node:
    """An entry of the file system. `durable`: it would survive a power loss."""

    kind: str
    meta: Meta
    data: bytes = b""
    target: str = ""
    durable: bool = True


@dataclass(frozen=True)
class Bind:
    """A TCP socket a daemon wants to listen on."""

    address: str
    port: int
    dual: bool = False


@dataclass(frozen=True)
class Package:
    """What installing brings: files, users (each with a group of its name), units that are enabled
    and, unless policy-rc.d says no, started.
    """

    version: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    users: Tuple[str, ...] = ()
    units: Tuple[str, ...] = ()


Program = Callable[[Tuple[str, ...], bytes], Completed]
Daemon = Callable[[Tuple[str, ...]], Sequence[Bind]]


class StartFailed(Exception):
    """A daemon that ends at once; the text is its complaint."""


_UNIT = "[Unit]\nDescription=%s\n[Service]\nExecStart=%s\nExecReload=/bin/kill -HUP $MAINPID\n"
_WANTED = "[Install]\nWantedBy=multi-user.target\n"

AVAILABLE: Mapping[str, Package] = {
    "stunnel4": Package(
        "3:5.68-2+deb12u1",
        {
            "/usr/bin/stunnel4": b"\x7fELF",
            "/etc/stunnel/README": b"",
            "/lib/systemd/system/stunnel@.service": (
                _UNIT % ("TLS tunnel", "/usr/bin/stunnel4 /etc/stunnel/%i.conf") + _WANTED
            ).encode(),
            "/lib/systemd/system/stunnel.target": (b"[Unit]\n" + _WANTED.encode()),
        },
        ("stunnel4",),
        ("stunnel.target",),
    ),
    "openbsd-inetd": Package(
        "0.20221205-1",
        {
            "/usr/sbin/inetd": b"\x7fELF",
            "/lib/systemd/system/inetd.service": (
                _UNIT % ("inetd", "/usr/sbin/inetd") + _WANTED
            ).encode(),
        },
        (),
        ("inetd.service",),
    ),
    "xinetd": Package(
        "1:2.3.15.3-1+b1",
        {
            "/usr/sbin/xinetd": b"\x7fELF",
            "/etc/xinetd.conf": b"defaults\n{\n}\nincludedir /etc/xinetd.d\n",
            "/lib/systemd/system/xinetd.service": (
                _UNIT % ("xinetd", "/usr/sbin/xinetd -dontfork") + _WANTED
            ).encode(),
        },
        (),
        ("xinetd.service",),
    ),
}

_FILES: Mapping[str, bytes] = {
    "/etc/machine-id": b"0123456789abcdef0123456789abcdef\n",
    "/etc/hostname": b"mail\n",
    "/usr/lib/os-release": b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
    "/etc/services": b"smtp\t25/tcp\npop3\t110/tcp\nimap2\t143/tcp\n",
    "/usr/bin/apt-get": b"\x7fELF",
    "/usr/bin/openssl": b"\x7fELF",
    "/usr/bin/python3": b"\x7fELF",
    "/bin/kill": b"\x7fELF",
}
_DIRECTORIES = (
    *("/etc/systemd/system", "/lib/systemd/system", "/run/systemd/system", "/run/lock"),
    *("/usr/sbin", "/usr/bin", "/var/lib", "/tmp", "/etc/xinetd.d", "/sys/class/net"),
)
# What a fresh /run has; the rest of it goes with the power.
_BOOT_RUN = ("/run", "/run/lock", "/run/systemd", "/run/systemd/system")

_ADDRESSES = (
    ("lo", "127.0.0.1", 8, "host"),
    ("lo", "::1", 128, "host"),
    ("eth0", "192.0.2.10", 24, "global"),
    ("eth0", "2001:db8:1::10", 64, "global"),
)


@dataclass(frozen=True)
class Snapshot:
    """The machine at one moment, comparable: path to kind, metadata and bytes (or target); unit to
    active and enabled, of those that are not at rest; listening address, port, dual and unit.
    """

    files: Mapping[str, Tuple[str, Meta, bytes]]
    units: Mapping[str, Tuple[str, str]]
    listeners: Tuple[Tuple[str, int, bool, str], ...]


class MemorySystem:
    """Implements `System`. For tests to read and to set: `nodes`, `clock`, `user` (the effective
    uid), `users` and `groups`, `addresses` (interface, address, prefix length, scope), `packages`
    (installed name to version), `available`, `apt_error` (what apt-get says instead of working),
    `programs` and `daemons` (by name of the program), `listens` (sockets by name of the unit),
    `on_exec` (called with the argv of a unit that is no daemon we know; gives its exit status),
    `fail`. `points` counts the points passed.
    """

    def __init__(
        self,
        fail: Optional[Fault] = None,
        on_exec: Optional[Callable[[Tuple[str, ...]], int]] = None,
    ) -> None:
        self.fail = fail
        self.on_exec = on_exec
        self.points = 0
        self.dead = False
        self.clock = 1_767_225_600.0
        self.user = 0
        self.users: Dict[str, int] = {"root": 0, "daemon": 1, "mail": 8, "nobody": NOBODY}
        self.groups: Dict[str, int] = {"root": 0, "daemon": 1, "mail": 8, "nogroup": NOBODY}
        self.addresses: Tuple[Tuple[str, str, int, str], ...] = _ADDRESSES
        self.packages: Dict[str, str] = {}
        self.available: Dict[str, Package] = dict(AVAILABLE)
        self.apt_error = ""
        self.listens: Dict[str, Sequence[Bind]] = {}
        self.nodes: Dict[str, Node] = {"/": Node("directory", Meta(0o755, 0, 0))}
        self._held: Set[str] = set()
        for path in _DIRECTORIES:
            self._make_parents(path + "/")
        for path, data in _FILES.items():
            self.put(path, data, 0o755 if data.startswith(b"\x7fELF") else 0o644)
        self.nodes["/etc/os-release"] = Node(
            "link", Meta(0o777, 0, 0), target="../usr/lib/os-release"
        )
        self.daemons: Dict[str, Daemon] = {
            "inetd": self._inetd,
            "xinetd": self._xinetd,
            "stunnel": self._stunnel,
            "stunnel4": self._stunnel,
        }
        self.manager = Manager(self)
        self.programs: Dict[str, Program] = {
            "systemctl": self.manager.systemctl,
            "systemd-run": self.manager.systemd_run,
            "apt-get": self._apt_get,
            "apt-cache": self._apt_cache,
            "dpkg-query": self._dpkg_query,
            "openssl": self._openssl,
            "stunnel": self._stunnel_program,
            "stunnel4": self._stunnel_program,
            "ip": self._ip,
            "python3": self._python,
        }

    # -- for tests ---------------------------------------------------------------------------

    def put(
        self, path: str, data: bytes, mode: int = 0o644, owner: str = "root", group: str = "root"
    ) -> None:
        """A file, parents included, as if it had always been there: passes no point."""
        self._make_parents(path)
        meta = Meta(mode, self.users[owner], self.groups[group], (), int(self.clock * 10**9))
        self.nodes[path] = Node("file", meta, data)

    def install(self, name: str) -> None:
        """A package with its units enabled, as if it had always been there. Nothing starts."""
        package = self.available[name]
        self.packages[name] = package.version
        for path, data in package.files.items():
            self.put(path, data, 0o755 if data.startswith(b"\x7fELF") else 0o644)
        for user in package.users:
            number = 100 + len(self.users)
            self.users[user] = self.groups[user] = number
        self.manager.reload_files()
        for unit in package.units:
            self.manager.enable(unit)

    def revive(self) -> None:
        """Another process comes: what was killed is gone, its locks with it."""
        self.dead = False
        self._held.clear()

    def advance(self, seconds: float) -> None:
        """Time passes; timers that come due fire, in their order."""
        self.revive()
        self._pass(seconds)

    def reboot(self) -> None:
        """An orderly reboot, or a power cut after everything was written back."""
        self.revive()
        self.clock += BOOT_SECONDS
        for path in [each for each in self.nodes if each.startswith("/run/")]:
            if path not in _BOOT_RUN:
                del self.nodes[path]
        self.manager.boot()

    def power_loss(self) -> None:
        """A power cut now: of what was not synced the names are left, and no bytes."""
        for path, node in self.nodes.items():
            if not node.durable:
                self.nodes[path] = replace(node, data=b"")
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

    # -- System: reading ---------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        node = self._node(path)
        if node.kind == "link":
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if node.kind != "file":
            raise OSError(errno.EISDIR, "not a regular file", path)
        self._may(node.meta, 4, path)
        return node.data

    def stat(self, path: str) -> Optional[Stat]:
        self._alive()
        self._search(path)
        node = self.nodes.get(path)
        return Stat(node.kind, node.meta, len(node.data), node.target) if node else None

    def listdir(self, path: str) -> Tuple[str, ...]:
        self._alive()
        node = self.nodes.get(path)
        if not node or node.kind != "directory":
            return ()
        self._search(path)
        self._may(node.meta, 4, path)
        start = path.rstrip("/") + "/"
        below = (each[len(start) :] for each in self.nodes if each.startswith(start))
        return tuple(sorted(name for name in below if name and "/" not in name))

    def listeners(self) -> Tuple[Listener, ...]:
        self._alive()
        found = self.manager.listeners()
        if self.user:
            found = [replace(each, pid=0, process="", executable="", unit="") for each in found]
        return tuple(sorted(found, key=lambda each: (each.port, each.address)))

    def ids(self, user: str, group: str) -> Tuple[int, int]:
        self._alive()
        return self.users[user], self.groups[group]

    def now(self) -> float:
        self._alive()
        return self.clock

    def uid(self) -> int:
        self._alive()
        return self.user

    # -- System: changing --------------------------------------------------------------------

    def write(self, path: str, data: bytes, meta: Meta) -> None:
        temporary = os.path.join(os.path.dirname(path), ".mailseal-%016x" % self.points)
        with self._changing("write", path, data, meta):
            self._parent(path)
            found = self.nodes.get(path)
            if found and found.kind == "directory":
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            self.nodes[temporary] = Node("file", Meta(0o600, self.user, self.user), data)
            try:
                self._point("during", "write", path, data, meta)
            except Exception:
                del self.nodes[temporary]
                raise
            del self.nodes[temporary]
            self.nodes[path] = Node("file", self._timed(meta), data)

    def append(self, path: str, data: bytes) -> None:
        with self._changing("append", path, data):
            self._parent(path)
            node = self.nodes.get(path) or Node("file", Meta(0o600, self.user, self.user))
            if node.kind != "file":
                raise OSError(errno.EINVAL, "not a regular file", path)
            try:
                self._point("during", "append", path, data)
            except Killed:
                self.nodes[path] = replace(node, data=node.data + data[: len(data) // 2])
                raise
            self.nodes[path] = replace(
                node,
                data=node.data + data,
                meta=self._timed(replace(node.meta, modified_ns=None)),
            )

    def mkdir(self, path: str, meta: Meta) -> None:
        with self._changing("mkdir", path, meta):
            self._absent(path)
            self.nodes[path] = Node("directory", meta)

    def symlink(self, path: str, target: str) -> None:
        with self._changing("symlink", path, target):
            self._absent(path)
            self.nodes[path] = Node("link", Meta(0o777, self.user, self.user), target=target)

    def remove(self, path: str) -> None:
        with self._changing("remove", path):
            if path in self.nodes:
                if self.listdir(path):
                    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
                del self.nodes[path]

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

    @contextlib.contextmanager
    def lock(self, path: str) -> Iterator[bool]:
        self._alive()
        self._parent(path)
        if path not in self.nodes:
            self.nodes[path] = Node("file", self._timed(Meta(0o600, self.user, self.user)))
        if path in self._held:
            yield False
            return
        self._held.add(path)
        try:
            yield True
        finally:
            self._held.discard(path)

    # -- the file system ---------------------------------------------------------------------

    def _alive(self) -> None:
        if self.dead:
            raise Killed("this process was killed; only another one can go on (revive, reboot)")

    def _point(self, when: str, name: str, *args: object) -> None:
        point = Point(self.points, when, name, args)
        self.points += 1
        try:
            if self.fail:
                self.fail(point)
        except Killed:
            self.dead = True
            raise

    @contextlib.contextmanager
    def _changing(self, name: str, *args: object) -> Iterator[None]:
        self._alive()
        if self.user:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(args[0]))
        self._point("before", name, *args)
        yield
        self._point("after", name, *args)

    def _node(self, path: str) -> Node:
        self._alive()
        self._search(path)
        if path not in self.nodes:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self.nodes[path]

    def _parent(self, path: str) -> None:
        parent = self._node(os.path.dirname(path))
        if parent.kind != "directory":
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)

    def _absent(self, path: str) -> None:
        self._parent(path)
        if path in self.nodes:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)

    def _search(self, path: str) -> None:
        """Every directory on the way must let one through."""
        parent = os.path.dirname(path)
        while self.user and parent != "/":
            if parent in self.nodes:
                self._may(self.nodes[parent].meta, 1, path)
            parent = os.path.dirname(parent)

    def _may(self, meta: Meta, right: int, path: str) -> None:
        shift = 6 if meta.uid == self.user else 0
        if self.user and not (meta.mode >> shift) & right:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def _timed(self, meta: Meta) -> Meta:
        if meta.modified_ns is not None:
            return meta
        return replace(meta, modified_ns=int(self.clock * 10**9))

    def _make_parents(self, path: str) -> None:
        parent = os.path.dirname(path)
        if parent not in self.nodes:
            self._make_parents(parent)
            self.nodes[parent] = Node("directory", Meta(0o755, 0, 0))

    def _pass(self, seconds: float) -> None:
        end = self.clock + seconds
        while True:
            due = self.manager.next_timer()
            if not due or due[0] > end:
                break
            self.clock = max(self.clock, due[0])
            self.manager.fire(due[1])
        self.clock = max(self.clock, end)

    # -- daemons: what they would listen on ----------------------------------------------------

    def _config(self, path: str) -> bytes:
        node = self.nodes.get(path)
        if not node or node.kind != "file":
            raise StartFailed("%s: no such file" % path)
        return node.data

    def _services(self) -> Mapping[str, int]:
        return inetd.parse_services(self._config("/etc/services"))

    def _inetd(self, argv: Tuple[str, ...]) -> Sequence[Bind]:
        """After openbsd-inetd: `tcp` is IPv4, tcp6 is IPv6 alone."""
        files = [word for word in argv[1:] if word.startswith("/")]
        document = inetd.parse(self._config(files[0] if files else "/etc/inetd.conf"))
        found = []
        for entry in document.entries:
            port = inetd.port(entry, self._services())
            if entry.type != "stream" or entry.transport != "tcp" or port is None:
                continue
            every = "::" if entry.protocol == "tcp6" else "0.0.0.0"
            for address in entry.addresses:
                found.append(Bind(every if address in ("*", "") else address, port))
        return found

    def _xinetd(self, argv: Tuple[str, ...]) -> Sequence[Bind]:
        main = xinetd.parse(self._config("/etc/xinetd.conf"))
        documents = [main]
        for directive in main.directives:
            path = directive.path.text
            names = filter(xinetd.includedir_reads, self.listdir(path))
            inside = directive.kind == "includedir"
            paths = [os.path.join(path, name) for name in names] if inside else [path]
            documents += [xinetd.parse(self._config(each)) for each in paths]
        found = []
        for service in (each for document in documents for each in document.services):
            own = xinetd.effective(service, main.defaults)
            port = xinetd.port(service, self._services())
            if not xinetd.is_enabled(service, main.defaults) or port is None:
                continue
            if own.get("socket_type", ("stream",))[0] != "stream":
                continue
            six = "IPv6" in own.get("flags", ())
            address = own.get("bind", ("::" if six else "0.0.0.0",))[0]
            found.append(Bind(address, port, address == "::"))
        return found

    def _stunnel(self, argv: Tuple[str, ...]) -> Sequence[Bind]:
        """Certificate and key must be there and hold something; nothing else is checked."""
        document = stunnel.parse(self._config(argv[-1]))
        if document.malformed:
            raise StartFailed("Configuration failed: %s" % document.malformed[0].reason)
        found = []
        for service in document.services:
            options = stunnel.effective(document, service)
            for key in ("cert", "key"):
                for option in options.get(key, ())[-1:]:
                    if not self._config(option.value.text):
                        raise StartFailed("%s: no PEM in it" % option.value.text)
            for option in options.get("accept", ()):
                where = stunnel.parse_address(option.value.text)
                if isinstance(where, stunnel.HostPort):
                    address = where.host or "0.0.0.0"
                    port = where.port(self._services())
                    if port is None:
                        raise StartFailed("%s: unknown service" % where.service)
                    found.append(Bind(address, port, address == "::"))
        return found

    # -- programs ------------------------------------------------------------------------------

    def _stunnel_program(self, argv: Tuple[str, ...], data: bytes) -> Completed:
        if "/usr/bin/stunnel4" not in self.nodes:
            return Completed(argv, 127, b"", b"no such program")
        if argv[1:] in (("-version",), ("-options",)):
            return Completed(argv, 0, b"", b"stunnel 5.68 on x86_64-pc-linux-gnu platform\n")
        try:
            self._stunnel(argv)
        except StartFailed as failed:
            return Completed(argv, 1, b"", str(failed).encode())
        return Completed(argv, 0, b"", b"")

    def _openssl(self, argv: Tuple[str, ...], data: bytes) -> Completed:
        """Each -out and -keyout gets PEM of the kind one expects there; a key closed to others."""
        if argv[1:2] == ("version",):
            return Completed(argv, 0, b"OpenSSL 3.0.17 1 Jul 2025\n", b"")
        request = argv[1] == "req" and "-x509" not in argv
        kinds = {"genpkey": "PRIVATE KEY", "ecparam": "EC PRIVATE KEY", "pkey": "PUBLIC KEY"}
        usual = "CERTIFICATE REQUEST" if request else kinds.get(argv[1], "CERTIFICATE")
        written = 0
        for option, label in (("-keyout", "PRIVATE KEY"), ("-out", usual)):
            if option not in argv[:-1]:
                continue
            path = argv[argv.index(option) + 1]
            if self.nodes.get(os.path.dirname(path), Node("", Meta(0, 0, 0))).kind != "directory":
                return Completed(argv, 1, b"", b"Can't open %s for writing" % path.encode())
            mode = 0o600 if label.endswith("PRIVATE KEY") else 0o644
            meta = self._timed(Meta(mode, self.user, self.user))
            self.nodes[path] = Node("file", meta, _pem(label, argv), durable=False)
            written += 1
        return Completed(argv, 0, b"" if written else _pem(usual, argv), b"")

    def _apt_get(self, argv: Tuple[str, ...], data: bytes) -> Completed:
        name = argv[-1]
        if self.apt_error:
            return Completed(argv, 100, b"", self.apt_error.encode())
        if "install" not in argv or name in self.packages:
            return Completed(argv, 0, b"", b"")
        if name not in self.available:
            return Completed(argv, 100, b"", b"E: Unable to locate package %s" % name.encode())
        self.install(name)
        guard = self.nodes.get(GUARD)
        if not guard or b"exit 101" not in guard.data:
            for unit in self.available[name].units:
                self.manager.start(unit)
        return Completed(argv, 0, b"Setting up %s\n" % name.encode(), b"")

    def _apt_cache(self, argv: Tuple[str, ...], data: bytes) -> Completed:
        out = ""
        for name in argv[2:]:
            if name in self.available:
                version = self.packages.get(name, "(none)")
                out += "%s:\n  Installed: %s\n  Candidate: %s\n  Version table:\n" % (
                    *(name, version),
                    self.available[name].version,
                )
        return Completed(argv, 0, out.encode(), b"")

    def _dpkg_query(self, argv: Tuple[str, ...], data: bytes) -> Completed:
        version = self.packages.get(argv[-1])
        if version is None:
            return Completed(argv, 1, b"", b"dpkg-query: no packages found\n")
        return Completed(argv, 0, b"installed %s\n" % version.encode(), b"")

    def _ip(self, argv: Tuple[str, ...], data: bytes) -> Completed:
        """ip(8): the addresses as JSON; namespaces and interfaces as names with nothing in them."""
        if "-j" in argv:
            return Completed(argv, 0, self._ip_json(argv).encode(), b"")
        words = [word for word in argv[1:] if not word.startswith("-")]
        where = {"netns": "/run/netns/", "link": "/sys/class/net/"}.get(words[0])
        if where and words[1] == "add":
            self._make_parents(where + words[2])
            self.nodes[where + words[2]] = Node("directory", Meta(0o755, 0, 0))
        elif where and words[1] == "delete" and not self.nodes.pop(where + words[2], None):
            return Completed(argv, 1, b"", b"Cannot find %s" % words[2].encode())
        return Completed(argv, 0, b"", b"")

    def _ip_json(self, argv: Tuple[str, ...]) -> str:
        if "link" in argv:
            return json.dumps([{"ifname": name} for name in self.listdir("/sys/class/net")])
        if not {"addr", "address"} & set(argv):
            return "[]"
        interfaces: Dict[str, List[Dict[str, object]]] = {}
        for name, address, length, scope in self.addresses:
            family = "inet6" if ":" in address else "inet"
            if {"inet": "-6", "inet6": "-4"}[family] not in argv:
                interfaces.setdefault(name, []).append(
                    {"family": family, "local": address, "prefixlen": length, "scope": scope}
                )
        return json.dumps([{"ifname": name, "addr_info": own} for name, own in interfaces.items()])

    def _python(self, argv: Tuple[str, ...], data: bytes) -> Completed:
        if argv[1:2] in (("--version",), ("-V",)):
            return Completed(argv, 0, b"Python 3.11.2\n", b"")
        return Completed(argv, self.on_exec(argv) if self.on_exec else 0, b"", b"")


def changes(argv: Sequence[str]) -> bool:
    """Whether a program's call may change the machine (if in doubt, yes)."""
    name, words = os.path.basename(argv[0]), set(argv[1:])
    answers = {
        "systemctl": {"show", "is-active", "is-enabled", "list-unit-files", "--version", "cat"},
        "openssl": {"version", "verify"},
        "stunnel": {"-version", "-options"},
        "stunnel4": {"-version", "-options"},
        "python3": {"--version", "-V"},
        "ip": {"-j"},
        "nft": {"list"},
    }
    return name not in ("apt-cache", "dpkg-query") and not words & answers.get(name, set())


def _pem(label: str, argv: Tuple[str, ...]) -> bytes:
    """The same for the same call, so that runs can be compared."""
    body = base64.b64encode(hashlib.sha256("\0".join((label, *argv)).encode()).digest())
    return b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (label.encode(), body, label.encode())


# ---- the service manager -------------------------------------------------------------------------

UNIT_DIRECTORIES = ("/etc/systemd/system", "/run/systemd/system", "/lib/systemd/system")

Unit = Mapping[str, Tuple[str, ...]]
"""`Section.Key` to its values; assignments add up, an empty one forgets those before."""

# systemd.time(7), as far as anybody writes it.
_SECONDS: Mapping[str, float] = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}


@dataclass
class Manager:
    """systemd. `loaded` are the unit files as of the last daemon-reload, `transient` the units that
    systemd-run made; `active` is unit to active, failed or (not named) inactive.
    """

    machine: MemorySystem
    loaded: Dict[str, Unit] = field(default_factory=dict)
    transient: Dict[str, Dict[str, Tuple[str, ...]]] = field(default_factory=dict)
    active: Dict[str, str] = field(default_factory=dict)
    bound: Dict[str, Tuple[Listener, ...]] = field(default_factory=dict)
    timers: Dict[str, float] = field(default_factory=dict)
    jobs: List[str] = field(default_factory=list)
    last_pid: int = 400

    # -- unit files ----------------------------------------------------------------------------

    def reload_files(self) -> None:
        """daemon-reload: what is loaded is what the files say now."""
        names = {
            name
            for directory in UNIT_DIRECTORIES
            for name in self.machine.listdir(directory)
            if "." in name and self.machine.nodes[directory + "/" + name].kind != "directory"
        }
        self.loaded = {name: self._parse(name) for name in names}

    def fragment(self, name: str) -> str:
        """The file of a unit (of a template's, for an instance); empty where there is none."""
        template = re.sub(r"@.*\.", "@.", name)
        for own in (name, template):
            for directory in UNIT_DIRECTORIES:
                if directory + "/" + own in self.machine.nodes:
                    return directory + "/" + own
        return ""

    def drop_ins(self, name: str) -> Tuple[str, ...]:
        return tuple(
            "%s/%s.d/%s" % (directory, name, each)
            for directory in UNIT_DIRECTORIES
            for each in self.machine.listdir("%s/%s.d" % (directory, name))
            if each.endswith(".conf")
        )

    def _parse(self, name: str) -> Unit:
        found: Dict[str, Tuple[str, ...]] = {}
        for path in (self.fragment(name), *self.drop_ins(name)):
            section = ""
            for line in self.machine.nodes[path].data.decode().splitlines():
                key, equals, value = line.strip().partition("=")
                if key.startswith("["):
                    section = key.strip("[]")
                elif equals and not key.startswith(("#", ";")):
                    known = found.get(section + "." + key, ()) if value else ()
                    found[section + "." + key] = (*known, *((value,) if value else ()))
        return found

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

    def masked(self, name: str) -> bool:
        node = self.machine.nodes.get("/etc/systemd/system/" + name)
        return node is not None and node.kind == "link" and node.target == "/dev/null"

    def enabled(self, name: str) -> str:
        """UnitFileState."""
        unit = self.unit(name)
        if self.masked(name):
            return "masked"
        if unit is None:
            return ""
        if name in self.transient:
            return "transient"
        if any(path.endswith("/" + name) for path in self._wanted()):
            return "enabled"
        return "disabled" if unit.get("Install.WantedBy") else "static"

    def _wanted(self) -> Tuple[str, ...]:
        """The links by which units are started at boot."""
        pattern = re.compile(r"/etc/systemd/system/[^/]+\.(?:wants|requires)/[^/]+")
        return tuple(sorted(path for path in self.machine.nodes if pattern.fullmatch(path)))

    def enable(self, name: str) -> None:
        for target in (self.unit(name) or {}).get("Install.WantedBy", ()):
            path = "/etc/systemd/system/%s.wants/%s" % (target, name)
            self.machine._make_parents(path)
            self.machine.nodes[path] = Node("link", Meta(0o777, 0, 0), target=self.fragment(name))

    def disable(self, name: str) -> None:
        for path in self._wanted():
            if path.endswith("/" + name):
                del self.machine.nodes[path]

    # -- starting and stopping -----------------------------------------------------------------

    def start(self, name: str) -> str:
        """Starts a unit with what it requires and wants; the complaint, empty where all is well."""
        unit = self.unit(name)
        if self.masked(name) or unit is None:
            return "Unit %s %s." % (name, "is masked" if self.masked(name) else "not found")
        if self.active.get(name) == "active" or not self._conditions(unit):
            return ""
        for key in ("Requires", "Wants"):
            for other in _words(unit, "Unit." + key):
                if self.unit(other) and self.start(other) and key == "Requires":
                    return "A dependency job for %s failed." % name
        kind = name.rpartition(".")[2]
        try:
            starter = self._starters().get(kind)  # a target is no more than a name
            self.active[name] = starter(name, unit) if starter else "active"
        except StartFailed as failed:
            self.active[name] = "failed"
            # The process of a simple service was made; that it ended is not the start's business.
            simple = kind == "service" and _last(unit, "Service.Type", "simple") == "simple"
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
            if other != name and name in _words(self.unit(other) or {}, "Unit.Requires"):
                self.stop(other)
        self.active.pop(name, None)
        self.bound.pop(name, None)
        self.timers.pop(name, None)
        if self.transient.pop(name, None) and name.endswith(".timer"):
            self.transient.pop(name[: -len("timer")] + "service", None)
        for directory in _words(unit, "Service.RuntimeDirectory"):
            self._drop("/run/" + directory)
        if _last(unit, "Socket.RemoveOnStop", "no") == "yes":
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
        uid = self.machine.users.get(_last(unit, "Service.User", "root"), 0)
        gid = self.machine.groups.get(_last(unit, "Service.Group", "root"), uid)
        for directory in _words(unit, "Service.RuntimeDirectory"):
            mode = int(_last(unit, "Service.RuntimeDirectoryMode", "0755"), 8)
            self.machine._make_parents("/run/" + directory)
            self.machine.nodes["/run/" + directory] = Node("directory", Meta(mode, uid, gid))
        argv = _argv(unit)
        if argv and argv[0] not in self.machine.nodes:
            raise StartFailed("%s: no such program (203/EXEC)" % argv[0])
        if name in self.machine.listens or _program(argv) in self.machine.daemons:
            self._bind(name, unit)
            return "active"
        # No daemon we know: a program that runs to its end.
        status = self.machine.on_exec(argv) if self.machine.on_exec else 0
        # One that was killed is started again where its unit says so, and not for ever.
        for _ in range(4 if _last(unit, "Service.Restart", "no") == "on-abnormal" else 0):
            if status > 128 and self.machine.on_exec:
                status = self.machine.on_exec(argv)
        if status:
            raise StartFailed("exit status %d" % status)
        if _last(unit, "Service.Type", "simple") != "oneshot" and name not in self.transient:
            return "active"
        return "active" if _last(unit, "Service.RemainAfterExit", "no") == "yes" else "inactive"

    def _bind(self, name: str, unit: Unit) -> None:
        """The sockets of a daemon; of inetd those that are free, of others all or none."""
        argv = _argv(unit)
        program = _program(argv)
        wanted = self.machine.listens.get(name)
        if wanted is None:
            wanted = self.machine.daemons[program](argv)
        self.last_pid += 1
        bound = []
        for bind in wanted:
            if not self._taken(name, bind):
                process = (self.last_pid, program[:15], argv[0], name)
                bound.append(Listener(bind.address, bind.port, *process, bind.dual))
            elif program not in ("inetd", "xinetd"):
                raise StartFailed("bind %s:%d: Address already in use" % (bind.address, bind.port))
        self.bound[name] = tuple(bound)

    def _taken(self, name: str, bind: Bind) -> bool:
        return any(
            other.port == bind.port and _overlap(bind, Bind(other.address, other.port, other.dual))
            for unit, sockets in self.bound.items()
            for other in sockets
            if unit != name
        )

    def _socket(self, name: str, unit: Unit) -> str:
        """systemd.socket(5): a bare port is every address of both families."""
        bound = []
        for stream in unit.get("Socket.ListenStream", ()):
            if stream.startswith("/"):
                user = self.machine.users[_last(unit, "Socket.SocketUser", "root")]
                group = _last(unit, "Socket.SocketGroup", "root")
                if group not in self.machine.groups:
                    raise StartFailed("no group %s" % group)
                mode = int(_last(unit, "Socket.SocketMode", "0666"), 8)
                meta = Meta(mode, user, self.machine.groups[group])
                self.machine._make_parents(stream)
                self.machine.nodes[stream] = Node("other", meta)
                continue
            host, _, port = stream.rpartition(":")
            only = _last(unit, "Socket.BindIPv6Only", "default") == "ipv6-only"
            address = host.strip("[]") or "::"
            bind = Bind(address, int(port), address == "::" and not only)
            if self._taken(name, bind):
                raise StartFailed("Failed to listen on %s: Address already in use" % stream)
            systemd = (1, "systemd", "/usr/lib/systemd/systemd")
            bound.append(Listener(bind.address, bind.port, *systemd, name, bind.dual))
        self.bound[name] = tuple(bound)
        return "active"

    def _timer(self, name: str, unit: Unit) -> str:
        delays = _words(unit, "Timer.OnActiveSec")
        if delays:
            self.timers[name] = self.machine.clock + seconds(delays[-1])
        return "active"

    def _drop(self, directory: str) -> None:
        for path in [each for each in self.machine.nodes if each.startswith(directory + "/")]:
            del self.machine.nodes[path]
        self.machine.nodes.pop(directory, None)

    # -- time and boot -------------------------------------------------------------------------

    def next_timer(self) -> Optional[Tuple[float, str]]:
        return min(((when, name) for name, when in self.timers.items()), default=None)

    def fire(self, name: str) -> None:
        """A timer comes due: its service is started. It ends, unless it counts from the end of the
        service anew.
        """
        unit = self.unit(name) or {}
        service = _last(unit, "Timer.Unit", re.sub(r"\.timer$", ".service", name))
        again = _words(unit, "Timer.OnUnitInactiveSec")
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
            self.timers[name] = self.machine.clock + seconds(again[-1])
        else:
            self.transient.pop(service, None)

    def boot(self) -> None:
        """Everything anew, from the files: what is wanted is started, in the order asked for."""
        for state in (self.transient, self.active, self.bound, self.timers):
            state.clear()
        self.reload_files()
        self._tmpfiles()
        wanted = [os.path.basename(path) for path in self._wanted()]
        self.jobs = list(dict.fromkeys(name for name in wanted if self.unit(name)))
        while self.jobs:
            # With a cycle the first goes first, as good as systemd's own choice.
            ready = (each for each in self.jobs if not self._after(each, self.jobs))
            name = next(ready, self.jobs[0])
            self.jobs.remove(name)
            self.start(name)

    def _after(self, name: str, others: Sequence[str]) -> bool:
        """Whether one of the others has to be started first."""
        after = _words(self.unit(name) or {}, "Unit.After")
        return any(
            other != name
            and (other in after or name in _words(self.unit(other) or {}, "Unit.Before"))
            for other in others
        )

    def _tmpfiles(self) -> None:
        """tmpfiles.d(5): the lines that make a directory."""
        for name in self.machine.listdir("/etc/tmpfiles.d"):
            for line in self.machine.nodes["/etc/tmpfiles.d/" + name].data.decode().splitlines():
                words = line.split()
                if len(words) >= 5 and words[0] in ("d", "D"):
                    uid, gid = self.machine.users[words[3]], self.machine.groups[words[4]]
                    self.machine._make_parents(words[1])
                    self.machine.nodes[words[1]] = Node(
                        "directory", Meta(int(words[2], 8), uid, gid)
                    )

    # -- what is asked of it -------------------------------------------------------------------

    def listeners(self) -> List[Listener]:
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
        fragment = "/run/systemd/transient/" + name if name in self.transient else ""
        values = {
            "Id": name,
            "LoadState": "masked" if self.masked(name) else loaded,
            "ActiveState": self.active.get(name, "inactive"),
            "UnitFileState": self.enabled(name),
            "FragmentPath": fragment or self.fragment(name),
            "DropInPaths": " ".join(self.drop_ins(name)),
            "Triggers": re.sub(r"\.(?:socket|timer)$", ".service", name),
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


def seconds(text: str) -> float:
    """A time span of one unit: `300`, `90s`, `5min`. Raises KeyError or ValueError for others."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    return float(number) * _SECONDS[text[len(number) :].strip()]


def _words(unit: Unit, key: str) -> List[str]:
    return [word for value in unit.get(key, ()) for word in value.split()]


def _last(unit: Unit, key: str, default: str) -> str:
    return (unit.get(key) or (default,))[-1]


def _argv(unit: Unit) -> Tuple[str, ...]:
    return tuple(_last(unit, "Service.ExecStart", "").lstrip("-+!@:").split())


def _program(argv: Tuple[str, ...]) -> str:
    return os.path.basename(argv[0]) if argv else ""


def _overlap(one: Bind, other: Bind) -> bool:
    """Whether Linux lets only one of two sockets of a port listen: where their addresses meet."""
    for wide, narrow in ((one, other), (other, one)):
        versions = {ipaddress.ip_address(each.address).version for each in (wide, narrow)}
        if wide.address == narrow.address or (wide.address == "::" and wide.dual):
            return True
        if wide.address in ("0.0.0.0", "::") and len(versions) == 1:
            return True
    return False
