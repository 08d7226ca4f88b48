"""Mail of strangers for elsewhere is not taken (SMTP): behind a terminator on the same host every
client seems to be a local one, and local ones may often send.
"""

from __future__ import annotations

from mailseal.model.look import Observation, Outcome, Reach
from mailseal.model.plan import Claim, Result
from mailseal.probe.errands import RELAY
from mailseal.prove.base import Evidence, Read, errand, unreachable

_RESULTS = {Outcome.REFUSED: Result.PASS, Outcome.ACCEPTED: Result.FAIL}


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """The question was one RCPT; no mail was sent."""
    if seen.reach is not Reach.OPEN:
        return unreachable(seen)
    asked = errand(seen, RELAY)
    if asked is None:
        return Evidence(Result.UNKNOWN, ("it was not asked: no SMTP is spoken", *seen.gaps))
    return Evidence(_RESULTS.get(asked.outcome, Result.UNKNOWN), asked.lines)
