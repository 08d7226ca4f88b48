"""The service's own greeting is read inside TLS: a terminator whose backend is dead completes the
handshake all the same.
"""

from __future__ import annotations

from mailseal.model.look import Channel, Observation
from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence, Read, not_in_tls


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """`expected`: protocol."""
    missing = not_in_tls(seen)
    if missing is not None or seen.tls is None:
        return missing or Evidence(Result.UNKNOWN, ())
    wanted = claim.expected["protocol"]
    if seen.starttls is not None and not _spoke(seen):
        return Evidence(Result.FAIL, ("nothing is answered inside TLS", *seen.gaps))
    if seen.protocol != wanted:
        what = seen.protocol or "nothing known"
        return Evidence(Result.FAIL, ("inside TLS answers " + what, *seen.gaps))
    words = "%s inside %s: %s" % (wanted.upper(), seen.tls.version, seen.banner)
    return Evidence(Result.PASS, (words,))


def _spoke(seen: Observation) -> bool:
    """After an upgrade nobody greets: an answer to a question is what shows the service."""
    return any(each.channel is Channel.TLS for each in seen.attempts)
