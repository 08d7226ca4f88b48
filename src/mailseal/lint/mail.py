"""Ports and addresses as the rules of every format ask for them.

Strategy: names of ports are IANA's and older ones of /etc/services, because a file is read where
that of its host is not at hand.
"""

from __future__ import annotations

import ipaddress

from mailseal.protocols.recognise import PORTS

NUMBERS = {
    "pop2": 109, "pop-2": 109, "postoffice": 109, "pop3": 110, "pop-3": 110, "pop3s": 995,
    "imap": 143, "imap2": 143, "imap4": 143, "imaps": 993, "smtp": 25, "mail": 25,
    "submission": 587, "submissions": 465, "smtps": 465, "sieve": 4190,
}  # fmt: skip
"""From IANA's registry of services, and older names of /etc/services."""

IMPLICIT = frozenset({465, 563, 636, 993, 995})
"""Ports where TLS begins with the first octet (RFC 8314, and IANA's registry of services)."""

LOGIN = frozenset({"pop2", "pop3", "imap", "managesieve"})
"""What a client begins with a login. SMTP on port 25 is for other servers, mostly."""


CLEAR = {
    number: protocol
    for number, protocol in PORTS.items()
    if protocol in LOGIN and number not in IMPLICIT
}
"""Ports where logins begin in cleartext, and what speaks there."""


def loopback(host: str | None, bare: bool) -> bool:
    """Whether an address is this host's own; `bare`: what a port without an address means."""
    if host is None or host == "":
        return bare
    if host.lower() in ("localhost", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def mail(port: int | None) -> str:
    """What usually speaks on a port; empty where that is no mail service."""
    return PORTS.get(port or 0, "")


def login_in_clear(port: int | None) -> str:
    """The protocol whose logins begin in cleartext on a port; empty where there is none."""
    return CLEAR.get(port or 0, "")
