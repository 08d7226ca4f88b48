"""The real machine.

Strategy: every change goes by way of a descriptor of the parent directory, so that nobody can swap
the path between two steps, and never follows a link in the last component: what root writes, root
names. A file is complete (bytes, owner, attributes, mode, time) before its rename makes it visible,
and file and directory are synced before the call returns. Reading is bounded and refuses what is
not a regular file, so that a FIFO cannot hang a run. Sockets are read from /proc (`proc`), which is
always there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import pwd
import re
import secrets
import selectors
import signal
import stat as modes
import subprocess
import time
from typing import IO, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, cast

from mailseal.model.host import Listener
from mailseal.system import proc
from mailseal.system.base import Completed, Meta, Namespace, Process, Socket, Stat
from mailseal.system.units import properties, socket_units

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
HOLDERS = 8
"""Processes of one socket that are told: the oldest. A daemon may have a thousand workers."""


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
        rows = proc.sockets(process)
        holders = proc.processes(wanted={row.inode for row in rows}).holders
        v6only = self._v6only(rows)
        units = socket_units(self) if any(held[0] == 1 for held in holders.values()) else {}
        found = []
        for address, port, inode, _ in rows:
            pid = holders.get(inode, (0,))[0]
            unit = proc.unit_of(proc.text("/proc/%d/cgroup" % pid)) if pid else ""
            if pid == 1:
                # systemd itself holds the sockets of its socket units.
                unit = units.get((address, port), unit)
            dual = address == "::" and not v6only.get(inode, True)
            name = proc.text("/proc/%d/comm" % pid).strip() if pid else ""
            found.append(Listener(address, port, pid, name, proc.executable(pid), unit, dual))
        return tuple(sorted(found, key=lambda each: (each.port, each.address, each.pid)))

    def sockets(self) -> Tuple[Socket, ...]:
        """Of another namespace it is found out which sockets take both families only as root."""
        seen = proc.processes()
        own, names = proc.namespace("self"), proc.names()
        users = {each.pw_uid: each.pw_name for each in pwd.getpwall()}
        known: Dict[int, Process] = {}

        def process(pid: int) -> Process:
            if pid not in known:
                known[pid] = proc.process(pid, users)
            return known[pid]

        others = sorted((pid, inode) for inode, pid in seen.namespaces.items() if inode != own)
        found = []
        for pid, inode in [(0, own), *others]:
            rows = sorted(proc.sockets(str(pid or "self")), key=lambda each: each[1::-1])
            space = Namespace(inode, names.get(inode, ""), process(pid)) if pid and rows else None
            v6only = self._v6only(rows, pid)
            for address, port, socket, uid in rows:
                holders = tuple(process(each) for each in seen.holders.get(socket, ())[:HOLDERS])
                dual = address == "::" and not v6only.get(socket, True)
                user = users.get(uid, "")
                found.append(Socket(address, port, dual, socket, uid, user, holders, space))
        return tuple(found)

    def _v6only(self, rows: Sequence[proc.Row], pid: int = 0) -> Mapping[int, bool]:
        """By inode, whether a socket at `::` takes IPv6 alone: /proc does not say, ss(8) -e does.
        `pid`: one that is in the namespace of the sockets, where that is not ours.
        """
        wildcards = [row.inode for row in rows if row.address == "::"]
        if not wildcards:
            return {}
        enter = ("nsenter", "--net=/proc/%d/ns/net" % pid) if pid else ()
        done = self.run([*enter, "ss", "-H", "-l", "-t", "-n", "-6", "-e"])
        out = done.out.decode("utf-8", "replace")
        said = re.findall(r"\bino:(\d+)\b.*\bv6only:([01])", out)
        # Where ss is missing, what new sockets get is the best guess there is.
        default = proc.text("/proc/sys/net/ipv6/bindv6only").strip() != "0"
        return {**dict.fromkeys(wildcards, default), **{int(i): flag == "1" for i, flag in said}}

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
                os.pwrite(fd, b"%d %d\n" % (os.getpid(), proc.started(str(os.getpid()))), 0)
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
