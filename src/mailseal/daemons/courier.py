"""Courier's imapd and pop3d.

They do not name their release. pop3d with POP3_TLS_REQUIRED refuses USER, older ones only PASS, and
IMAP_TLS_REQUIRED holds only while STARTTLS works: without a certificate it fails open.
"""

from mailseal.daemons.base import Daemon, Sign, text

DAEMON = Daemon(
    name="Courier",
    signs=(
        Sign(("imap",), text(r"\bCourier-IMAP\b")),
        Sign(("pop3",), text(r"^\+OK Hello there\.$")),
    ),
)
