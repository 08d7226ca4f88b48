"""A made-up login is rejected inside TLS, in the backend's words: it looked at user and password,
so it is alive and asks for a good one.
"""

from __future__ import annotations

from mailseal.model.look import Observation, Outcome
from mailseal.model.plan import Claim, Result
from mailseal.probe.errands import DUMMY
from mailseal.prove.base import Evidence, Read, errand, not_in_tls

_EXCHANGE = 25
"""Where mail servers hand over mail to each other, and need no login for it (RFC 6409)."""

_RESULTS = {
    Outcome.ACCEPTED: (Result.PASS, "rejected, as it must be"),
    Outcome.PROVEN: (Result.FAIL, "ANYBODY IS LET IN"),
    Outcome.REFUSED: (Result.FAIL, "no login is taken, not even inside TLS"),
    Outcome.UNCLEAR: (Result.UNKNOWN, "not decided"),
}


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """A login that nobody answers inside TLS is that of a dead backend."""
    missing = not_in_tls(seen)
    if missing is not None:
        return missing
    tried = errand(seen, DUMMY)
    if tried is None:
        return Evidence(Result.UNKNOWN, ("no login was tried",))
    if seen.protocol is None:
        return Evidence(Result.FAIL, ("nobody is there to reject it", *tried.lines))
    if tried.outcome is Outcome.REFUSED and claim.endpoint.port == _EXCHANGE:
        return Evidence(Result.PASS, ("no login is taken here, as of other mail servers",))
    result, words = _RESULTS.get(tried.outcome, _RESULTS[Outcome.UNCLEAR])
    return Evidence(result, (words, *tried.lines))
