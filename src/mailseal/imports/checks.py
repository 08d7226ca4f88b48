"""Which check of a scanner says "takes logins in cleartext", and for which protocol.

Strategy: a table of ids, and one pattern over the check's name for editions that number it
otherwise. Nessus and OpenVAS gave the three checks of the same author (2004) the same number.
"""

from __future__ import annotations

import re

_OPENVAS = "1.3.6.1.4.1.25623.1.0."
"""OpenVAS's arc of object identifiers."""

# Behind each number its name in Nessus, then in OpenVAS.
_NUMBERS = {
    "15854": "pop2",  # POP2 Cleartext Logins Permitted; POP2 Unencrypted Cleartext Login
    "15855": "pop3",  # POP3 Cleartext Logins Permitted; POP3 Unencrypted Cleartext Login
    "15856": "imap",  # IMAP Service Cleartext Login Permitted; IMAP Unencrypted ...
}

CHECKS = {
    **_NUMBERS,
    **{_OPENVAS + number: protocol for number, protocol in _NUMBERS.items()},
    "54582": "smtp",  # Nessus: SMTP Service Cleartext Login Permitted
    _OPENVAS + "108530": "smtp",  # OpenVAS: SMTP Unencrypted Cleartext Login
    # Published guides to the POP2 finding name this Nessus id; its source was not seen.
    "34896": "pop2",
}
"""Plugin number or OID to the protocol whose logins it finds in cleartext."""

_NAME = re.compile(r"\b(POP2|POP3|IMAP|SMTP|ManageSieve)\b.{0,40}\bclear ?text logins?\b", re.I)


def protocol_of(check: str, name: str) -> str | None:
    """The protocol that the check is about; None where it is about something else."""
    known = CHECKS.get(check)
    if known is None and (match := _NAME.search(name[:200])):
        return match[1].lower()
    return known
