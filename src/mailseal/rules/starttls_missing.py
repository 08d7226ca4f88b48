"""A service in cleartext with no way to begin TLS.

Strategy: what counts is that the command was refused, or agreed to without a handshake coming
about; that it is not listed says less. POP2 has no such command and a rule of its own. The rating:
whoever can read the path (AC:H) reads what is said there (C:H), passwords or mail. 5.9.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailseal.model.finding import Assessment, Severity
from mailseal.model.look import Observation, Upgrade
from mailseal.rules.base import Rule

WORDS = {
    Upgrade.REFUSED: "TLS is refused",
    Upgrade.BROKEN: "TLS is agreed to, and no handshake comes about",
}


def check(observations: Sequence[Observation], assessment: Assessment) -> tuple[str, ...]:
    """What was answered to STARTTLS or STLS."""
    return tuple(
        dict.fromkeys(
            WORDS[seen.outcome] + (f": {seen.reason}" if seen.reason else "")
            for seen in (observation.starttls for observation in observations)
            if seen is not None and seen.outcome in WORDS
        )
    )


def kept(observations: Sequence[Observation], assessment: Assessment, name: str) -> bool:
    """Where the upgrade came about, or was not needed."""
    return any(
        look.tls is not None if look.starttls is None else look.starttls.outcome is Upgrade.DONE
        for look in observations
    )


RULE = Rule(
    id="starttls-missing",
    title="The service cannot begin TLS",
    severity=Severity.MEDIUM,
    cvss="CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N",
    cwe=("CWE-319",),
    standards=(
        "RFC 8314 (TLS for mail access and submission)",
        "RFC 2595, RFC 3207, RFC 5804 (the commands)",
        "NIST SP 800-53 SC-8",
    ),
    scanners=(),
    advice=(
        "Give the server at {endpoint} a certificate and turn TLS on; where it cannot, put TLS in "
        "front of it or turn the port off, then look again: `mailseal scan {endpoint}`."
    ),
    check=check,
    kept=kept,
)
