"""No cleartext login, but a weak mechanism on a connection without TLS.

Strategy: CRAM-MD5, DIGEST-MD5, NTLM and APOP do not show the password to who reads the wire, but
enough of it to guess at home, and the mail that follows is in the clear. They are told apart from
cleartext logins: where those are taken, this is not the finding. The rating: high effort (AC:H), a
weak password is found (C:L). 3.7.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailseal.model.finding import Assessment, Severity, Verdict
from mailseal.model.look import Channel, Observation, Outcome
from mailseal.protocols.sasl import Strength, strength
from mailseal.rules.base import Rule

TAKEN = (Outcome.OFFERED, Outcome.ACCEPTED, Outcome.PROVEN)


def check(observations: Sequence[Observation], assessment: Assessment) -> tuple[str, ...]:
    """The weak mechanisms that are listed without TLS."""
    if assessment.verdict is not Verdict.REFUSED:
        return ()
    return tuple(
        dict.fromkeys(
            f"{attempt.mechanism} is offered without TLS"
            for observation in observations
            for attempt in observation.attempts
            if attempt.channel is Channel.CLEAR
            and attempt.outcome in TAKEN
            and strength(attempt.mechanism) is Strength.WEAK
        )
    )


RULE = Rule(
    id="weak-mechanism-only",
    title="Logins without TLS are protected by a weak mechanism alone",
    severity=Severity.LOW,
    cvss="CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:N/A:N",
    cwe=("CWE-327", "CWE-916"),
    standards=(
        "RFC 6331 (DIGEST-MD5 is historic)",
        "RFC 8314 (TLS for mail access and submission)",
        "NIST SP 800-53 SC-8, SC-13",
    ),
    scanners=(),
    advice=(
        "Let {endpoint} offer no login at all before TLS; inside TLS PLAIN or SCRAM-SHA-256 do "
        "without MD5 and without stored passwords."
    ),
    check=check,
)
