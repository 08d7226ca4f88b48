"""How a listening service is started, and what it takes to change that.

One file a way of starting, each with `find(facts, port) -> Optional[Start]`. A new one is a file
and a line in the tuple.
"""

from __future__ import annotations

from typing import Callable, Optional, Tuple

from mailseal.model.host import HostFacts
from mailseal.starters import inetd, scripts, sockets, standalone, superservers, xinetd
from mailseal.starters.base import Start

STARTERS: Tuple[Callable[[HostFacts, int], Optional[Start]], ...] = (
    inetd.find,
    xinetd.find,
    superservers.find,
    sockets.find,
    scripts.find,
    standalone.find,
)


def find(facts: HostFacts, port: int) -> Optional[Start]:
    """How the service on a port is started, None where no starter we know of starts it."""
    found = (find_start(facts, port) for find_start in STARTERS)
    return next((start for start in found if start is not None), None)
