"""The service answers in cleartext: the promise of stage `offer`, and of every rollback."""

from __future__ import annotations

from mailseal.model.look import Observation, Reach
from mailseal.model.plan import Claim, Result
from mailseal.protocols import answers
from mailseal.prove.base import Evidence, Read, cleartext_logins, unreachable


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """Here a taken login is the pass."""
    if seen.reach is not Reach.OPEN:
        return unreachable(seen)
    taken = cleartext_logins(seen)
    if taken:
        return Evidence(Result.PASS, ("answers as before: " + seen.banner,))
    busy = tuple(each.reason for each in seen.attempts if answers.NOT_NOW in each.reason)
    return Evidence(Result.FAIL, seen.gaps or busy or ("no login is taken in cleartext",))
