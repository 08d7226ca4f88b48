"""POP2 logs in to another host for the client: `HELO host:user password`.

Strategy: an attempt that is marked `remote` counts where the server took it. A server answers "bad
login" whether or not it went out, so the marks are set where that was seen: by the canary of `scan
--prove-remote`, to which the server connected. The rating is that of a forged request: anybody
(PR:N) makes the server reach hosts that he cannot (S:C) and learns a little (C:L). 5.8.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailseal.model.finding import Assessment, Severity
from mailseal.model.look import Observation, Outcome
from mailseal.rules.base import Rule


def check(observations: Sequence[Observation], assessment: Assessment) -> tuple[str, ...]:
    """What showed that the server goes on to other hosts."""
    return tuple(
        dict.fromkeys(
            attempt.reason
            for observation in observations
            for attempt in observation.attempts
            if attempt.remote and attempt.outcome in (Outcome.ACCEPTED, Outcome.PROVEN)
        )
    )


RULE = Rule(
    id="pop2-remote-login",
    title="POP2 logs in to other hosts for whoever asks",
    severity=Severity.MEDIUM,
    cvss="CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:L/I:N/A:N",
    cwe=("CWE-441", "CWE-918"),
    standards=("NIST SP 800-53 AC-4, SC-7", "PCI DSS 4.0 requirement 1"),
    scanners=(),
    advice=(
        "TLS in front of {endpoint} does not take this away: retire POP2, or let the service's "
        "user open no outgoing connections (firewall, or IPAddressDeny= in its unit)."
    ),
    check=check,
)
