"""Courier: PORT, SSLPORT and ADDRESS in the shell files of its daemons (couriertcpd(8)).

couriertcpd opens the sockets of all of them. A port list is `143`, `192.0.2.1.143`, or several with
commas; the last assignment in a file counts, as the shell has it.

They do not name their release. pop3d with POP3_TLS_REQUIRED refuses USER, older ones only PASS, and
IMAP_TLS_REQUIRED holds only while STARTTLS works: without a certificate it fails open.

Its log says starttls or stls where a session ends ("DISCONNECTED"), some releases in the line of
the login as well. pop3d does not say it of a session in which nobody logged in (seen: Debian 12).
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, Sequence, Tuple

from mailseal.daemons.base import Daemon, Sign, lines, source, text
from mailseal.daemons.dialect import Dialect, Line, Says, octets, services
from mailseal.model.local import Declared, Source
from mailseal.model.login import LoginOutcome
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


_FROM = rb",\ ip=\[(?P<client>[^\]\s]+)\](?:,\ port=\[(?P<session>\d+)\])?"
_TLS = rb"(?:.*,\ (?P<tls>(?:starttls|stls|tls)=1))?"

_LOGS = Dialect(
    anchors=(b"ip=[", b"couriertls: "),
    programs=re.compile(rb"(?:courier-?)?(?:imapd|pop3d|imaplogin|pop3login|esmtpd)(?:-ssl|-msa)?"),
    services=services(b"imap", b"pop3", b"smtp"),
    lines=(
        Line(Says.LOGIN, octets(rb"(?:INFO:\ )?LOGIN,\ user=(?P<user>.*)" + _FROM + _TLS)),
        Line(
            Says.ENDS,
            octets(
                rb"(?:INFO:\ )?(?:DISCONNECTED,\ user=.*|Disconnected|LOGOUT,\ user=.*|LOGOUT)"
                + _FROM
                + rb"(?=(?P<told>.*,\ time=)?)"
                + _TLS
            ),
        ),
        Line(
            Says.LOGIN,
            octets(
                rb"(?:INFO:\ )?LOGIN\ FAILED,"
                + rb"(?:\ user=(?P<user>.*)|\ method=(?P<mechanism>[\w-]+))"
                + _FROM
                + _TLS
            ),
            LoginOutcome.REJECTED,
        ),
        Line(
            Says.FAILURE,
            octets(
                rb"(?:ip=\[(?P<client>[^\]\s]+)\],\ )?(?:couriertls:\ accept:\ |(?<=\],\ ))"
                + rb"(?!Unexpected\ SSL\ connection\ shutdown)(?P<reason>.*)"
            ),
        ),
    ),
    settles=True,
    cannot="Courier's log does not say whether this login was inside TLS",
)

DAEMON = Daemon(
    name="courier",
    title="Courier",
    executables=("*/couriertcpd",),
    declares=_declares,
    signs=(
        Sign(("imap",), text(r"\bCourier-IMAP\b")),
        Sign(("pop3",), text(r"^\+OK Hello there\.$")),
    ),
    logs=(_LOGS,),
)
