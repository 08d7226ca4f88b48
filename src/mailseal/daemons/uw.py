"""The daemons of UW IMAP (and Panda IMAP): ipop2d, ipop3d, imapd.

They never open a socket themselves: inetd, xinetd or systemd does, and has the line.

They greet with release and build number ("2007f.75"). There is no setting for cleartext logins but
the one at build time (SSLTYPE), except c-client.cf's `plaintext-allowed-clients`, which ipop3d and
imapd read: a look from one of those addresses is told another thing than a stranger.
"""

from __future__ import annotations

from mailseal.daemons.base import Daemon, Sign, nothing, text
from mailseal.model.look import Vantage

DAEMON = Daemon(
    name="uw-imap",
    title="UW",
    executables=("*/ipop2d", "*/ipop3d", "*/imapd"),
    declares=nothing,
    signs=(
        Sign(("pop2",), text(r"\bPOP2\b.*\bv?(?P<version>\d{4}[a-z]?\.\d+)\b")),
        Sign(("pop3",), text(r"^\+OK POP3 .*\bv?(?P<version>\d{4}[a-z]?\.\d+)\b")),
        Sign(("imap",), text(r"\bIMAP4rev1 (?P<version>\d{4}[a-z]?\.\d+) at ")),
    ),
    traps={Vantage.SELF: "UW lets plaintext-allowed-clients do what it refuses to strangers"},
)
