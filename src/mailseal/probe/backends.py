"""Whether somebody takes connections at addresses and Unix sockets of a configuration, all at once.

Strategy: a thread each, because a resolver cannot be interrupted, and one deadline for all of them:
what has not answered by then is left behind. Nothing is sent.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from dataclasses import dataclass
from typing import Dict, Sequence

from mailseal.probe.targets import Unresolved, addresses

MOST = 64
"""Places of one question. Of the others nothing is told."""


@dataclass(frozen=True)
class Place:
    """A host's name or address and its port; or, with an empty host, the path of a Unix socket.
    `waits`: whether it speaks first is asked, too.
    """

    host: str
    port: int = 0
    path: str = ""
    waits: bool = False


@dataclass(frozen=True)
class Answered:
    """Whether the name has an address, somebody takes connections there, and spoke first."""

    resolves: bool
    taken: bool = False
    greets: bool = False


def ask(places: Sequence[Place], seconds: float = 3.0) -> Dict[Place, Answered]:
    """What came of connecting to each. What could not be told is left out: a resolver that hangs, a
    socket that is not ours to open.
    """
    end = time.monotonic() + seconds
    found: Dict[Place, Answered] = {}
    threads = [
        threading.Thread(target=_ask, args=(place, end, found), daemon=True)
        for place in dict.fromkeys(places[:MOST])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()) + 0.2)
    return dict(found)


def _ask(place: Place, end: float, found: Dict[Place, Answered]) -> None:
    resolved = [place.path] if place.path else addresses(place.host)
    if isinstance(resolved, Unresolved):
        found[place] = Answered(False)
        return
    for number, address in enumerate(resolved):
        # Each address has its share of what is left: none is called dead untried.
        left = (end - time.monotonic()) / (len(resolved) - number)
        try:
            wire = _connected(place, address, max(left, 0.01))
        except OSError as error:
            if error.errno not in _NOBODY and not isinstance(error, socket.timeout):
                return
            continue
        with wire:
            found[place] = Answered(True, True, place.waits and _greets(wire, end))
        return
    found[place] = Answered(True)


_NOBODY = (
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENOENT,
    errno.ETIMEDOUT,
)
"""What says that nobody takes connections. The rest is our own trouble."""


def _connected(place: Place, address: str, seconds: float) -> socket.socket:
    """Raises OSError."""
    if not place.path:
        return socket.create_connection((address, place.port), seconds)
    wire = socket.socket(socket.AF_UNIX)
    try:
        wire.settimeout(seconds)
        wire.connect(address)
    except BaseException:
        wire.close()
        raise
    return wire


def _greets(wire: socket.socket, end: float) -> bool:
    try:
        wire.settimeout(max(0.01, end - time.monotonic()))
        return bool(wire.recv(1))
    except OSError:
        return False
