"""Dovecot 2.3 and 2.4, with Pigeonhole.

It does not name its release; 2.3 speaks of plaintext, 2.4 of cleartext authentication. It takes a
client with its own address for secure, and those of `login_trusted_networks` (login-common,
client-common.c), so the host itself is told another thing than a stranger.
"""

from mailseal.daemons.base import Daemon, Sign, text
from mailseal.model.look import Vantage

DAEMON = Daemon(
    name="Dovecot",
    signs=(Sign(("pop3", "imap", "managesieve"), text(r"\bDovecot\b")),),
    words=(
        (text(r"\bplaintext authentication (disallowed|disabled|not allowed)"), "2.3"),
        (text(r"\bcleartext authentication (disallowed|disabled|not allowed)"), "2.4"),
    ),
    traps={Vantage.SELF: "Dovecot trusts its own address: a stranger is treated otherwise"},
)
