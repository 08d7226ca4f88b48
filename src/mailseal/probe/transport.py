"""TCP's answers as values: what an error of connect or recv says of the service."""

from __future__ import annotations

import errno
import os
import socket
from typing import Tuple

from mailseal.model.look import Reach
from mailseal.protocols.base import End

NO_ANSWER = (Reach.FILTERED, "no answer to the connection")

_REACH = {
    errno.ECONNREFUSED: (Reach.CLOSED, "connection refused"),
    errno.EHOSTUNREACH: (Reach.FILTERED, "host unreachable"),
    errno.EACCES: (Reach.FILTERED, "administratively prohibited"),
    errno.EPERM: (Reach.FILTERED, "prohibited by a local firewall"),
    errno.ETIMEDOUT: NO_ANSWER,
    errno.ENETUNREACH: (Reach.UNROUTABLE, "no route to this network from here"),
    errno.EADDRNOTAVAIL: (Reach.UNROUTABLE, "no usable local address for this family"),
    errno.EAFNOSUPPORT: (Reach.UNROUTABLE, "address family not available here"),
}


READ = 4096
"""Octets to read at once: what a mail server says in a reply, and often all it says."""

EOF = End("eof", "the server closed the connection")
RESET = End("reset", "the server reset the connection")
HUNG_UP = (EOF.reason, RESET.reason)
TIMEOUT = End("timeout", "the server said nothing more in time")

CAME_ABOUT = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)
"""A connection that was there and broke. What is reset *before* it is there reads ECONNREFUSED."""


def reach(number: int) -> Tuple[Reach, str]:
    """Where a failed connect leaves us. `number` is an errno; unknown ones are our own trouble and
    count as unroutable: they say nothing of the service.
    """
    return _REACH.get(number, (Reach.UNROUTABLE, os.strerror(number)))


def ended(error: OSError) -> End:
    """A broken connection as the End of its dialogue."""
    if isinstance(error, socket.timeout):
        return TIMEOUT
    if error.errno in CAME_ABOUT:
        return RESET
    return End("reset", "the connection broke: " + (error.strerror or str(error)))
