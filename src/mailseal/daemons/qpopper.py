"""Qpopper. It serves one session; inetd, xinetd or systemd has the socket, or -S in its own right.

Its log names who logs in where it was built with --enable-log-login, and who does not
(pop_log.c, pop_pass.c). TLS does not show.
"""

from __future__ import annotations

import re

from mailseal.daemons.base import Daemon, Sign, nothing, text
from mailseal.daemons.dialect import COMMAND, Dialect, Line, Says, octets, services
from mailseal.model.login import LoginOutcome

_ADDRESS = rb"(?P<client>[0-9A-Fa-f.:]+)"

_LOGS = Dialect(
    anchors=(b"POP login by user ", b": -ERR "),
    programs=re.compile(rb"(?:in\.)?q?popper"),
    services=services(b"pop3"),
    lines=(
        Line(
            Says.LOGIN,
            octets(
                rb"(?:\(v?[\w.]*\)\ )?POP\ login\ by\ user\ \"(?P<user>.*)\"\ at\ \([^()]*\)\ "
                + _ADDRESS
            ),
            mechanism=COMMAND,
        ),
        Line(
            Says.LOGIN,
            octets(
                rb"(?P<user>\S+)\ at\ \S+\ \("
                + _ADDRESS
                + rb"\):\ -ERR\ (?:\[AUTH\]\ )?Password\ supplied\ for\ "
            ),
            LoginOutcome.REJECTED,
            mechanism=COMMAND,
        ),
    ),
    cannot="Qpopper's log cannot show TLS: whether the password was readable is open",
)

DAEMON = Daemon(
    name="qpopper",
    title="Qpopper",
    executables=("*/qpopper", "*/in.qpopper", "*/popper"),
    declares=nothing,
    signs=(Sign(("pop3",), text(r"^\+OK Qpop(per)? \(version (?P<version>\d[\w.]*)\)")),),
    logs=(_LOGS,),
)
