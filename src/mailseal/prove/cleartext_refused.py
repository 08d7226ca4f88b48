"""No login is taken before TLS: not from a client that waits for a greeting, nor from an eager one
that sends its login at once.
"""

from __future__ import annotations

from mailseal.model.look import Channel, Observation, Outcome, Reach
from mailseal.model.plan import Claim, Result
from mailseal.probe import transport
from mailseal.prove.base import Evidence, Read, cleartext_logins


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """A pass needs a service that talks inside TLS alone, one that refuses every login before it is
    begun (STARTTLS, or in the greeting), or none at all.
    """
    taken = cleartext_logins(seen)
    if taken:
        return Evidence(Result.FAIL, taken)
    if seen.reach in (Reach.CLOSED, Reach.FILTERED):
        return Evidence(Result.PASS, ("no connection (%s)" % seen.reach.value,))
    unclear = tuple(
        attempt.reason
        for attempt in seen.attempts
        if attempt.channel is Channel.CLEAR and attempt.outcome is Outcome.UNCLEAR
    )
    if unclear:
        return Evidence(Result.UNKNOWN, unclear)
    refused = tuple(
        attempt.reason
        for attempt in seen.attempts
        if attempt.channel is Channel.CLEAR and attempt.outcome is Outcome.REFUSED
    )
    if refused:
        return Evidence(Result.PASS, refused)
    if seen.starttls is not None:
        return Evidence(Result.UNKNOWN, seen.gaps or ("no login was asked for in cleartext",))
    if seen.tls is not None:
        return Evidence(Result.PASS, ("only TLS is spoken (%s)" % seen.tls.version,))
    if claim.expected.get("networks") and not seen.banner and _turned_away(seen):
        return Evidence(Result.PASS, ("the connection is closed before a greeting",))
    return Evidence(Result.UNKNOWN, seen.gaps or ("the service said nothing known",))


def _turned_away(seen: Observation) -> bool:
    """Whether the service let the client connect and closed at once: what tcpd(8) and xinetd do to
    those whom they do not let in. One that is broken does so too, but to those inside as well.
    """
    return any(gap.endswith(transport.EOF.reason) for gap in seen.gaps)
