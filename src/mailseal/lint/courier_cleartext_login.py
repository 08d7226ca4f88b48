"""Courier's setting that permits logins before TLS.

The -ssl file is read behind the one without, whose port it is for. A daemon that does not start, or
serves this host alone, is none of the network's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.lint.base import Hit, Rule, With
from mailseal.lint.mail import loopback
from mailseal.model.finding import Severity

REQUIRED = ("IMAP_TLS_REQUIRED", "POP3_TLS_REQUIRED")
STARTS = ("IMAPDSTART", "POP3DSTART")


def check(read: With) -> Iterator[Hit]:
    other = read.other.value if read.other else {}.get
    off = any((other(name) or "yes")[:1].lower() == "n" for name in STARTS)
    if off or loopback(other("ADDRESS"), False):
        return
    for name in REQUIRED:
        there = read.document.last.get(name)
        # As atoi(3) has it.
        if there and not there.refers and not re.match(r"0*[1-9]", there.value.text):
            yield Hit(there.value.span, f"{name}={there.value.text}")


RULE = Rule(
    id="courier-cleartext-login",
    title="Courier takes logins in cleartext",
    severity=Severity.HIGH,
    kind="courier",
    why=(
        "With IMAP_TLS_REQUIRED=0 and POP3_TLS_REQUIRED=0, which Courier comes with, a client may "
        "send its password before TLS."
    ),
    fix=(
        "Write 1 in its place, and keep IMAPDSTARTTLS=YES (POP3_STARTTLS=YES) with a certificate: "
        "without STARTTLS, IMAP lets everybody in all the same."
    ),
    check=check,
)
