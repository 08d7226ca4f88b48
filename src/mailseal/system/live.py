"""The real machine.

Strategy: every change goes by way of a descriptor of the parent directory, so that nobody can swap
the path between two steps, and never follows a link in the last component: what root writes, root
names. A file is complete (bytes, owner, attributes, mode, time) before its rename makes it visible,
and file and directory are synced before the call returns. Reading is bounded and refuses what is
not a regular file, so that a FIFO cannot hang a run. Sockets are read from /proc, which is always
there, in one pass over the processes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import ipaddress
import os
import pwd
import re
import secrets
import selectors
import signal
import stat as modes
import struct
import subprocess
import time
from typing import IO, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, cast

from mailseal.model.host import Listener
from mailseal.system.base import Completed, Meta, Stat
from mailseal.system.units import properties

TEMPORARY = ".mailseal-"
"""How the names of our temporary files begin; one that remains is from an interrupted write."""

_PIECE = 1024 * 1024
MAX_FILE = 64 * 1024 * 1024
MAX_OUTPUT = 4 * 1024 * 1024
# Without these an ordinary user's PATH finds neither stunnel4 nor ip.
PROGRAMS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")
# How long a program that was told to end may take before it is killed: dpkg leaves less behind.
GRACE = 2.0
# How often a program is looked at that closed its output late, or left it open to a daemon.
TICK = 0.05

_LISTEN = "0A"


class LiveSystem:
    """Implements `System`. `env` given to `run` is added to this process's environment."""

    # -- reading -----------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        """The whole file. OSError too for a link (ELOOP), no regular file, more than 64 MiB."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            if not modes.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            data = bytearray()
            # In pieces: for a file of proc(5) the kernel makes room for all that is asked for.
            for piece in iter(lambda: file.read(_PIECE), b""):
                data += piece
                if len(data) > MAX_FILE:
                    raise OSError(errno.EFBIG, "more than %d bytes" % MAX_FILE, path)
        return bytes(data)

    def stat(self, path: str) -> Optional[Stat]:
        try:
            found = os.lstat(path)
            names = _unsupported_is_empty(lambda: os.listxattr(path, follow_symlinks=False))
            xattrs = tuple(
                (name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names)
            )
            target = os.readlink(path) if modes.S_ISLNK(found.st_mode) else ""
        except (FileNotFoundError, NotADirectoryError):
            return None
        meta = Meta(
            modes.S_IMODE(found.st_mode), found.st_uid, found.st_gid, xattrs, found.st_mtime_ns
        )
        return Stat(_kind(found.st_mode), meta, found.st_size, target)

    def listdir(self, path: str) -> Tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(path)))
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def listeners(self, unit: str = "") -> Tuple[Listener, ...]:
        process = properties(self, unit, ("MainPID",)).get("MainPID", "0") if unit else "self"
        if process == "0":
            return ()
        sockets = [
            socket
            for table in ("tcp", "tcp6")
            for socket in listening(_text("/proc/%s/net/%s" % (process, table)))
        ]
        owners = _owners({inode for _, _, inode in sockets})
        v6only = self._v6only() if any(":" in address for address, _, _ in sockets) else {}
        # Where ss is missing, what new sockets get is the best guess there is.
        default = _text("/proc/sys/net/ipv6/bindv6only").strip() != "0"
        # systemd itself holds the sockets of its socket units.
        units = self._socket_units() if 1 in owners.values() else {}
        found = []
        for address, port, inode in sockets:
            pid = owners.get(inode, 0)
            unit = unit_of(_text("/proc/%d/cgroup" % pid)) if pid else ""
            if pid == 1:
                unit = units.get((address, port), unit)
            dual = address == "::" and not v6only.get(inode, default)
            name = _text("/proc/%d/comm" % pid).strip() if pid else ""
            found.append(Listener(address, port, pid, name, _executable(pid), unit, dual))
        return tuple(sorted(found, key=lambda each: (each.port, each.address, each.pid)))

    def _v6only(self) -> Mapping[int, bool]:
        """By inode, whether an IPv6 socket takes IPv6 alone: /proc does not say, ss(8) -e does."""
        out = self.run(["ss", "-H", "-l", "-t", "-n", "-6", "-e"]).out.decode("utf-8", "replace")
        return {
            int(inode): flag == "1"
            for inode, flag in re.findall(r"\bino:(\d+)\b.*\bv6only:([01])", out)
        }

    def _socket_units(self) -> Mapping[Tuple[str, int], str]:
        """Address and port to socket unit, as systemctl lists them."""
        out = self.run(["systemctl", "list-sockets", "--no-legend", "--plain", "--no-pager"]).out
        found = {}
        for line in out.decode("utf-8", "replace").splitlines():
            words = line.split()
            host, colon, port = words[0].rpartition(":") if words else ("", "", "")
            if colon and port.isdigit() and len(words) > 1:
                found[host.strip("[]"), int(port)] = words[1]
        return found

    def ids(self, user: str, group: str) -> Tuple[int, int]:
        return pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid

    def now(self) -> float:
        return time.time()

    def uid(self) -> int:
        return os.geteuid()

    # -- changing ----------------------------------------------------------------------------

    def write(self, path: str, data: bytes, meta: Meta) -> None:
        with _parent(path) as (directory, name):
            temporary = TEMPORARY + secrets.token_hex(8)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
            try:
                try:
                    _write_all(fd, data)
                    _dress(fd, meta)
                    os.fsync(fd)
                finally:
                    os.close(fd)
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=directory)
                raise
            os.fsync(directory)

    def append(self, path: str, data: bytes) -> None:
        """All of `data` or, where the disk is full, nothing of it."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        with _parent(path) as (directory, name):
            try:
                fd = os.open(name, flags, dir_fd=directory)
                created = False
            except FileNotFoundError:
                fd = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
                created = True
            try:
                found = os.fstat(fd)
                if not modes.S_ISREG(found.st_mode):
                    raise OSError(errno.EINVAL, "not a regular file", path)
                try:
                    _write_all(fd, data)
                    os.fsync(fd)
                except BaseException:
                    os.ftruncate(fd, found.st_size)
                    raise
            finally:
                os.close(fd)
            if created:
                os.fsync(directory)

    def mkdir(self, path: str, meta: Meta) -> None:
        # Made in place and closed to others until it is as asked: a rename would silently replace
        # an empty directory of somebody else's.
        with _parent(path) as (directory, name):
            os.mkdir(name, 0o700, dir_fd=directory)
            try:
                fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
                try:
                    _dress(fd, meta)
                    os.fsync(fd)
                finally:
                    os.close(fd)
            except BaseException:
                os.rmdir(name, dir_fd=directory)
                raise
            os.fsync(directory)

    def symlink(self, path: str, target: str) -> None:
        with _parent(path) as (directory, name):
            os.symlink(target, name, dir_fd=directory)
            os.fsync(directory)

    def remove(self, path: str) -> None:
        try:
            with _parent(path) as (directory, name):
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                act = os.rmdir if modes.S_ISDIR(found.st_mode) else os.unlink
                act(name, dir_fd=directory)
                os.fsync(directory)
        except (FileNotFoundError, NotADirectoryError):
            return

    def run(
        self,
        argv: Sequence[str],
        *,
        data: bytes = b"",
        timeout: float = 60.0,
        env: Optional[Mapping[str, str]] = None,
    ) -> Completed:
        """Each of the outputs is bounded; what is beyond is read and dropped. A program that takes
        too long is ended with its process group. 126 where it may not be executed.
        """
        argv = tuple(argv)
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env={**_environment(), **(env or {})},
                bufsize=0,
            )
        except FileNotFoundError:
            return Completed(argv, 127, b"", b"no such program")
        except PermissionError:
            return Completed(argv, 126, b"", b"not allowed to execute it")
        with process:
            try:
                out, err, late = _talk(process, data, timeout)
            except BaseException:
                _end(process)
                raise
            if late:
                _end(process)
                err += b"\nended: took longer than %g s" % timeout
            return Completed(argv, 124 if late else process.returncode, out, err)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    @contextlib.contextmanager
    def lock(self, path: str) -> Iterator[bool]:
        # The file stays: a lock on a file that was removed in between would exclude nobody.
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                # Who holds it: process and time of start, so that no later one of the same number
                # is taken for it.
                os.ftruncate(fd, 0)
                os.pwrite(fd, b"%d %d\n" % (os.getpid(), _started(str(os.getpid()))), 0)
                yield True
        finally:
            os.close(fd)


# ---- files ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _parent(path: str) -> Iterator[Tuple[int, str]]:
    """A descriptor of the directory `path` lies in, and the last component."""
    parent, name = os.path.split(path)
    if not os.path.isabs(path) or name in ("", ".", ".."):
        raise ValueError("not the absolute path of an entry: %r" % path)
    fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd, name
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _dress(fd: int, meta: Meta) -> None:
    """Owner, attributes, mode and time, in the order in which none undoes another: chown(2) clears
    setuid and capabilities, and an inherited ACL would override the mode.
    """
    os.fchown(fd, meta.uid, meta.gid)
    wanted = dict(meta.xattrs)
    for name in _unsupported_is_empty(lambda: os.listxattr(fd)):
        if name not in wanted and name.startswith(("system.posix_acl_", "user.")):
            os.removexattr(fd, name)
    for name, value in wanted.items():
        os.setxattr(fd, name, value)
    os.fchmod(fd, meta.mode)
    if meta.modified_ns is not None:
        os.utime(fd, ns=(meta.modified_ns, meta.modified_ns))


def _unsupported_is_empty(names: Callable[[], List[str]]) -> List[str]:
    try:
        return names()
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return []


def _kind(mode: int) -> str:
    table = ((modes.S_ISREG, "file"), (modes.S_ISDIR, "directory"), (modes.S_ISLNK, "link"))
    return next((kind for test, kind in table if test(mode)), "other")


# ---- programs ------------------------------------------------------------------------------------


def _environment() -> Dict[str, str]:
    """This process's environment, in a locale whose messages we can read."""
    path = [part for part in os.environ.get("PATH", "").split(":") if part]
    path += [part for part in PROGRAMS if part not in path]
    own = {name: value for name, value in os.environ.items() if name != "LANGUAGE"}
    return {**own, "PATH": ":".join(path), "LC_ALL": "C.UTF-8"}


def _talk(
    process: "subprocess.Popen[bytes]", data: bytes, timeout: float
) -> Tuple[bytes, bytes, bool]:
    """Feeds and reads a program to its end; (output, errors, whether it took too long).

    The end of a program is its exit, not the end of its output: a daemon it left behind may hold
    that open for ever.
    """
    stdin = cast("IO[bytes]", process.stdin)
    outputs = (bytearray(), bytearray())
    rest = memoryview(data)
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        os.set_blocking(stdin.fileno(), False)
        selector.register(stdin, selectors.EVENT_WRITE)
        for pipe, kept in zip((process.stdout, process.stderr), outputs):
            selector.register(cast("IO[bytes]", pipe), selectors.EVENT_READ, kept)
        while True:
            ended = process.poll() is not None
            left = deadline - time.monotonic()
            if left <= 0 or (ended and not selector.get_map()):
                return bytes(outputs[0]), bytes(outputs[1]), not ended
            if not selector.get_map():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(left)
                continue
            ready = selector.select(0 if ended else min(TICK, left))
            # After the exit, what is in the pipes is all there is to come.
            if ended and not any(key.data is not None for key, _ in ready):
                return bytes(outputs[0]), bytes(outputs[1]), False
            for key, _ in ready:
                if key.data is None:
                    rest = _feed(stdin, rest)
                    if not rest:
                        selector.unregister(stdin)
                        stdin.close()
                    continue
                chunk = os.read(key.fd, 65536)
                key.data.extend(chunk[: MAX_OUTPUT - len(key.data)])
                if not chunk:
                    selector.unregister(key.fileobj)


def _feed(stdin: IO[bytes], rest: memoryview) -> memoryview:
    """Writes what the pipe takes; what is left, nothing once the program reads no more."""
    try:
        return rest[os.write(stdin.fileno(), rest[:65536]) :]
    except BrokenPipeError:
        return rest[:0]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends the process group: politely, then not."""
    for number, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        if number == signal.SIGTERM:
            # The leader ended; whoever of its group did not is killed all the same.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return


# ---- sockets (proc(5): /proc/net/tcp) ------------------------------------------------------------


def listening(table: str) -> Iterator[Tuple[str, int, int]]:
    """Address, port and inode of each listening socket in the text of /proc/net/tcp or tcp6. An
    IPv4 address mapped into IPv6 is given as what it is.
    """
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 10 or words[3] != _LISTEN:
            continue
        raw, _, port = words[1].partition(":")
        # Written as numbers of 32 bits in the byte order of the machine.
        number = b"".join(
            struct.pack("=I", int(raw[at : at + 8], 16)) for at in range(0, len(raw), 8)
        )
        address = ipaddress.ip_address(number)
        mapped = getattr(address, "ipv4_mapped", None)
        yield str(mapped or address), int(port, 16), int(words[9])


def _owners(inodes: Set[int]) -> Dict[int, int]:
    """Inode to process, of those processes one may look into. Of several that share a socket (a
    daemon and its workers, systemd and a service) the oldest.
    """
    found: Dict[int, Tuple[int, int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        age: Optional[Tuple[int, int]] = None
        try:
            with os.scandir("/proc/%s/fd" % name) as entries:
                for entry in entries:
                    match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry.path))
                    inode = int(match.group(1)) if match else 0
                    if inode in inodes:
                        age = age or (_started(name), int(name))
                        found[inode] = min(found.get(inode, age), age)
        except OSError:
            continue  # it ended, or is not ours to look into
    return {inode: pid for inode, (_, pid) in found.items()}


def _started(pid: str) -> int:
    """When a process started, in clock ticks since boot: field 22 of /proc/PID/stat, counted from
    behind the name, which may hold anything.
    """
    return int(_text("/proc/%s/stat" % pid).rpartition(")")[2].split()[19])


def unit_of(cgroup: str) -> str:
    """The systemd unit that the text of /proc/PID/cgroup names: the innermost service, socket or
    scope of the hierarchy systemd keeps (cgroup v1: `name=systemd`; v2: the one numbered 0).
    """
    paths = {}
    for line in cgroup.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths[controllers if controllers else number] = path
    for hierarchy in ("name=systemd", "0"):
        for part in reversed(paths.get(hierarchy, "").split("/")):
            if part.endswith((".service", ".socket", ".scope")):
                return part
    return ""


def _executable(pid: int) -> str:
    """The path of a process's program; after an upgrade the one it was started from."""
    try:
        return os.readlink("/proc/%d/exe" % pid).replace(" (deleted)", "") if pid else ""
    except OSError:
        return ""


def _text(path: str) -> str:
    """A file of /proc; empty where the process ended or is not ours to look into."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(MAX_FILE)
    except OSError:
        return ""
