"""What `watch` remembers, as one file: there whole or not at all, whatever happens meanwhile.

Strategy: written beside its place, synchronised, renamed over it, and the folder synchronised: a
kill or a power loss leaves the old state or the new one. Only its owner can read it (0600). A lock
beside it lets one process at a time work with it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping

from mailseal.model import codec
from mailseal.model.watching import WatchState

LIMIT = 256 * 1024 * 1024
"""Octets of a state, at most."""


class StateError(Exception):
    """The state cannot be used. `str()` says why, and what to do."""


class StateInUse(StateError):
    """Another process works with it."""


def path_of(option: str | None, environment: Mapping[str, str]) -> str:
    """The file of `--state`, else mailseal/watch.json in the user's state folder (XDG Base
    Directory Specification 0.8: a relative XDG_STATE_HOME does not count). Raises StateError.
    """
    if option:
        return os.path.abspath(option)
    folder = environment.get("XDG_STATE_HOME", "")
    if not os.path.isabs(folder):
        home = environment.get("HOME") or os.path.expanduser("~")
        if not os.path.isabs(home):
            raise StateError("this user has no home folder: name a file (--state)")
        folder = os.path.join(home, ".local", "state")
    return os.path.join(folder, "mailseal", "watch.json")


@contextlib.contextmanager
def held(path: str) -> Iterator[None]:
    """While it lasts, no other process works with this state. Raises StateError."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path + ".lock", flags, 0o600)
    except OSError as error:
        raise StateError(f"the state {path} cannot be made: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            words = (
                "another `mailseal watch` works with it: end that one, or name another (--state)"
            )
            raise StateInUse(f"the state {path}: {words}") from None
        yield
    finally:
        os.close(descriptor)


def load(path: str) -> WatchState:
    """What was kept; nothing where there is no file. Raises StateError."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(LIMIT + 1)
    except FileNotFoundError:
        return WatchState()
    except OSError as error:
        raise StateError(f"the state {path} cannot be read: {error.strerror}") from None
    try:
        if len(text) > LIMIT:
            raise codec.CodecError("too long")
        return codec.loads(WatchState, text, lenient=True)
    except codec.CodecError as error:
        words = "move it away to begin anew; what is the matter then is told again"
        raise StateError(f"the state {path} is damaged ({error}): {words}") from None


def save(path: str, state: WatchState) -> None:
    """Keeps it. Raises OSError, and then the old one is still there."""
    write_whole(path, codec.dumps(state).encode("ascii"), 0o600)


def write_whole(path: str, content: bytes, mode: int) -> None:
    """Makes or replaces a file, whole or not at all. Raises OSError, also for what is there and is
    no file: a device would be replaced by one.
    """
    folder, name = os.path.split(os.path.abspath(path))
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(errno.EEXIST, "it is there, and is no file", path)
    beside = os.path.join(folder, f".{name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(beside, flags, 0o600)
    try:
        with open(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    there = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(there)
    finally:
        os.close(there)
