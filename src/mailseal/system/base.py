"""What may be asked of a machine: the `System` protocol and its values.

Strategy: few, small, durable verbs. Whatever changes a file does it atomically and is on disk
(file and directory synced) when it returns, so that "journal, act" means what it says across a
power loss. Programs are started from argument vectors only, never through a shell, with a bound on
time and output. Expected outcomes of a program (its exit code) are values; a file that cannot be
touched raises OSError, as Python's own calls do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ContextManager, Mapping, Optional, Protocol, Sequence, Tuple

from mailseal.model.host import Listener


@dataclass(frozen=True)
class Completed:
    """A program that ended. `code` is its exit status, 127 where there is no such program, -N where
    signal N ended it, 124 where it was stopped for taking too long.
    """

    argv: Tuple[str, ...]
    code: int
    out: bytes
    err: bytes

    @property
    def ok(self) -> bool:
        """Exit status 0."""
        return self.code == 0

    def words(self) -> str:
        """The program's complaint in one line, for an error message."""
        text = (self.err or self.out).decode("utf-8", "replace").strip()
        line = text.splitlines()[-1][:300] if text else "exit status %d" % self.code
        harmless = "".join(char if char.isprintable() else "?" for char in line)
        return "%s: %s" % (" ".join(self.argv[:3]), harmless)


@dataclass(frozen=True)
class Meta:
    """What a file is besides its bytes. `xattrs` holds name to value (SELinux labels, ACLs)."""

    mode: int
    uid: int
    gid: int
    xattrs: Tuple[Tuple[str, bytes], ...] = ()
    modified_ns: Optional[int] = None
    """Modification time to give the file; None leaves it to the clock."""


@dataclass(frozen=True)
class Stat:
    """An entry of the file system, links not followed. `kind`: file, directory, link or other."""

    kind: str
    meta: Meta
    size: int
    target: str = ""


@dataclass(frozen=True)
class Process:
    """A process. `program` says what the file at `executable` is to it: the one that it runs
    (`here`), gone or another since an upgrade (`replaced`), or not its own at all, as its files are
    a container's (`elsewhere`). `uid` is the effective one, -1 where the process ended. `cgroup` is
    the text of /proc/PID/cgroup. `arguments` are for finding configuration files: they may hold a
    secret, so they are not shown and not kept.
    """

    pid: int
    name: str
    executable: str
    program: str
    uid: int
    user: str
    cgroup: str
    arguments: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Namespace:
    """A network namespace: its inode, its name in /run/netns if it has one, a process in it."""

    inode: int
    name: str
    process: Process


@dataclass(frozen=True)
class Socket:
    """A listening TCP socket. `dual`: of IPv6, and takes IPv4 as well. `uid` and `user` are its
    owner's. `holders` are the processes that have it open, oldest first: none where they are not
    ours to see. `namespace` is None in our own.
    """

    address: str
    port: int
    dual: bool
    inode: int
    uid: int
    user: str
    holders: Tuple[Process, ...]
    namespace: Optional[Namespace] = None


class System(Protocol):
    """A machine. Paths are absolute."""

    # -- reading -----------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        """The whole file. Raises OSError."""
        ...

    def stat(self, path: str) -> Optional[Stat]:
        """None where there is nothing. Raises OSError where one may not look."""
        ...

    def listdir(self, path: str) -> Tuple[str, ...]:
        """Sorted names; empty where there is no such directory."""
        ...

    def listeners(self, unit: str = "") -> Tuple[Listener, ...]:
        """Every listening TCP socket of this network namespace, or of the one that the main process
        of a systemd unit is in (none where it has no such process).
        """
        ...

    def sockets(self) -> Tuple[Socket, ...]:
        """Every listening TCP socket of every network namespace that one may see, with who holds
        it; the host's own namespace first.
        """
        ...

    def ids(self, user: str, group: str) -> Tuple[int, int]:
        """Numbers of a user and a group. Raises LookupError where there is none of that name."""
        ...

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def uid(self) -> int:
        """The effective user id."""
        ...

    # -- changing ----------------------------------------------------------------------------

    def write(self, path: str, data: bytes, meta: Meta) -> None:
        """Creates or replaces a file atomically; on disk when it returns."""
        ...

    def append(self, path: str, data: bytes) -> None:
        """Appends to a file (created 0600); on disk when it returns."""
        ...

    def mkdir(self, path: str, meta: Meta) -> None:
        """Creates one directory. Raises FileExistsError."""
        ...

    def symlink(self, path: str, target: str) -> None:
        """Creates a symbolic link at `path`. Raises FileExistsError."""
        ...

    def remove(self, path: str) -> None:
        """Removes a file, a link or an empty directory; nothing where there is none."""
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        data: bytes = b"",
        timeout: float = 60.0,
        env: Optional[Mapping[str, str]] = None,
    ) -> Completed:
        """Runs a program to its end, `data` on its standard input. Output is bounded (4 MiB)."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits (simulated systems only move their clock)."""
        ...

    def lock(self, path: str) -> ContextManager[bool]:
        """An exclusive advisory lock for the time of the `with`; False where another holds it."""
        ...
