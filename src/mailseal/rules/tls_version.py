"""A TLS version that is no longer to be used is accepted.

Strategy: what counts is what the server takes when it is asked for nothing better (`tls.accepted`),
not what a modern client ends up with: the attacker on the path does the asking. The rating: high
effort (AC:H), parts of the traffic read or changed (C:L, I:L). 4.8.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailseal.model.finding import Assessment, Severity
from mailseal.model.look import Observation
from mailseal.protocols.tlshello import VERSIONS
from mailseal.rules.base import Rule

RETIRED = {
    "SSLv3": "RFC 7568",
    "TLSv1": "RFC 8996",
    "TLSv1.1": "RFC 8996",
}
"""Versions that must not be used, and what says so."""
ASKED = RETIRED.keys() & VERSIONS.keys()


def check(observations: Sequence[Observation], assessment: Assessment) -> tuple[str, ...]:
    """One line for each retired version that is accepted."""
    return tuple(
        dict.fromkeys(
            f"{version} is accepted ({RETIRED[version]} forbids it)"
            for observation in observations
            if observation.tls is not None
            for version in observation.tls.accepted
            if version in RETIRED
        )
    )


def kept(observations: Sequence[Observation], assessment: Assessment, name: str) -> bool:
    """Only where each retired version that mailseal can ask for was asked for."""
    return any(
        ASKED.issubset(observation.tls.rejected)
        for observation in observations
        if observation.tls is not None
    )


RULE = Rule(
    id="tls-version",
    title="A retired version of TLS is accepted",
    severity=Severity.MEDIUM,
    cvss="CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:L/A:N",
    cwe=("CWE-326", "CWE-327"),
    standards=(
        "RFC 8996 (TLS 1.0 and 1.1 must not be used)",
        "RFC 8997 (nor for mail)",
        "RFC 7568 (nor SSLv3)",
        "PCI DSS 4.0 requirement 4",
        "NIST SP 800-52 revision 2",
    ),
    scanners=(
        "Nessus 20007: SSL Version 2 and 3 Protocol Detection",
        "Nessus 104743: TLS Version 1.0 Protocol Detection",
        "Nessus 157288: TLS Version 1.1 Deprecated Protocol",
    ),
    advice=(
        "Let {endpoint} accept TLS 1.2 and 1.3 alone (stunnel: `sslVersionMin = TLSv1.2`), then "
        "look again: `mailseal scan {endpoint}`."
    ),
    check=check,
    kept=kept,
)
