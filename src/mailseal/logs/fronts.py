"""Clients that a TLS front hides from the daemon behind it, given back.

Strategy: to the daemon they come from the host itself. What the front had just begun to carry at
that moment, for the same protocol, was this login, if it was all from one client; where there were
several, that is said, and nobody is guessed. Both logs may lie in different files, so the join
comes last.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from mailseal.model.login import Login
from mailseal.model.look import Channel

MOST = 50_000
"""Connections, and logins that wait for one, that are kept: some 60 MB."""
WITHIN = 30.0
"""Seconds between a connection's begin and a login in it, at most: programs log in at once."""
SLACK = 1.0
"""Seconds: most logs know no fractions."""
NEAR = 256
"""Connections before a login that are looked at."""

NOBODY = "the log names no client"
LOCAL = "the client is on the host, or behind something there: how it came is not in this log"
GIVEN = "the client's address is the one that stunnel logged"
SEVERAL = "inside stunnel's connections at that moment there were several clients"


class Connection(NamedTuple):
    """One connection of the front. `host` and `protocol` are empty where the log, or the service's
    name, does not tell.
    """

    begun: float
    ended: float
    host: str
    protocol: str
    client: str


def local(client: str) -> bool:
    """Whether a client's address is the host's own loopback, or not there at all."""
    return client in ("", "::1", "localhost", "UNKNOWN") or client.startswith("127.")


class Fronts:
    """What was carried, and the logins that wait to be placed."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._carried: list[Connection] = []
        self._waiting: list[tuple[float, Login]] = []

    def carried(self, connection: Connection) -> None:
        """A connection of the front that has ended, or is still there (`ended` infinite)."""
        self._carried.append(connection)
        if len(self._carried) > 2 * self._most:
            self._carried = sorted(self._carried)[self._most :]

    def wait(self, moment: float, login: Login) -> bool:
        """Keeps a login from the host itself until it can be placed; False where it is full."""
        if len(self._waiting) >= self._most:
            return False
        self._waiting.append((moment, login))
        return True

    def placed(self, carrying: Iterable[Connection] = (), before: float = math.inf) -> list[Login]:
        """The logins of moments `before` that waited. `carrying` are connections still there."""
        carried = sorted((*self._carried, *carrying))
        starts = [each.begun for each in carried]
        waiting, self._waiting = self._waiting, []
        self._waiting = [each for each in waiting if each[0] >= before]
        return [
            self._place(moment, login, carried, starts)
            for moment, login in waiting
            if moment < before
        ]

    def _place(
        self, moment: float, login: Login, carried: list[Connection], starts: list[float]
    ) -> Login:
        after = bisect.bisect_right(starts, moment + SLACK)
        clients = {
            each.client
            for each in carried[max(0, after - NEAR) : after]
            if each.begun + WITHIN >= moment
            and each.ended + SLACK >= moment
            and each.host in ("", login.host)
            and each.protocol in ("", login.protocol)
        }
        if len(clients) == 1:
            return replace(
                login,
                client=clients.pop(),
                channel=Channel.TLS,
                # What the daemon could not tell is told now.
                notes=(GIVEN,),
            )
        return replace(login, notes=(*login.notes, SEVERAL)) if clients else login
