"""TLS 1.2 or newer alone. RFC 8997: TLS 1.0 and 1.1 must not be used for mail; RFC 9325 section
3.1: nor SSLv2 and SSLv3; TLS 1.2 must be there, TLS 1.3 should.
"""

from __future__ import annotations

from mailseal.model.look import Observation
from mailseal.model.plan import Claim, Result
from mailseal.protocols.tlshello import VERSIONS
from mailseal.prove.base import Evidence, Read, not_in_tls

RETIRED = ("SSLv3", "TLSv1", "TLSv1.1")


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """Each version was asked for by itself; one that gave no readable answer is not told. SSLv2,
    which has another handshake, is not asked for.
    """
    missing = not_in_tls(seen)
    if missing is not None or seen.tls is None:
        return missing or Evidence(Result.UNKNOWN, ())
    old = [version for version in RETIRED if version in seen.tls.accepted]
    if old:
        return Evidence(Result.FAIL, tuple("%s is accepted" % version for version in old))
    untold = [
        version
        for version in VERSIONS
        if version not in seen.tls.accepted and version not in seen.tls.rejected
    ]
    taken = "accepted: %s" % ", ".join(sorted(seen.tls.accepted))
    if untold:
        words = "not told: %s" % ", ".join(untold)
        return Evidence(Result.UNKNOWN, (words, taken, *seen.gaps))
    newest = () if "TLSv1.3" in seen.tls.accepted else ("TLS 1.3 should be there, and is not",)
    refused = "refused: %s" % (", ".join(seen.tls.rejected) or "none")
    return Evidence(Result.PASS, (taken, refused, *newest))
