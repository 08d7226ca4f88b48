"""A command sent before TLS is answered inside it.

Strategy: the look (`--intrusive`) sends a harmless command in the same segment behind STARTTLS or
STLS, says nothing inside TLS, and listens. An answer shows that the server keeps what it read in
cleartext: whoever is on the path can put commands of his own in front of a client's. The rating: a
place on the path is needed (AC:H); commands are run (I:H), a login may be led astray (C:L). 6.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailseal.model.finding import Assessment, Severity
from mailseal.model.look import Observation, Upgrade
from mailseal.rules.base import Rule


def check(observations: Sequence[Observation], assessment: Assessment) -> tuple[str, ...]:
    """What was answered."""
    return tuple(
        dict.fromkeys(
            seen.injection
            for seen in (observation.starttls for observation in observations)
            if seen is not None and seen.injection
        )
    )


def kept(observations: Sequence[Observation], assessment: Assessment, name: str) -> bool:
    """Only where it was asked, or a server has not the upgrade."""
    return any(
        look.starttls is not None
        and (look.starttls.injected or look.starttls.outcome is Upgrade.REFUSED)
        for look in observations
    )


RULE = Rule(
    id="starttls-injection",
    title="Commands sent before TLS are run inside it",
    severity=Severity.MEDIUM,
    cvss="CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:H/A:N",
    cwe=("CWE-74", "CWE-349"),
    standards=(
        "RFC 3207 section 6, RFC 2595 section 4 (what was said before TLS is forgotten)",
        "CVE-2011-0411 (Postfix), CVE-2021-33515 (Dovecot)",
        "NO STARTTLS, USENIX Security 2021",
    ),
    scanners=("Nessus 52611: SMTP Service STARTTLS Plaintext Command Injection",),
    advice=(
        "Update the server at {endpoint}: the fault was mended in all of them years ago. Until "
        "then offer TLS from the first octet alone (ports 993, 995, 465)."
    ),
    check=check,
    kept=kept,
)
