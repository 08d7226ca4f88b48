"""popa3d. It has no configuration: with -D it listens where its params.h says (popa3d(8)).

Its greeting is a bare "+OK" (pop_root.c), which others have as well; so it is only probable.

Its log names the user, and the client only where it is a daemon of its own ("Session from", -D). It
knows no TLS: whether something in front of it does is not in its log.
"""

from __future__ import annotations

import re
from typing import Sequence, Tuple

from mailseal.daemons.base import Daemon, Sign, text
from mailseal.daemons.dialect import COMMAND, Dialect, Line, Says, octets, services
from mailseal.model.local import Declared, Source
from mailseal.model.login import LoginOutcome
from mailseal.system.reader import Reader

PORT = 110


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    program = argv[0] if argv else "popa3d"
    return (Declared("", PORT, Source(program, 0, "port %d, compiled in; started with -D" % PORT)),)


_LOGS = Dialect(
    anchors=(b"Authentication ", b"Session from "),
    programs=re.compile(rb"(?:in\.)?popa3d"),
    services=services(b"pop3"),
    lines=(
        Line(
            Says.LOGIN,
            octets(rb"Authentication\ passed\ for\ (?P<user>\S+)"),
            mechanism=COMMAND,
        ),
        Line(
            Says.LOGIN,
            octets(rb"Authentication\ failed\ for\ (?:UNKNOWN\ USER|(?P<user>\S+))"),
            LoginOutcome.REJECTED,
            mechanism=COMMAND,
        ),
        Line(Says.BEGINS, octets(rb"Session\ from\ (?P<client>[0-9A-Fa-f.:]+)\Z")),
    ),
    cannot="popa3d's log cannot show TLS: whether the password was readable is open",
)

DAEMON = Daemon(
    name="popa3d",
    title="popa3d (probably)",
    executables=("*/popa3d",),
    declares=_declares,
    signs=(Sign(("pop3",), text(r"^\+OK ?$")),),
    logs=(_LOGS,),
)
