"""One record a mail daemon: the one place that knows Dovecot from Courier.

Strategy: `recognise` goes through the tuple; a new daemon is one new file and one line here. What
is not recognised is read by the general rules alone.
"""

from __future__ import annotations

import functools
from typing import Optional, Sequence, Tuple

from mailseal.daemons import courier, cyrus, dovecot, exim, popa3d, postfix, qpopper, stunnel, uw
from mailseal.daemons.base import Daemon, Product, Reading
from mailseal.model.look import Attempt, Observation

DAEMONS: Tuple[Daemon, ...] = (
    uw.DAEMON,
    dovecot.DAEMON,
    cyrus.DAEMON,
    courier.DAEMON,
    postfix.DAEMON,
    exim.DAEMON,
    popa3d.DAEMON,
    qpopper.DAEMON,
    stunnel.DAEMON,
)


@functools.lru_cache(maxsize=1024)
def of(executable: str) -> Optional[Daemon]:
    """The daemon whose program this is."""
    return next((each for each in DAEMONS if each.runs(executable)), None)


def recognise(observation: Observation) -> Optional[Product]:
    """Who answers, as far as the look shows."""
    return named(observation.protocol, observation.banner, observation.transcript)


def named(
    protocol: Optional[str], banner: str, transcript: Sequence[str] = ()
) -> Optional[Product]:
    """Who greets so, and has said these things."""
    for daemon in DAEMONS:
        for sign in daemon.signs:
            found = sign.pattern.search(banner)
            if protocol in sign.protocols and found:
                version = found.groupdict().get("version") or _by_words(daemon, transcript)
                return Product(daemon, version)
    return None


def _by_words(daemon: Daemon, transcript: Sequence[str]) -> str:
    for pattern, version in daemon.words:
        if any(pattern.search(line) for line in transcript):
            return version
    return ""


def reading(product: Product, protocol: Optional[str], attempt: Attempt) -> Optional[Reading]:
    """What the daemon means by its answer, where it means something of its own."""
    for each in product.daemon.readings:
        applies = protocol in each.protocols and attempt.outcome is each.general
        applies = applies and not (each.unlisted and attempt.offered)
        if applies and each.pattern.search(attempt.said):
            return each
    return None
