"""proc(5): who listens, and what the processes are that do.

Strategy: text in, values out, below a directory that is usually /proc, so that a recorded tree
reads as a running machine does. One pass over the processes finds who holds which socket and which
network namespaces there are; each namespace is read once. A process that ends meanwhile, or is not
ours to look into, is passed over.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import re
import struct
from dataclasses import dataclass
from typing import Container, Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from mailseal.system.base import Process

ROOT = "/proc"
NAMES = "/run/netns"
"""Where ip-netns(8) gives namespaces a name."""

MAX_TEXT = 64 * 1024 * 1024
MAX_ARGUMENTS = 4096

_DELETED = " (deleted)"
_PIECE = 256 * 1024
_LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_NAMESPACE = re.compile(r"net:\[(\d+)\]")


class Row(NamedTuple):
    """A listening socket in the kernel's table. `uid` is its owner's."""

    address: str
    port: int
    inode: int
    uid: int


@dataclass(frozen=True)
class Found:
    """What one pass over the processes found: socket to processes, oldest first, and network
    namespace (its inode) to its oldest process.
    """

    holders: Mapping[int, Tuple[int, ...]]
    namespaces: Mapping[int, int]


def text(path: str) -> str:
    """A file of /proc; empty where the process ended or is not ours to look into."""
    data = bytearray()
    try:
        with open(path, "rb", buffering=0) as file:
            # In pieces: the kernel makes room for all that is asked for, or refuses.
            for piece in iter(lambda: file.read(_PIECE), b""):
                data += piece
                if len(data) > MAX_TEXT:
                    break
    except OSError:
        return ""
    return data.decode("utf-8", "replace")


def listening(table: str) -> Iterator[Row]:
    """Each listening socket in the text of /proc/net/tcp or tcp6. An IPv4 address mapped into IPv6
    is given as what it is. A line that is not the kernel's is passed over.
    """
    for line in table.splitlines()[1:]:
        words = line.split(None, 10)
        if len(words) < 10 or words[3] != _LISTEN:
            continue
        raw, _, port = words[1].partition(":")
        try:
            row = Row(_address(raw), int(port, 16), int(words[9]), int(words[7]))
        except (ValueError, struct.error):
            continue
        if 0 < row.port < 65536:
            yield row


@functools.lru_cache(maxsize=1024)
def _address(raw: str) -> str:
    """Written as numbers of 32 bits in the byte order of the machine. Raises ValueError."""
    words = (struct.pack("=I", int(raw[at : at + 8], 16)) for at in range(0, len(raw), 8))
    address = ipaddress.ip_address(b"".join(words))
    return str(getattr(address, "ipv4_mapped", None) or address)


def sockets(process: str, root: str = ROOT) -> List[Row]:
    """The listening sockets of the network namespace that a process (number or `self`) is in."""
    tables = (text("%s/%s/net/%s" % (root, process, name)) for name in ("tcp", "tcp6"))
    return [row for table in tables for row in listening(table)]


def namespace(process: str, root: str = ROOT) -> int:
    """The network namespace of a process; 0 where that is not ours to see."""
    try:
        match = _NAMESPACE.fullmatch(os.readlink("%s/%s/ns/net" % (root, process)))
    except OSError:
        return 0
    return int(match.group(1)) if match else 0


def names(directory: str = NAMES) -> Dict[int, str]:
    """Network namespaces that have a name: inode to name."""
    found = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                found[entry.stat().st_ino] = entry.name
    except OSError:
        pass  # there are none, or it went meanwhile
    return found


def processes(root: str = ROOT, wanted: Optional[Container[int]] = None) -> Found:
    """Who holds which socket (of those `wanted`, else all), and which network namespaces there are.
    Of those processes that one may look into.
    """
    holders: Dict[int, Set[Tuple[int, int]]] = {}
    oldest: Dict[int, Tuple[int, int]] = {}
    for name in os.listdir(root):
        if not name.isdigit():
            continue
        age: Optional[Tuple[int, int]] = None
        inside = namespace(name, root)
        if inside:
            age = (started(name, root), int(name))
            oldest[inside] = min(oldest.get(inside, age), age)
        place = "%s/%s/fd/" % (root, name)
        try:
            for number in os.listdir(place):
                target = os.readlink(place + number)
                match = _SOCKET.fullmatch(target) if target.startswith("socket:") else None
                inode = int(match.group(1)) if match else 0
                if inode and (wanted is None or inode in wanted):
                    age = age or (started(name, root), int(name))
                    holders.setdefault(inode, set()).add(age)
        except OSError:
            continue  # it ended, or is not ours to look into
    return Found(
        {inode: tuple(pid for _, pid in sorted(ages)) for inode, ages in holders.items()},
        {inode: pid for inode, (_, pid) in oldest.items()},
    )


def started(pid: str, root: str = ROOT) -> int:
    """When a process started, in clock ticks since boot: field 22 of /proc/PID/stat, counted from
    behind the name, which may hold anything. 0 where it ended.
    """
    fields = text("%s/%s/stat" % (root, pid)).rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else 0


def process(pid: int, user: Mapping[int, str], root: str = ROOT) -> Process:
    """What a process is; empty words where it ended. `user` is number to name."""
    place = "%s/%d" % (root, pid)
    uids = re.search(r"^Uid:\s+\d+\s+(\d+)", text(place + "/status"), re.MULTILINE)
    uid = int(uids.group(1)) if uids else -1
    path = executable(pid, root)
    arguments = text(place + "/cmdline")[:MAX_ARGUMENTS].split("\0")
    return Process(
        pid=pid,
        name=text(place + "/comm").rstrip("\n"),
        executable=path,
        program=_program(place + "/exe", path),
        uid=uid,
        user=user.get(uid, ""),
        cgroup=text(place + "/cgroup"),
        arguments=tuple(arguments[:-1]),
    )


def executable(pid: int, root: str = ROOT) -> str:
    """The path of a process's program; after an upgrade the one it was started from."""
    try:
        path = os.readlink("%s/%d/exe" % (root, pid)) if pid else ""
    except OSError:
        return ""
    return path[: -len(_DELETED)] if path.endswith(_DELETED) else path


def _program(link: str, path: str) -> str:
    """See `Process.program`; `here` where the process may not be looked into."""
    try:
        if os.readlink(link).endswith(_DELETED):
            return "replaced"
        return "here" if os.path.samestat(os.stat(link), os.stat(path)) else "elsewhere"
    except FileNotFoundError:
        return "elsewhere"
    except OSError:
        return "here"


@functools.lru_cache(maxsize=1024)
def unit_of(cgroup: str) -> str:
    """The systemd unit that the text of /proc/PID/cgroup names: the innermost service, socket or
    scope of the hierarchy systemd keeps (cgroup v1: `name=systemd`; v2: the one numbered 0).
    """
    for path in _hierarchies(cgroup):
        for part in reversed(path.split("/")):
            if part.endswith((".service", ".socket", ".scope")):
                return part
    return ""


_CONTAINERS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        # The names that each program gives the cgroups it makes, with systemd and without.
        ("docker", r"/(?:docker-|docker/)([0-9a-f]{12})[0-9a-f]{52}"),
        ("podman", r"/libpod-(?:conmon-)?([0-9a-f]{12})[0-9a-f]{52}"),
        ("kubernetes", r"/(?:cri-containerd-|crio-)([0-9a-f]{12})[0-9a-f]{52}"),
        ("lxc", r"/lxc(?:\.payload)?[./]([^/]+)"),
        ("nspawn", r"/systemd-nspawn@([^/]+)\.service/payload"),
        ("machine", r"/machine-([^/]+)\.scope"),
    )
)


@functools.lru_cache(maxsize=1024)
def container_of(cgroup: str) -> str:
    """The container that the text of /proc/PID/cgroup tells of: `docker 0123456789ab`, `nspawn
    mail`. Empty where it tells of none that we know.
    """
    for path in _hierarchies(cgroup):
        for kind, pattern in _CONTAINERS:
            match = pattern.search(path)
            if match:
                name = re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), match.group(1))
                return "%s %s" % (kind, name)
    return ""


def _hierarchies(cgroup: str) -> Iterator[str]:
    """The paths of a process in systemd's own hierarchy and in the unified one, where there are."""
    paths = {}
    for line in cgroup.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths[controllers if controllers else number] = path
    for hierarchy in ("name=systemd", "0"):
        if hierarchy in paths:
            yield paths[hierarchy]
