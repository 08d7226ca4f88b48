"""Cyrus IMAP: `listen` of each service in the SERVICES of cyrus.conf (cyrus.conf(5)).

It looks for the user before its policy (imapd.c, cmd_login), so "Invalid user" shows nothing for
users who exist. timsieved answers a mechanism that its policy does not let begin with a bare
"Authentication Error", before it has asked for anything; where the mechanism may begin it sends a
challenge.

Its log says "+TLS" of a login that worked. Of one that failed only the line "starttls" before it,
of the same process, tells; a process serves one session after the other, so that line counts once.
A LOGIN that policy refuses over IMAP leaves no line (seen: 3.6.1). In the newest releases lines are
logfmt (imap/loginlog.c).
"""

from __future__ import annotations

import re
from typing import Sequence, Tuple

from mailseal.daemons.base import Daemon, Reading, Sign, host_and_port, lines, source, text
from mailseal.daemons.dialect import Dialect, Line, Says, octets, services
from mailseal.model.local import Declared
from mailseal.model.login import LoginOutcome
from mailseal.model.look import Channel, Outcome
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


_CLIENT = rb"(?:(?P<name>[^\s\[]+)\ )?\[(?P<client>[^\]\s]+)\]"
_VALUE = rb'(?:"(?:[^"\\]|\\.)*"|[^\s"]*)'
_FIELDS = rb"(?:\ (?!r\.clienthost=)[\w.]+=" + _VALUE + rb")*"
_EVENT = (
    _FIELDS
    + rb'\ r\.clienthost="?'
    + _CLIENT
    + rb'"?(?:\ u\.username="?(?P<user>(?<=")(?:[^"\\]|\\.)*|(?<=\=)[^\s"]*)"?)?'
    + rb"(?:\ login\.mech=(?P<mechanism>[\w-]+))?"
)
# A mechanism that policy forbids is not begun: SASL says "not done" (-6) of it, or why.
_TROUBLE = rb"(?:\(-notset-\)\ )?\[?(?:encryption\ needed|SASL\(-6\):)|.*under\ a\ layer"

_LOGS = Dialect(
    anchors=(b"login: ", b"event=login.", b"starttls: ", b" failed: ["),
    programs=re.compile(rb"(?:[\w.-]+/)?(?:imap|pop3|sieve|timsieve)[\w.-]*"),
    services=services(b"imap", b"pop3", b"managesieve"),
    lines=(
        Line(
            Says.LOGIN,
            octets(
                rb"login:\ "
                + _CLIENT
                + rb"\ (?P<user>\S+)\ (?P<mechanism>[\w-]+)(?P<tls>\+TLS)?\ User\ logged\ in"
            ),
            channel=Channel.CLEAR,
        ),
        Line(
            Says.LOGIN,
            octets(rb"badlogin:\ " + _CLIENT + rb"\ (?P<mechanism>[\w-]+)\ (?:" + _TROUBLE + b")"),
            LoginOutcome.REFUSED,
            Channel.CLEAR,
        ),
        Line(
            Says.LOGIN,
            octets(
                rb"badlogin:\ "
                + _CLIENT
                + rb"\ (?P<mechanism>[\w-]+)(?:\ \((?:-notset-|(?P<user>[^()\s]*))\)\ \[)?"
            ),
            LoginOutcome.REJECTED,
        ),
        Line(
            Says.LOGIN,
            octets(rb"event=login\.good" + _EVENT + rb"\ login\.tls=(?:(?P<tls>1)|0)"),
            channel=Channel.CLEAR,
        ),
        Line(
            Says.LOGIN,
            octets(rb"event=login\.bad" + _EVENT),
            LoginOutcome.REJECTED,
        ),
        Line(Says.TLS, octets(rb"starttls:\ ")),
        Line(
            Says.FAILURE,
            octets(rb"(?:\[\w+\]\ )?[\w\ ]+\ failed:\ " + _CLIENT + rb"\Z"),
        ),
    ),
    default=Channel.CLEAR,
    reuses=True,
    cannot="Cyrus' log does not say whether this login was inside TLS",
)

DAEMON = Daemon(
    name="cyrus",
    title="Cyrus IMAP",
    executables=("*/cyrmaster", "*/cyrus-master", "*/cyrus/bin/master", "*/cyrus-imapd/master"),
    declares=_declares,
    signs=(
        Sign(("imap",), text(r"\bCyrus IMAP v?(?P<version>\d+(\.\d+)+)?")),
        Sign(("pop3",), text(r"\bCyrus POP3 v?(?P<version>\d+(\.\d+)+)?")),
        Sign(("managesieve",), text(r"\bCyrus timsieved v?(?P<version>\d+(\.\d+)+)?")),
    ),
    logs=(_LOGS,),
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
