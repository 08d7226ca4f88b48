"""UW's ipop2d, ipop3d and imapd, and Panda's: one release number for all of them.

They greet with release and build number ("2007f.75"). There is no setting for cleartext logins but
the one at build time (SSLTYPE), except c-client.cf's `plaintext-allowed-clients`, which ipop3d and
imapd read: a look from one of those addresses is told another thing than a stranger.
"""

from mailseal.daemons.base import Daemon, Sign, text
from mailseal.model.look import Vantage

DAEMON = Daemon(
    name="UW",
    signs=(
        Sign(("pop2",), text(r"\bPOP2\b.*\bv?(?P<version>\d{4}[a-z]?\.\d+)\b")),
        Sign(("pop3",), text(r"^\+OK POP3 .*\bv?(?P<version>\d{4}[a-z]?\.\d+)\b")),
        Sign(("imap",), text(r"\bIMAP4rev1 (?P<version>\d{4}[a-z]?\.\d+) at ")),
    ),
    traps={Vantage.SELF: "UW lets plaintext-allowed-clients do what it refuses to strangers"},
)
