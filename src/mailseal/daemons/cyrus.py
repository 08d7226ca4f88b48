"""Cyrus IMAP: imapd, pop3d, timsieved.

It looks for the user before its policy (imapd.c, cmd_login), so "Invalid user" shows nothing for
users who exist. timsieved answers a mechanism that its policy does not let begin with a bare
"Authentication Error", before it has asked for anything; where the mechanism may begin it sends a
challenge.
"""

from mailseal.daemons.base import Daemon, Reading, Sign, text
from mailseal.model.look import Outcome

DAEMON = Daemon(
    name="Cyrus IMAP",
    signs=(
        Sign(("imap",), text(r"\bCyrus IMAP v?(?P<version>\d+(\.\d+)+)?")),
        Sign(("pop3",), text(r"\bCyrus POP3 v?(?P<version>\d+(\.\d+)+)?")),
        Sign(("managesieve",), text(r"\bCyrus timsieved v?(?P<version>\d+(\.\d+)+)?")),
    ),
    readings=(
        Reading(
            ("imap", "pop3"),
            text(r"\bInvalid user\b"),
            Outcome.ACCEPTED,
            Outcome.UNCLEAR,
            "Cyrus looks for the user before its policy: --user NAME decides",
            "imap/imapd.c, cmd_login",
        ),
        Reading(
            ("managesieve",),
            text(r'^NO "Authentication Error"$'),
            Outcome.UNCLEAR,
            Outcome.REFUSED,
            "Cyrus does not let the mechanism begin",
            "seen: 3.6.1 with allowplaintext no",
            unlisted=True,
        ),
        Reading(
            ("managesieve",),
            text(r'^NO "Authentication Error"$'),
            Outcome.ACCEPTED,
            Outcome.UNCLEAR,
            "Cyrus says so to a wrong password, and where the mechanism may not begin",
            "seen: 3.6.1 with allowplaintext no",
            unlisted=True,
        ),
    ),
)
