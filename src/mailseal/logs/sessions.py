"""Lines of one session, joined: what one line leaves open and another settles.

Strategy: a session is known by host and process id (and by the client's port, or a connection's
number, where lines have one). What it holds back is small, and there are only so many sessions: the
oldest goes when there is no room, and what it held is told as incomplete.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

MOST = 50_000
"""Sessions that are open at a time: some 40 MB."""

Item = TypeVar("Item")


class Session(Generic[Item]):
    """`tls`: it went inside TLS. `used`: that was already counted for a login. `held` waits for the
    session's end; `seen` are logins that worked and are not to be counted again, `failures` how
    many did not. `failed` is a handshake whose reason has not come.
    """

    __slots__ = ("begun", "client", "failed", "failures", "held", "seen", "service", "tls", "used")

    def __init__(self) -> None:
        self.client = b""
        self.service = b""
        self.begun = b""
        self.tls = self.used = False
        self.failures = 0
        self.held: list[Item] = []
        self.seen: set[Hashable] = set()
        self.failed: Item | None = None


class Sessions(Generic[Item]):
    """The sessions that are open. `end` hears of each that goes, whatever the reason."""

    def __init__(self, end: Callable[[Session[Item]], None], most: int = MOST) -> None:
        self._end = end
        self._most = most
        self._open: dict[Hashable, Session[Item]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def get(self, key: Hashable) -> Session[Item] | None:
        """The session, where it is open."""
        return self._open.get(key)

    def begin(self, key: Hashable) -> Session[Item]:
        """A new session; the one that had its key has ended."""
        before = self._open.pop(key, None)
        if before is not None:
            self._end(before)
        elif len(self._open) >= self._most:
            self._end(self._open.pop(next(iter(self._open))))
        made = self._open[key] = Session()
        return made

    def pop(self, key: Hashable) -> Session[Item] | None:
        """The session, which is no longer open; `end` does not hear of it."""
        return self._open.pop(key, None)

    def all(self) -> Iterator[Session[Item]]:
        """Those that are open, which they are no longer."""
        while self._open:
            yield self._open.pop(next(iter(self._open)))
