"""stunnel: the `accept` of each service, in the file that it was started with (stunnel(8)).

To the daemon behind it every client comes from the host itself; its log has who it was, from the
level notice (5, the default) on. "LOG5[12]" is the level and the connection's number (log.c). In
the foreground it writes a moment of its own to stderr, which journald takes for a part of the line.
"""

from __future__ import annotations

import re
from typing import Iterator, Sequence, Tuple

from mailseal.daemons.base import Daemon, source
from mailseal.daemons.dialect import Dialect, Line, Says, octets, services
from mailseal.model.local import Declared
from mailseal.system.reader import Reader

CONFIGS = "/etc/stunnel/*.conf"


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    named = [word for word in argv[1:] if word.startswith("/")]
    paths = named or reader.matching(CONFIGS)
    return tuple(each for path in paths for each in _file(reader, path))


def _file(reader: Reader, path: str) -> Iterator[Declared]:
    # Only who reads a host needs the parser.
    from mailseal.configs import stunnel
    from mailseal.configs.text import decode

    data = reader.read(path) or b""
    document = stunnel.parse(data)
    for item in document.items:
        if not isinstance(item, stunnel.Option) or item.key.text.lower() != "accept":
            continue
        where = stunnel.parse_address(item.value.text)
        if isinstance(where, stunnel.UnixPath):
            continue
        port = reader.port(where.service.strip())
        if port:
            line = decode(data[item.span.start : item.span.end])
            yield Declared(where.host or "0.0.0.0", port, source(path, item.span.line, line))


_LOG = rb"(?:\d{4}(?:\.\d\d){2}\ \d\d(?::\d\d){2}\ )?(?:LOG\d\[(?P<session>[\w:.-]*)\]:\ )?"
_LOGS = Dialect(
    anchors=(
        b" accepted connection from ",
        b"SSL_accept: ",
        b"Connection closed: ",
        b"Connection reset",
    ),
    programs=re.compile(rb"stunnel[45]?(?:@[\w.-]+)?"),
    services=services(b"imap", b"pop2", b"pop3", b"managesieve", b"smtp"),
    lines=(
        Line(
            Says.BEGINS,
            octets(
                _LOG
                + rb"Service\ \[(?P<service>[^\]]*)\]\ accepted\ connection\ from"
                + rb"\ (?:::ffff:)?(?P<client>[0-9A-Fa-f.:]+):\d+\Z"
            ),
        ),
        Line(Says.FAILURE, octets(_LOG + rb"SSL_accept:\ (?P<reason>.*)")),
        Line(Says.ENDS, octets(_LOG + rb"Connection\ (?:closed|reset)\b")),
    ),
    front=True,
)

DAEMON = Daemon("stunnel", ("*/stunnel4", "*/stunnel"), _declares, logs=(_LOGS,))
