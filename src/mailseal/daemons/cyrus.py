"""Cyrus IMAP: `listen` of each service in the SERVICES of cyrus.conf (cyrus.conf(5))."""

from __future__ import annotations

import re
from typing import Sequence, Tuple

from mailseal.daemons.base import Daemon, host_and_port, lines, source
from mailseal.model.local import Declared
from mailseal.system.reader import Reader, arguments

CONFIG = "/etc/cyrus.conf"

_SECTION = re.compile(r"\s*([A-Z]+)\s*\{")
_LISTEN = re.compile(r'\blisten=(?:"([^"]*)"|(\S+))')


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    path = (arguments(argv, "-M") or (CONFIG,))[-1]
    found = []
    section = ""
    for number, line in lines(reader.read(path)):
        line = line.partition("#")[0]
        begins = _SECTION.match(line)
        section = begins.group(1) if begins else section
        listen = _LISTEN.search(line)
        if listen and section == "SERVICES":
            where = host_and_port(reader, listen.group(1) or listen.group(2) or "")
            if where:
                found.append(Declared(*where, source(path, number, line)))
        if "}" in line:
            section = ""
    return tuple(found)


DAEMON = Daemon(
    "cyrus",
    ("*/cyrmaster", "*/cyrus-master", "*/cyrus/bin/master", "*/cyrus-imapd/master"),
    _declares,
)
