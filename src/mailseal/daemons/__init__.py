"""Mail daemons: what is known of each. One file and one line in DAEMONS for a new one."""

from __future__ import annotations

import functools
from typing import Optional, Tuple

from mailseal.daemons import courier, cyrus, dovecot, exim, popa3d, postfix, stunnel, uw
from mailseal.daemons.base import Daemon

DAEMONS: Tuple[Daemon, ...] = (
    dovecot.DAEMON,
    postfix.DAEMON,
    exim.DAEMON,
    cyrus.DAEMON,
    courier.DAEMON,
    popa3d.DAEMON,
    uw.DAEMON,
    stunnel.DAEMON,
)


@functools.lru_cache(maxsize=1024)
def of(executable: str) -> Optional[Daemon]:
    """The daemon whose program this is."""
    return next((each for each in DAEMONS if each.runs(executable)), None)
