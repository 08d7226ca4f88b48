"""A real account can use its mailbox, or send, inside verified TLS."""

from __future__ import annotations

from mailseal.model.look import Observation, Outcome
from mailseal.model.plan import Claim, Result
from mailseal.probe.errands import ACCOUNT
from mailseal.prove.base import Evidence, Read, errand, not_in_tls


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """The password is used in verified TLS alone; where there is none, it was not."""
    missing = not_in_tls(seen)
    if missing is not None:
        return missing
    done = errand(seen, ACCOUNT)
    if done is None:
        return Evidence(Result.UNKNOWN, ("the account was not used",))
    worked = done.outcome is Outcome.PROVEN
    return Evidence(Result.PASS if worked else Result.FAIL, done.lines)
