"""A line of a dialect as one program writes it, ready for use: its groups by their numbers.

Strategy: what is the same for every line of the kind is asked once, when a program's name is first
met; a line then costs its match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable

from mailseal.daemons.dialect import Dialect, Line, Says

_WHO = {"user", "client", "name", "local", "port", "mechanism", "service"}


class Rule:
    """`act` is what the reader does with such a line."""

    __slots__ = (
        *("act", "daemon", "dialect", "groups", "line", "match", "more", "named"),
        *("names", "numbered", "plain", "service", "tls", "told", "whole"),
    )

    def __init__(
        self,
        daemon: str,
        dialect: Dialect,
        line: Line,
        program: bytes,
        act: Callable[..., object],
    ) -> None:
        self.act = act
        self.daemon = daemon
        self.dialect = dialect
        self.line = line
        self.match: Callable[[bytes, int, int], re.Match[bytes] | None] = line.pattern.match
        self.groups = line.pattern.groupindex
        self.names = [name for name in self.groups if name in _WHO]
        # The numbers of groups that each line is asked for; 0 where there is none.
        self.numbered = self.groups.get("session", 0)
        self.named = self.groups.get("service", 0)
        self.tls = self.groups.get("tls", 0)
        self.told = self.groups.get("told", 0)
        self.plain = dialect.plain.match(program) is not None
        # Where neither the line nor its session names one.
        self.service = dialect.service(program)
        self.more = not self.groups.keys().isdisjoint(("mechanism", "tried"))
        # Unless a session is open it needs no other line, so equal ones are counted without a look
        # at what they say.
        self.whole = line.says is Says.LOGIN and not dialect.settles

    def who(self, found: re.Match[bytes]) -> Hashable:
        """What the same people have in common from one line to the next."""
        return found.group(*self.names) if self.names else b""

    def ended(self, found: re.Match[bytes], surely: bool) -> Hashable:
        """All that an end says of its session; `surely`: TLS would have been told."""
        tls = self.tls and found[self.tls]
        told = surely and self.told and found[self.told] is not None
        more = (self.who(found), self(found, "good"), self(found, "tried")) if self.more else ()
        return (self.named and found[self.named], tls, told, more)

    def __call__(self, found: re.Match[bytes], name: str) -> bytes:
        """A group's octets; empty where there is none of that name."""
        return (found[name] or b"") if name in self.groups else b""
