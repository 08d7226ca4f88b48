"""Another machine, as it was: answers from HostFacts or from a recording, and refuses all changes.

Strategy: what was not recorded is *not known*, which is not the same as not there. A path the
record does not cover is PermissionError with the reason, a program that was not asked then is
refused now; nothing falls through to the machine we run on.
"""

from __future__ import annotations

import os.path
from dataclasses import dataclass, field
from typing import ContextManager, Mapping, NoReturn, Optional, Sequence, Tuple

from mailseal.model import moment
from mailseal.model.host import FileFact, HostFacts, Listener
from mailseal.system.base import Completed, Meta, Socket, Stat


@dataclass(frozen=True)
class Recording:
    """What a machine said. `files` by path; `absent` paths where there was nothing; `commands` by
    argument vector; `ids` by name; `unread` path to the reason it is not known.
    """

    files: Mapping[str, FileFact]
    listeners: Tuple[Listener, ...] = ()
    sockets: Optional[Tuple[Socket, ...]] = None
    commands: Mapping[Tuple[str, ...], Completed] = field(default_factory=dict)
    absent: Tuple[str, ...] = ()
    users: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    now: float = 0.0
    uid: int = 0


class RecordedSystem:
    """Implements `System` over a `Recording`."""

    def __init__(self, recording: Recording) -> None:
        self._of = recording

    @classmethod
    def from_facts(cls, facts: HostFacts) -> "RecordedSystem":
        """The machine the facts were taken on, at that moment."""
        return cls(
            Recording(
                files={fact.path: fact for fact in facts.files},
                listeners=facts.listeners,
                unread=facts.unread,
                now=moment.seconds(facts.taken),
                uid=0 if facts.privileged else 65534,
            )
        )

    # -- reading -----------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        fact = self._of.files.get(path)
        if path in self._of.absent:
            raise FileNotFoundError("there was no %s" % path)
        if fact is None or fact.content is None:
            raise PermissionError(self._reason(path))
        return fact.content

    def stat(self, path: str) -> Optional[Stat]:
        fact = self._of.files.get(path)
        if fact is not None:
            meta = Meta(fact.mode, fact.uid, fact.gid)
            return Stat(fact.kind, meta, len(fact.content or b""), fact.target)
        if any(each.startswith(path.rstrip("/") + "/") for each in self._of.files):
            return Stat("directory", Meta(0o755, 0, 0), 0)
        if path in self._of.absent:
            return None
        raise PermissionError(self._reason(path))

    def listdir(self, path: str) -> Tuple[str, ...]:
        """The names below `path` that were recorded."""
        start = path.rstrip("/") + "/"
        below = (each[len(start) :] for each in self._of.files if each.startswith(start))
        return tuple(sorted({name.partition("/")[0] for name in below if name}))

    def listeners(self, unit: str = "") -> Tuple[Listener, ...]:
        """Of the host's network alone: no other is recorded."""
        return () if unit else self._of.listeners

    def sockets(self) -> Tuple[Socket, ...]:
        """Raises PermissionError where they are not in the record."""
        if self._of.sockets is None:
            raise PermissionError("listening sockets: not in the record")
        return self._of.sockets

    def ids(self, user: str, group: str) -> Tuple[int, int]:
        return self._of.users[user], self._of.groups[group]

    def now(self) -> float:
        return self._of.now

    def uid(self) -> int:
        return self._of.uid

    # -- changing: refused ---------------------------------------------------------------------

    def write(self, path: str, data: bytes, meta: Meta) -> None:
        _refuse("write " + path)

    def append(self, path: str, data: bytes) -> None:
        _refuse("append to " + path)

    def mkdir(self, path: str, meta: Meta) -> None:
        _refuse("create " + path)

    def symlink(self, path: str, target: str) -> None:
        _refuse("create " + path)

    def remove(self, path: str) -> None:
        _refuse("remove " + path)

    def run(
        self,
        argv: Sequence[str],
        *,
        data: bytes = b"",
        timeout: float = 60.0,
        env: Optional[Mapping[str, str]] = None,
    ) -> Completed:
        """What the program said when it was recorded."""
        known = self._of.commands.get(tuple(argv))
        return known if known is not None else _refuse("run " + os.path.basename(argv[0]))

    def sleep(self, seconds: float) -> None:
        _refuse("wait")

    def lock(self, path: str) -> ContextManager[bool]:
        _refuse("lock " + path)

    def _reason(self, path: str) -> str:
        return "%s: %s" % (path, self._of.unread.get(path, "not in the record"))


def _refuse(what: str) -> NoReturn:
    raise PermissionError("cannot %s on a recorded host; do it on the host itself" % what)
