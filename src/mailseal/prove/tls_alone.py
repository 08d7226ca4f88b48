"""The port refuses connections, or speaks TLS. In cleartext at most the way to TLS is spoken: a
session that can be upgraded, or a greeting that says no to everybody.
"""

from __future__ import annotations

from mailseal.model.look import Channel, Observation, Outcome, Reach, Upgrade
from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence, Read, cleartext_logins


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """A service that greets in cleartext and knows no upgrade fails, whatever it then refuses."""
    if seen.reach in (Reach.CLOSED, Reach.FILTERED):
        return Evidence(Result.PASS, ("no connection (%s)" % seen.reach.value,))
    if seen.reach is Reach.UNROUTABLE:
        return Evidence(Result.UNKNOWN, seen.gaps)
    clear = [each for each in seen.attempts if each.channel is Channel.CLEAR]
    if seen.starttls is not None:
        if seen.starttls.outcome is Upgrade.DONE:
            return Evidence(Result.PASS, ("cleartext is spoken up to STARTTLS, which is there",))
        unclear = seen.starttls.outcome is Upgrade.UNCLEAR
        words = "cleartext is spoken, and STARTTLS does not come about: " + seen.starttls.reason
        return Evidence(Result.UNKNOWN if unclear else Result.FAIL, (words,))
    if seen.tls is not None:
        taken = cleartext_logins(seen)
        if taken:
            return Evidence(Result.FAIL, taken)
        return Evidence(Result.PASS, ("only TLS is spoken (%s)" % seen.tls.version,))
    if clear and all(each.outcome is Outcome.REFUSED for each in clear):
        return Evidence(Result.PASS, ("refused in the greeting: " + seen.banner,))
    if seen.protocol or seen.banner:
        return Evidence(Result.FAIL, ("cleartext is spoken, without a way to TLS: " + seen.banner,))
    return Evidence(Result.UNKNOWN, seen.gaps or ("the service said nothing known",))
