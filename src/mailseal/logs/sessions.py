"""Lines of one session, joined: what one line leaves open and another settles.

Strategy: a session is known by host and process id (and by the client's port, or a connection's
number, where lines have one). What it holds back is small, and there are only so many sessions: the
oldest goes when there is no room, and what it held is told as incomplete.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from mailseal.model.login import TlsFailure

MOST = 50_000
"""Sessions that are open at a time: some 50 MB."""


class Session:
    """`client`, `service`, `host` and `begun` are of the line that it begins with; `begun` is a
    moment as it stands there, of a TLS front alone. `tls`: it went inside TLS; `used`: that was
    already counted for a login. `held` waits for the session's end; `seen` are logins that worked
    and are not to be counted again, `failures` how many did not. `failed` is a handshake whose
    reason has not come, its moment and how often.
    """

    __slots__ = (
        *(
            "begun",
            "client",
            "failed",
            "failures",
            "held",
            "host",
            "seen",
            "service",
            "tls",
            "used",
        ),
    )

    def __init__(self) -> None:
        self.client = b""
        self.host = b""
        self.service = b""
        self.begun = b""
        self.tls = self.used = False
        self.failures = 0
        self.held: list[Any] = []
        self.seen: set[Hashable] = set()
        self.failed: tuple[TlsFailure, bytes, int] | None = None


class Sessions:
    """The sessions that are `open`. `end` hears of each that goes without its end."""

    def __init__(self, end: Callable[[Session], None], most: int = MOST) -> None:
        self._end = end
        self._most = most
        self.open: OrderedDict[Hashable, Session] = OrderedDict()

    def get(self, key: Hashable) -> Session | None:
        """The session, where it is open."""
        return self.open.get(key)

    def begin(self, key: Hashable) -> Session:
        """A new session; the one that had its key has ended."""
        before = self.open.pop(key, None)
        if before is not None:
            self._end(before)
        elif len(self.open) >= self._most:
            self._end(self.open.popitem(last=False)[1])
        made = self.open[key] = Session()
        return made

    def pop(self, key: Hashable) -> Session | None:
        """The session, which is no longer open; `end` does not hear of it."""
        return self.open.pop(key, None)

    def all(self) -> Iterator[Session]:
        """Those that are open, which they are no longer."""
        while self.open:
            yield self.open.popitem(last=False)[1]
