"""Postfix: the services of type `inet` in master.cf (master(5)).

A line that begins with white space continues the one above, and comments may stand between. Where a
service names no host, inet_interfaces of main.cf decides.

It names itself and no release, unless smtpd_banner was changed. smtpd_sasl_exceptions_networks
leaves AUTH out of EHLO's list for some clients and takes it from them all the same
(smtpd_sasl_proto.c).

Its log names the user in the line of each message, and says whether there was STARTTLS where the
session ends (from 3.0 on). A session without a message is counted there, its user not named; an
AUTH that neither worked nor is warned of was refused by policy, or given up (smtpd_sasl_glue.c).
TLS from the first octet shows in a syslog_name of its own, or with smtpd_tls_loglevel 1.
"""

from __future__ import annotations

import re
from typing import Sequence, Tuple

from mailseal.daemons.base import Daemon, Sign, host_and_port, lines, source, text
from mailseal.daemons.dialect import Dialect, Line, Says, octets, services
from mailseal.model.local import Declared
from mailseal.model.login import LoginOutcome
from mailseal.system.reader import Reader, arguments

DIRECTORY = "/etc/postfix"


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    path = (arguments(argv, "-c") or (DIRECTORY,))[-1] + "/master.cf"
    found = []
    for number, line in lines(reader.read(path)):
        words = line.split()
        if len(words) < 8 or line[:1] in "# \t" or words[1] != "inet":
            continue
        where = host_and_port(reader, words[0])
        if where:
            found.append(Declared(*where, source(path, number, line)))
    return tuple(found)


_PEER = rb"(?P<name>[^\s\[]*)\[(?P<client>[^\]\s]+)\](?::\d+)?"

_LOGS = Dialect(
    anchors=(b"/smtpd",),
    programs=re.compile(rb"[\w.-]+(?:/[\w.-]+)*/smtpd"),
    services=services(b"smtp"),
    lines=(
        Line(
            Says.LOGIN,
            octets(
                rb"(?:[0-9A-Za-z]+|NOQUEUE):\ client="
                + _PEER
                + rb",\ sasl_method=(?P<mechanism>[\w-]+)(?:,\ sasl_username=(?P<user>[^,\s]*))?"
            ),
        ),
        Line(
            Says.LOGIN,
            octets(
                rb"warning:\ "
                + _PEER
                + rb":\ SASL\ (?P<mechanism>[\w-]+)\ authentication\ failed(?::.*?)?"
                + rb"(?:,\ sasl_username=(?P<user>[^,\s]*))?\Z"
            ),
            LoginOutcome.REJECTED,
        ),
        Line(
            Says.ENDS,
            octets(
                rb"disconnect\ from\ "
                + _PEER
                + rb"(?=(?P<told>\ .*commands=)?)"
                + rb"(?=(?:.*\ starttls=(?P<tls>[1-9])\b)?)"
                + rb"(?:.*\ auth=(?P<good>\d{1,6})(?:/(?P<tried>\d{1,6}))?\b)?"
            ),
        ),
        Line(Says.BEGINS, octets(rb"connect\ from\ " + _PEER)),
        Line(Says.TLS, octets(rb"\w+\ TLS\ connection\ established\ from\ " + _PEER)),
        Line(
            Says.FAILURE,
            octets(rb"SSL_accept\ error\ from\ " + _PEER + rb"(?::\ (?!-?\d)(?P<reason>.*))?"),
        ),
        Line(Says.REASON, octets(rb"warning:\ TLS\ library\ problem:\ (?P<reason>.*)")),
    ),
    settles=True,
    plain=re.compile(rb"postfix/(?:submission/)?smtpd\Z"),
    cannot=(
        "Postfix's log does not tell this service's TLS: give it a syslog_name, or set "
        "smtpd_tls_loglevel to 1"
    ),
)

DAEMON = Daemon(
    name="postfix",
    title="Postfix",
    executables=("*/postfix/sbin/master", "*/postfix/master"),
    declares=_declares,
    signs=(Sign(("smtp",), text(r"\bESMTP Postfix\b( \((?P<version>\d[\d.]*)\))?")),),
    logs=(_LOGS,),
)
