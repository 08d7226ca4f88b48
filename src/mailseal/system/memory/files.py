"""The tree of files, its rights and its durability, and the points at which a change may die.

Strategy: one dict of path to node; every mutating verb passes numbered points, at which `fail` may
raise. Whoever was killed stays dead: all that its `finally` blocks still ask for is Killed again,
until the test revives the machine. Links in the middle of a path are not followed.
"""

from __future__ import annotations

import contextlib
import errno
import os.path
from dataclasses import dataclass, replace
from typing import Dict, Iterator, Mapping, Optional, Set, Tuple

from mailseal.system.base import Meta, Stat
from mailseal.system.memory.faults import Fault, Killed, Point


@dataclass(frozen=True)
class Node:
    """An entry of the file system. `durable`: it would survive a power loss."""

    kind: str
    meta: Meta
    data: bytes = b""
    target: str = ""
    durable: bool = True


DIRECTORY = Node("directory", Meta(0o755, 0, 0))


class Disk:
    """The file verbs of `System`. For tests to read and to set: `nodes`, `clock` (seconds since the
    epoch), `user` (the effective uid), `users` and `groups` (name to number), `fail`. `points`
    counts the points passed.
    """

    def __init__(
        self, users: Mapping[str, int], groups: Mapping[str, int], fail: Optional[Fault] = None
    ) -> None:
        self.fail = fail
        self.points = 0
        self.dead = False
        self.clock = 1_767_225_600.0
        self.user = 0
        self.users = dict(users)
        self.groups = dict(groups)
        self.nodes: Dict[str, Node] = {"/": DIRECTORY}
        self._held: Set[str] = set()

    # -- without a point: as if it had always been so ------------------------------------------

    def put(
        self, path: str, data: bytes, mode: int = 0o644, owner: str = "root", group: str = "root"
    ) -> None:
        """A file, parents included."""
        meta = Meta(mode, self.users[owner], self.groups[group], (), int(self.clock * 10**9))
        self.place(path, Node("file", meta, data))

    def place(self, path: str, node: Node) -> None:
        """An entry of any kind, parents included."""
        parent = os.path.dirname(path)
        if parent not in self.nodes:
            self.place(parent, DIRECTORY)
        self.nodes[path] = node

    def drop(self, directory: str) -> None:
        """A directory goes, with all that is in it."""
        for path in [each for each in self.nodes if each.startswith(directory + "/")]:
            del self.nodes[path]
        self.nodes.pop(directory, None)

    def timed(self, meta: Meta) -> Meta:
        """With the time of modification that the clock gives, where none is asked for."""
        if meta.modified_ns is not None:
            return meta
        return replace(meta, modified_ns=int(self.clock * 10**9))

    def lose_unsynced(self) -> None:
        """The power fails: of what was not synced the names are left, and no bytes."""
        for path, node in self.nodes.items():
            if not node.durable:
                self.nodes[path] = replace(node, data=b"")

    def revive(self) -> None:
        """Another process comes: what was killed is gone, its locks with it."""
        self.dead = False
        self._held.clear()

    # -- System: reading -----------------------------------------------------------------------

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

    # -- System: changing ----------------------------------------------------------------------

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
            self.nodes[path] = Node("file", self.timed(meta), data)

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
                meta=self.timed(replace(node.meta, modified_ns=None)),
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

    @contextlib.contextmanager
    def lock(self, path: str) -> Iterator[bool]:
        self._alive()
        self._parent(path)
        if path not in self.nodes:
            self.nodes[path] = Node("file", self.timed(Meta(0o600, self.user, self.user)))
        if path in self._held:
            yield False
            return
        self._held.add(path)
        try:
            yield True
        finally:
            self._held.discard(path)

    # -- life and death ------------------------------------------------------------------------

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

    # -- the way to a node ---------------------------------------------------------------------

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
