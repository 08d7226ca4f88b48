"""Postfix: the services of type `inet` in master.cf (master(5)).

A line that begins with white space continues the one above, and comments may stand between. Where a
service names no host, inet_interfaces of main.cf decides.

It names itself and no release, unless smtpd_banner was changed. smtpd_sasl_exceptions_networks
leaves AUTH out of EHLO's list for some clients and takes it from them all the same
(smtpd_sasl_proto.c).
"""

from __future__ import annotations

from typing import Sequence, Tuple

from mailseal.daemons.base import Daemon, Sign, host_and_port, lines, source, text
from mailseal.model.local import Declared
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


DAEMON = Daemon(
    name="postfix",
    title="Postfix",
    executables=("*/postfix/sbin/master", "*/postfix/master"),
    declares=_declares,
    signs=(Sign(("smtp",), text(r"\bESMTP Postfix\b( \((?P<version>\d[\d.]*)\))?")),),
)
