"""The service's own greeting is read inside TLS, with the certificate that was planned.

A handshake alone proves nothing: a terminator whose backend is dead completes it as well.
"""

from __future__ import annotations

from mailseal.model.look import Observation, Reach
from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence, Read, leaf_of, unreachable


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """`expected`: protocol, name, and certificate (a PEM file of this host; may be absent from the
    vantage's host, then chain and name alone count). `pinned`: the certificate is one that was
    there before, so that it is the same counts, and not whether it verifies.
    """
    if seen.reach is not Reach.OPEN:
        return unreachable(seen)
    if seen.tls is None:
        return Evidence(Result.FAIL, ("no TLS there", *seen.gaps))
    planned = leaf_of(read, claim.expected.get("certificate", ""))
    pinned = claim.expected.get("pinned") == "yes"
    if seen.tls.trust and not pinned:
        return Evidence(Result.FAIL, ("the certificate does not verify: " + seen.tls.trust,))
    if seen.protocol != claim.expected["protocol"]:
        what = seen.protocol or "nothing known"
        return Evidence(Result.FAIL, ("inside TLS answers " + what, *seen.gaps))
    if planned is not None and planned not in seen.tls.chain[:1]:
        return Evidence(Result.FAIL, ("another certificate is served than the planned one",))
    if seen.tls.trust:
        words = "%s inside %s: %s; its certificate does not verify here (%s)"
        who = claim.expected["protocol"].upper()
        told = (words % (who, seen.tls.version, seen.banner, seen.tls.trust),)
        return Evidence(Result.UNKNOWN if planned is None else Result.PASS, told)
    words = "%s inside %s, certificate for %s verified: %s"
    name = seen.tls.name_checked
    line = words % (claim.expected["protocol"].upper(), seen.tls.version, name, seen.banner)
    return Evidence(Result.PASS, (line,))
