"""Lines of one session, joined: what one line leaves open and another settles.

Strategy: a session is known by host and process id (and by the client's port, or a connection's
number, where lines have one). What it holds back is small, and there are only so many sessions: the
oldest goes when there is no room, and what it held is told as incomplete. Most sessions are one or
two lines long and say what others said before: a first line is kept as it is until it must be read.
Those that hold nothing back lie aside, and may be forgotten without a word.
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


First = tuple[Any, ...]
"""A session's first line, as it came: nobody has had to read it yet."""


class Sessions:
    """The sessions that are `open`, those of which only the first line came among them, and those
    `aside`, of which only the first line came and which wait for nothing. `end` hears of each open
    one that goes without its end; `read` reads a first line when more is asked of its session,
    which is open then.
    """

    def __init__(
        self, end: Callable[[Session], None], read: Callable[[First], None], most: int = MOST
    ) -> None:
        self._end = end
        self._read = read
        self._most = most
        self.open: OrderedDict[Hashable, Session | First] = OrderedDict()
        self.aside: OrderedDict[Hashable, First] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self.open or key in self.aside

    def __bool__(self) -> bool:
        return bool(self.open or self.aside)

    def get(self, key: Hashable) -> Session | None:
        """The session, where there is one."""
        found = self.open.get(key) or self.aside.pop(key, None)
        return self._whole(key, found) if isinstance(found, tuple) else found

    def _whole(self, key: Hashable, first: First) -> Session:
        if key not in self.open:
            self._room()
        made = self.open[key] = Session()
        self._read(first)
        return made

    def begin(self, key: Hashable) -> Session:
        """A new session; the one that had its key has ended."""
        self.aside.pop(key, None)
        before = self.pop(key)
        if before is not None:
            self._end(before)
        self._room()
        made = self.open[key] = Session()
        return made

    def _room(self) -> None:
        if len(self.open) >= self._most:
            self._end(self._oldest())

    def put_aside(self, key: Hashable, first: First) -> None:
        """A session that is not there yet begins with a line that is not read; should nobody ask
        for it, nothing is lost.
        """
        if len(self.aside) >= self._most:
            self.aside.popitem(last=False)
        self.aside[key] = first

    def wait(self, key: Hashable, first: First) -> None:
        """A session that is not open yet begins, with a line that is not read."""
        if len(self.open) >= self._most:
            self._room()
        self.open[key] = first

    def take(self, key: Hashable) -> First | None:
        """The first line of a session that has no other, and is no longer open."""
        first = self.open.get(key)
        if not isinstance(first, tuple):
            return None
        del self.open[key]
        return first

    def pop(self, key: Hashable) -> Session | None:
        """The session, which is no longer open; `end` does not hear of it."""
        found = self.open.pop(key, None) or self.aside.pop(key, None)
        return self._ended(key, found) if isinstance(found, tuple) else found

    def _ended(self, key: Hashable, first: First) -> Session:
        whole = self._whole(key, first)
        del self.open[key]
        return whole

    def all(self) -> Iterator[Session]:
        """Those that are open, which they are no longer."""
        while self.open:
            yield self._oldest()

    def _oldest(self) -> Session:
        key, found = self.open.popitem(last=False)
        return self._ended(key, found) if isinstance(found, tuple) else found
