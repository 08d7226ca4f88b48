"""Dovecot: the inet_listeners of its services, and `protocols`, which opens those by default.

After the Dovecot manual (2.3 and 2.4): sections in braces that begin and end at a line's end,
`key = value`, `!include` with wildcards beside the file it stands in, a later value over an earlier
one. A listener has its port from its own `port`, else from Dovecot's table; the line that is told
is that of the port, else the one that names the protocol.

It does not name its release; 2.3 speaks of plaintext, 2.4 of cleartext authentication. It takes a
client with its own address for secure, and those of `login_trusted_networks` (login-common,
client-common.c), so the host itself is told another thing than a stranger.

Its log says TLS where there is some, also of logins that failed; `secured` is said of those clients
and is no TLS. A login that policy refused has no user or no mechanism (seen: 2.3.19). Some releases
write TSL.
"""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mailseal.daemons.base import Daemon, Sign, default, lines, source, text
from mailseal.daemons.dialect import Dialect, Line, Says, octets, services
from mailseal.model.local import Declared, Source
from mailseal.model.login import LoginOutcome
from mailseal.model.look import Channel, Vantage
from mailseal.system.reader import Reader, arguments

CONFIG = "/etc/dovecot/dovecot.conf"
MAX_FILES = 200
MAX_DEPTH = 10

PORTS: Mapping[Tuple[str, str], Tuple[str, int]] = {
    ("imap-login", "imap"): ("imap", 143),
    ("imap-login", "imaps"): ("imap", 993),
    ("pop3-login", "pop3"): ("pop3", 110),
    ("pop3-login", "pop3s"): ("pop3", 995),
    ("managesieve-login", "sieve"): ("sieve", 4190),
    ("submission-login", "submission"): ("submission", 587),
    ("submission-login", "submissions"): ("submission", 465),
}
"""Service and listener to the protocol that opens it, and its port where none is written."""

_INCLUDE = re.compile(r"!include(?:_try)?\s+(\S+)")
_BEGIN = re.compile(r"([\w.-]+)(?:\s+(\S+))?\s*\{")
_SETTING = re.compile(r"([\w.-]+)\s*=\s*(.*)")


class Setting(NamedTuple):
    """A line `key = value`, and the sections it is in, outermost first: (kind, name)."""

    sections: Tuple[Tuple[str, str], ...]
    key: str
    value: str
    source: Source


@dataclass
class _Listener:
    port: Optional[int] = None
    source: Optional[Source] = None
    hosts: Tuple[str, ...] = ()


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    path = (arguments(argv, "-c") or (CONFIG,))[-1]
    protocols: Optional[Dict[str, Source]] = None
    everywhere: Tuple[str, ...] = ()
    listeners = {key: _Listener() for key in PORTS}
    for setting in _settings(reader, path, [], 0):
        kinds = [kind for kind, _ in setting.sections]
        if kinds == ["service", "inet_listener"]:
            key = (setting.sections[0][1], setting.sections[1][1])
            listener = listeners.setdefault(key, _Listener())
            if setting.key == "port":
                listener.port = reader.port(setting.value) or 0
                listener.source = setting.source
            elif setting.key in ("address", "listen"):
                listener.hosts = _hosts(setting.value)
        elif setting.key == "protocols" and not kinds:
            words = setting.value.split()
            kept = (protocols or {}) if "$protocols" in words else {}
            protocols = {**kept, **dict.fromkeys(words, setting.source)}
        elif kinds == ["protocols"] and setting.value == "yes":
            protocols = {**(protocols or {}), setting.key: setting.source}
        elif setting.key == "listen" and not kinds:
            everywhere = _hosts(setting.value)
    if protocols is None:
        line = default(path, "protocols = imap pop3 lmtp")
        protocols = dict.fromkeys(("imap", "pop3", "lmtp"), line)
    found: List[Declared] = []
    for key, listener in listeners.items():
        protocol, port = PORTS.get(key, ("", 0))
        said = listener.source or protocols.get(protocol)
        number = port if listener.port is None else listener.port
        if said and number:
            hosts = listener.hosts or everywhere or ("",)
            found += [Declared(host, number, said) for host in hosts]
    return tuple(found)


def _hosts(value: str) -> Tuple[str, ...]:
    """`*, ::` and the like: the family's wildcard for `*`."""
    words = re.findall(r"[^\s,]+", value)
    return tuple("0.0.0.0" if word == "*" else word.strip("[]") for word in words)


def _settings(reader: Reader, path: str, seen: List[str], depth: int) -> Iterator[Setting]:
    """The settings of a file and of those that it includes, in the order in which they count."""
    if depth > MAX_DEPTH or len(seen) >= MAX_FILES:
        reader.unread[path] = "included too deep, or one of too many"
        return
    seen.append(path)
    sections: List[Tuple[str, str]] = []
    for number, line in lines(reader.read(path)):
        body = re.sub(r"(^|\s)#.*", "", line).strip()
        include = _INCLUDE.fullmatch(body)
        begin = _BEGIN.fullmatch(body)
        setting = _SETTING.fullmatch(body)
        if include:
            pattern = os.path.normpath(os.path.join(os.path.dirname(path), include.group(1)))
            for each in reader.matching(pattern):
                yield from _settings(reader, each, seen, depth + 1)
        elif begin:
            sections.append((begin.group(1), (begin.group(2) or "").strip('"')))
        elif body == "}":
            sections = sections[:-1]
        elif setting:
            value = setting.group(2).strip().strip('"')
            yield Setting(tuple(sections), setting.group(1), value, source(path, number, line))


_WHO = rb"(?:(?P<service>imap|pop3|managesieve|submission)-login:\ )?(?:Info:\ )?"
_WHERE = rb"""
    ,\ rip=(?P<client>[^,\s]*) (?:,\ lip=(?P<local>[^,\s]*))?
    (?: [^<]*,\ (?P<tls>T(?:LS|SL))\b )?
"""
_USER = rb":\ user=<(?P<user>.*)>"
_METHOD = rb",\ method=(?P<mechanism>[\w-]+)"

_LOGS = Dialect(
    anchors=(b": user=<",),
    programs=re.compile(rb"dovecot|(?:imap|pop3|managesieve|submission)-login"),
    services=services(b"imap", b"pop3", b"managesieve", b"smtp"),
    lines=(
        Line(
            Says.LOGIN,
            octets(_WHO + rb"(?:Login|Logged\ in)" + _USER + b"(?:" + _METHOD + b")?" + _WHERE),
            LoginOutcome.ACCEPTED,
            Channel.CLEAR,
        ),
        Line(
            Says.FAILURE,
            octets(
                _WHO
                + rb"[^<]{0,500}:\ user=<>,\ rip=(?P<client>[^,\s]*)(?:,\ lip=(?P<local>[^,\s]*))?"
                # In TLS 1.3 the client's no comes after the handshake (RFC 8446 section 2).
                + rb",\ TLS(?:\ handshaking|(?=:[^,]*alert))(?::\ (?P<reason>[^,]*))?"
            ),
        ),
        Line(
            Says.LOGIN,
            octets(
                _WHO
                + rb"[^<]{0,500}auth\ failed[^<]{0,500}:\ user=<(?:(?P<user>[^<>]*)>(?=,\ rip=)|>"
                + _METHOD
                + b")"
                + _WHERE
            ),
            LoginOutcome.REFUSED,
            Channel.CLEAR,
        ),
        Line(
            Says.LOGIN,
            octets(
                _WHO
                + rb"[^<]{0,500}(?i:(?:plain|clear)text\ auth)[^<]{0,500}:\ user=<[^<>]*>(?:"
                + _METHOD
                + b")?"
                + _WHERE
            ),
            LoginOutcome.REFUSED,
            Channel.CLEAR,
        ),
        Line(
            Says.LOGIN,
            octets(_WHO + rb"[^<]{0,500}auth\ failed[^<]{0,500}" + _USER + _METHOD + _WHERE),
            LoginOutcome.REJECTED,
            Channel.CLEAR,
        ),
        Line(
            Says.LOGIN,
            octets(_WHO + rb"[^<]{0,500}" + _USER + _METHOD + _WHERE),
            LoginOutcome.UNKNOWN,
            Channel.CLEAR,
        ),
    ),
)

DAEMON = Daemon(
    name="dovecot",
    title="Dovecot",
    executables=("*/dovecot", "*/dovecot/*-login"),
    declares=_declares,
    signs=(Sign(("pop3", "imap", "managesieve"), text(r"\bDovecot\b")),),
    words=(
        (text(r"\bplaintext authentication (disallowed|disabled|not allowed)"), "2.3"),
        (text(r"\bcleartext authentication (disallowed|disabled|not allowed)"), "2.4"),
    ),
    traps={Vantage.SELF: "Dovecot trusts its own address: a stranger is treated otherwise"},
    logs=(_LOGS,),
)
