"""The state of a host's files as a value: take it twice and compare.

Strategy: walk the host's files from outside, never following a link, and record what a change
that undoes itself must restore.  Times are left out, as are the paths in ``VOLATILE``: they
change on an idle host, so they would say nothing.  Digests are remembered by inode and change
time for all hosts of this process, which share the files of their image: only the first look
at an image reads them all.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

Entry = tuple[str, int, int, int, str, tuple[tuple[str, bytes], ...]]
"""Type, mode, uid, gid, what it holds (``size:sha256``, link target, device number), xattrs."""

VOLATILE = re.compile(
    "|".join(
        (
            r"/var/(log/journal|log/(lastlog|wtmp|btmp)|cache|lib/systemd/(random-seed|timers))",
            r"/var/lib/apt/lists",
            r"/var/tmp/systemd-private-[^/]*",
            r"/(usr|var)/.*/__pycache__",
            # Of systemd's runtime state only what configures it is kept: units and generators.
            r"/run/systemd/(?!(generator[^/]*|system|system\.control|system\.attached|transient)"
            r"(/|$)).*",
            # The unit every command of the lab runs in.
            r"/run/systemd/transient/run-u?[0-9a-fr]+\.service",
        )
    )
    + r"(?:/.*)?"
)
"""Paths left out: journals and log-in records, caches, machine state, runtime state."""
UNSTEADY = frozenset({"/run/systemd/transient"})
"""Folders that come and go by themselves: left out, what is in them is not."""

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}


_digests: dict[tuple[int, int, int, int], str] = {}
_SETTLED_NS = 1_000_000_000
"""A file changed this recently may change again within the same tick of its time stamp."""


def take(root: Path, paths: Sequence[str]) -> dict[str, Entry]:
    """What lies at and below ``paths`` (absolute paths of the host) in ``root``."""
    return {inside: _entry(f"{root}{inside}") for path in paths for inside in _walk(root, path)}


def _entry(path: str) -> Entry:
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    holds = ""
    if kind == stat.S_IFREG:
        holds = f"{status.st_size}:{_digest(path, status)}"
    elif kind == stat.S_IFLNK:
        holds = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        holds = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    names = sorted(os.listxattr(path, follow_symlinks=False))
    xattrs = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
    mode = stat.S_IMODE(status.st_mode)
    return _TYPES[kind], mode, status.st_uid, status.st_gid, holds, xattrs


def _digest(path: str, status: os.stat_result) -> str:
    key = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    known = _digests.get(key)
    if known is not None:
        return known
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - status.st_ctime_ns > _SETTLED_NS:
        _digests[key] = digest
    return digest


def _walk(root: Path, path: str) -> Iterator[str]:
    """``path`` and all below it, depth first in a stable order, volatile paths left out."""
    if VOLATILE.fullmatch(path):
        return
    if path not in UNSTEADY:
        yield path
    if stat.S_ISDIR(os.lstat(f"{root}{path}").st_mode):
        for name in sorted(os.listdir(f"{root}{path}")):
            yield from _walk(root, f"{path}/{name}")
