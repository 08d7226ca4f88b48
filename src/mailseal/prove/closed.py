"""Nothing accepts a connection: the promise of strategy `retire`."""

from __future__ import annotations

from mailseal.model.look import Observation, Reach
from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence, Read


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """Closed and filtered pass; an open port fails, whatever it says."""
    if seen.reach is Reach.OPEN:
        return Evidence(Result.FAIL, ("a connection is accepted: " + seen.banner,))
    if seen.reach is Reach.UNROUTABLE:
        return Evidence(Result.UNKNOWN, seen.gaps)
    return Evidence(Result.PASS, ("no connection (%s)" % seen.reach.value,))
