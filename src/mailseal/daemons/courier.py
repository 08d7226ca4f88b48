"""Courier: PORT, SSLPORT and ADDRESS in the shell files of its daemons (couriertcpd(8)).

couriertcpd opens the sockets of all of them. A port list is `143`, `192.0.2.1.143`, or several with
commas; the last assignment in a file counts, as the shell has it.

They do not name their release. pop3d with POP3_TLS_REQUIRED refuses USER, older ones only PASS, and
IMAP_TLS_REQUIRED holds only while STARTTLS works: without a certificate it fails open.
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, Sequence, Tuple

from mailseal.daemons.base import Daemon, Sign, lines, source, text
from mailseal.model.local import Declared, Source
from mailseal.system.reader import Reader

DIRECTORIES = ("/etc/courier", "/usr/lib/courier/etc")
FILES = (
    *("imapd", "imapd-ssl", "pop3d", "pop3d-ssl"),
    *("esmtpd", "esmtpd-msa", "esmtpd-ssl"),
)

_ASSIGNMENT = re.compile(r"""\s*(ADDRESS|PORT|SSLADDRESS|SSLPORT)=["']?([^"'\s#]*)""")


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    paths = [directory + "/" + name for directory in DIRECTORIES for name in FILES]
    return tuple(each for path in paths for each in _file(reader, path))


def _file(reader: Reader, path: str) -> Iterator[Declared]:
    values: Dict[str, Tuple[str, Source]] = {}
    for number, line in lines(reader.read(path)):
        match = _ASSIGNMENT.match(line)
        if match:
            values[match.group(1)] = (match.group(2), source(path, number, line))
    for prefix in ("", "SSL"):
        if prefix + "PORT" not in values:
            continue
        listed, where = values[prefix + "PORT"]
        everywhere = values[prefix + "ADDRESS"][0] if prefix + "ADDRESS" in values else ""
        for word in listed.split(","):
            host, _, name = word.rpartition(".")
            port = reader.port(name)
            if port:
                host = host or everywhere
                yield Declared("" if host == "0" else host, port, where)


DAEMON = Daemon(
    name="courier",
    title="Courier",
    executables=("*/couriertcpd",),
    declares=_declares,
    signs=(
        Sign(("imap",), text(r"\bCourier-IMAP\b")),
        Sign(("pop3",), text(r"^\+OK Hello there\.$")),
    ),
)
