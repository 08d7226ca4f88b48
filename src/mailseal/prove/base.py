"""What the kinds of claim share."""

from __future__ import annotations

import base64
import re
from typing import Callable, NamedTuple, Optional, Tuple

from mailseal.model.excepted import within
from mailseal.model.look import Channel, Errand, Observation, Outcome, Reach
from mailseal.model.plan import Claim, ClaimKind, Result
from mailseal.probe.look import Question

TAKES_A_LOGIN = (Outcome.OFFERED, Outcome.ACCEPTED, Outcome.PROVEN)


Read = Callable[[str], bytes]
"""Reads a file of the host that a claim is about. Raises OSError."""


class Evidence(NamedTuple):
    """A result and the lines that carry it."""

    result: Result
    lines: Tuple[str, ...]


def question(claim: Claim) -> Question:
    """The look that a claim needs: its endpoint, and the name and CA its certificate must fit. All
    claims about an endpoint ask alike, so that one look serves them all.
    """
    return Question(
        claim.endpoint,
        claim.vantage,
        name=claim.expected.get("name", ""),
        authority=claim.expected.get("authority", ""),
        eager=True,
    )


def beside(claim: Claim, source: str) -> str:
    """Why a look from the address `source` says nothing of a claim about clients inside or outside
    excepted networks (`networks`); empty where it does.
    """
    networks = claim.expected.get("networks", "").split()
    inside = claim.kind is ClaimKind.CLEARTEXT_SERVED
    if not networks or (source and within(source, networks) is inside):
        return ""
    words = "it takes a look from a host %s %s to tell; this one came from %s"
    where = "inside" if inside else "outside"
    return words % (where, ", ".join(networks), source or "an address that is not known")


def cleartext_logins(observation: Observation) -> Tuple[str, ...]:
    """Why the service takes a login in cleartext, as the look saw it; empty where it does not."""
    return tuple(
        attempt.reason
        for attempt in observation.attempts
        if attempt.channel is Channel.CLEAR and attempt.outcome in TAKES_A_LOGIN
    )


def not_in_tls(seen: Observation) -> Optional[Evidence]:
    """Why nothing can be said of what is inside TLS: there is no connection, or no TLS."""
    if seen.reach is not Reach.OPEN:
        return unreachable(seen)
    return Evidence(Result.FAIL, ("no TLS there", *seen.gaps)) if seen.tls is None else None


def errand(observation: Observation, what: str) -> Optional[Errand]:
    """What became of an errand; None where it was not run."""
    return next((each for each in observation.errands if each.what == what), None)


def leaf_of(read: Read, path: str) -> Optional[bytes]:
    """The first certificate of a PEM file as DER; None where it is not here to be read."""
    if not path:
        return None
    try:
        pem = read(path)
    except OSError:
        return None
    body = re.search(rb"-----BEGIN CERTIFICATE-----(.*?)-----END", pem, re.DOTALL)
    try:
        return base64.b64decode(body.group(1)) if body else None
    except ValueError:
        return None


def unreachable(observation: Observation) -> Evidence:
    """What a connection that did not come about means where one was due."""
    words = "no connection (%s)" % observation.reach.value
    lines = (words, *observation.gaps)
    missing = observation.reach is Reach.UNROUTABLE
    return Evidence(Result.UNKNOWN if missing else Result.FAIL, lines)
