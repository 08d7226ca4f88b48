"""IMAP takes every client for logged in.

Strategy: the greeting says so (`* PREAUTH`, RFC 3501 section 7.1.4), which is meant for a session
that a tunnel has authenticated. On a network port whoever connects has the mailbox, and a client
may not begin TLS any more. The rating: anybody (PR:N) reads (C:H) and deletes (I:H). 9.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailseal.model.finding import Assessment, Severity
from mailseal.model.look import Observation
from mailseal.rules.base import Rule


def check(observations: Sequence[Observation], assessment: Assessment) -> tuple[str, ...]:
    """The greetings that say so."""
    greetings = (f"the greeting says: {each.banner}" for each in observations if each.preauth)
    return tuple(dict.fromkeys(greetings))


RULE = Rule(
    id="imap-preauth",
    title="IMAP takes every client for logged in",
    severity=Severity.CRITICAL,
    cvss="CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:N",
    cwe=("CWE-306", "CWE-319"),
    standards=(
        "RFC 3501 section 7.1.4 (PREAUTH is for what external means have authenticated)",
        "NO STARTTLS, USENIX Security 2021 (PREAUTH keeps clients from TLS)",
        "NIST SP 800-53 AC-3, IA-2",
    ),
    scanners=(),
    advice=(
        "Find out what serves {endpoint}: a command line meant for a tunnel (`imapd` started with "
        "a user's rights) must not stand behind inetd or a socket unit on a network port."
    ),
    check=check,
)
