"""No weak cipher suite is taken. RFC 9325 section 4.1: none without encryption or authentication,
of export strength, with DES or RC4; none should have less than 128 bits. Static RSA should not be
either, and is told without failing: many servers still take it, and no eavesdropper of today reads
it.
"""

from __future__ import annotations

from mailseal.model.look import Observation
from mailseal.model.plan import Claim, Result
from mailseal.protocols.tlshello import WEAK
from mailseal.prove.base import Evidence, Read, not_in_tls

TOLD = "no forward secrecy"
"""The class that is told alone."""


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """The server was asked for each class of weak suites by itself. What TLS 1.3 has is strong."""
    missing = not_in_tls(seen)
    if missing is not None or seen.tls is None:
        return missing or Evidence(Result.UNKNOWN, ())
    weak = [
        "%s is accepted (%s)" % (suite, kind)
        for kind, suites in WEAK.items()
        for suite in seen.tls.suites
        if kind != TOLD and suite in suites.values()
    ]
    if weak or (seen.tls.bits and seen.tls.bits < 128):
        used = "%s is used (%d bits)" % (seen.tls.cipher, seen.tls.bits)
        return Evidence(Result.FAIL, tuple(weak) or (used,))
    untold = [kind for kind in WEAK if kind not in seen.tls.asked]
    if untold:
        words = "no readable answer to: %s" % ", ".join(untold)
        return Evidence(Result.UNKNOWN, (words, *seen.gaps))
    kept = [
        "%s is accepted as well (%s: RFC 9325 says should not)" % (suite, TOLD)
        for suite in seen.tls.suites
    ]
    words = "%s, %d bits; weak ones are refused" % (seen.tls.cipher, seen.tls.bits)
    return Evidence(Result.PASS, (words, *kept))
