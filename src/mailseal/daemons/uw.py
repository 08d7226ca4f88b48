"""The daemons of UW IMAP (and Panda IMAP): ipop2d, ipop3d, imapd.

They never open a socket themselves: inetd, xinetd or systemd does, and has the line.

They greet with release and build number ("2007f.75"). There is no setting for cleartext logins but
the one at build time (SSLTYPE), except c-client.cf's `plaintext-allowed-clients`, which ipop3d and
imapd read: a look from one of those addresses is told another thing than a stranger.

Their log tells nothing of STARTTLS. TLS from the first octet shows only at the level debug ("imaps
SSL service init from"). ipop2d knows no TLS at all.
"""

from __future__ import annotations

import re

from mailseal.daemons.base import Daemon, Sign, nothing, text
from mailseal.daemons.dialect import COMMAND, Dialect, Line, Says, octets, services
from mailseal.model.login import LoginOutcome
from mailseal.model.look import Channel, Vantage

_HOST = rb"host=(?:(?P<name>[^\s\[]\S*)\ ?)?(?:\[(?P<client>[^\]\s]+)\])?"
_LINES = (
    Line(
        Says.LOGIN,
        octets(rb"(?:Admin\ )?Login\ user=(?P<user>.*)\ " + _HOST),
        mechanism=COMMAND,
    ),
    Line(Says.LOGIN, octets(rb"APOP\ user=(?P<user>.*)\ " + _HOST), mechanism="APOP"),
    Line(Says.LOGIN, octets(rb"Auth\ user=(?P<user>.*)\ " + _HOST)),
    Line(
        Says.LOGIN,
        octets(
            rb"Authenticated\ user=(?P<user>.*)\ " + _HOST + rb"(?:\ mech=(?P<mechanism>[\w-]+))?"
        ),
    ),
    Line(
        Says.LOGIN,
        octets(rb"IMAP\ login\ to\ host=\S*\ user=(?P<user>.*)\ " + _HOST),
        mechanism=COMMAND,
    ),
    Line(
        Says.LOGIN,
        octets(
            rb"(?:Login\ (?:failed|failure|disabled)|Excessive\ login\ \w+)"
            + rb"\ user=(?P<user>.{0,99}?)(?:\ auth=.{0,99})?\ "
            + _HOST
        ),
        LoginOutcome.REJECTED,
    ),
    Line(
        Says.LOGIN,
        octets(rb"AUTHENTICATE\ (?P<mechanism>[\w-]+)\ failure\ " + _HOST),
        LoginOutcome.REJECTED,
    ),
    Line(Says.TLS, octets(rb"[\w-]+\ SSL\ service\ init\ from\ ")),
    Line(Says.BEGINS, octets(rb"[\w-]+(?:\ \d+)?\ service\ init\ from\ ")),
)
"""ipop2d.c, ipop3d.c, imapd.c; env_unix.c, server_init and server_login."""

_ANCHORS = (b" host=", b" service init from ")
_POP2 = Dialect(
    anchors=_ANCHORS,
    programs=re.compile(rb"(?:in\.)?i?pop2d?"),
    services=services(b"pop2"),
    lines=_LINES,
    default=Channel.CLEAR,
)
_LOGS = Dialect(
    anchors=_ANCHORS,
    programs=re.compile(rb"(?:in\.)?(?:i?pop3d|s?imapd?|imap4d?|imaps|pop3s)"),
    services=services(b"imap", b"pop3"),
    lines=_LINES,
    cannot="UW's log cannot show TLS: whether the password was readable is open",
)

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
    logs=(_POP2, _LOGS),
)
