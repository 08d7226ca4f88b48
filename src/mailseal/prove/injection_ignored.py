"""What is sent behind STARTTLS before TLS begins is not run inside it (RFC 3207 section 6)."""

from __future__ import annotations

from mailseal.model.look import Observation, Upgrade
from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence, Read, not_in_tls


def check(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """Where TLS begins with the first octet there is nothing to inject into."""
    if seen.starttls is None or seen.starttls.outcome is not Upgrade.DONE:
        missing = not_in_tls(seen)
        return missing or Evidence(Result.PASS, ("TLS begins with the first octet",))
    if seen.starttls.injection:
        return Evidence(Result.FAIL, (seen.starttls.injection,))
    if not seen.starttls.injected:
        return Evidence(Result.UNKNOWN, ("the command could not be sent", *seen.gaps))
    return Evidence(Result.PASS, ("a command behind STARTTLS was not answered inside TLS",))
