"""Courier: PORT, SSLPORT and ADDRESS in the shell files of its daemons (couriertcpd(8)).

couriertcpd opens the sockets of all of them. A port list is `143`, `192.0.2.1.143`, or several with
commas; the last assignment in a file counts, as the shell has it.

They do not name their release. pop3d with POP3_TLS_REQUIRED refuses USER, older ones only PASS, and
IMAP_TLS_REQUIRED holds only while STARTTLS works: without a certificate it fails open.

For the port without TLS the start script reads two files, imapd and then imapd-ssl (pop3d and then
pop3d-ssl): IMAP_TLS_REQUIRED (POP3_TLS_REQUIRED) holds for all ports of PORT. A daemon keeps the
environment that it was started with: a change takes a restart (seen: Debian 12).

Its log says starttls or stls where a session ends ("DISCONNECTED"), some releases in the line of
the login as well. pop3d does not say it of a session in which nobody logged in (seen: Debian 12).
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from mailseal.configs import assignments
from mailseal.daemons.base import (
    RESTART,
    Daemon,
    Enforcement,
    Native,
    Sign,
    Taken,
    also_ports,
    content,
    editable,
    followed,
    lines,
    port_of,
    public,
    source,
    text,
)
from mailseal.daemons.dialect import Dialect, Line, Says, octets, services
from mailseal.model.host import HostFacts
from mailseal.model.local import Declared, Source
from mailseal.model.login import LoginOutcome
from mailseal.model.ops import CheckConfiguration
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


# -- enforcement -----------------------------------------------------------------------------------


class _Kind(NamedTuple):
    """A protocol's unit and files, the one that counts last behind, and its variables."""

    unit: str
    files: Tuple[str, str]
    required: str
    starttls: str


_KINDS = {
    "imap": _Kind(
        "courier-imap.service",
        ("/etc/courier/imapd", "/etc/courier/imapd-ssl"),
        "IMAP_TLS_REQUIRED",
        "IMAPDSTARTTLS",
    ),
    "pop3": _Kind(
        "courier-pop.service",
        ("/etc/courier/pop3d", "/etc/courier/pop3d-ssl"),
        "POP3_TLS_REQUIRED",
        "POP3_STARTTLS",
    ),
}
_CERTIFICATE = "TLS_CERTFILE"
_NO_TLS = (
    "Courier has no STARTTLS on port %d; where TLS is required without it, POP3 lets nobody in, "
    "and IMAP everybody in cleartext: set %s=YES and %s to a file with key and certificate in %s, "
    "restart %s, then plan again"
)


def _take(reader: Reader) -> Taken:
    paths: List[str] = []
    for kind in _KINDS.values():
        paths += kind.files
        files = [assignments.parse(reader.read(path) or b"") for path in kind.files]
        certificate = _value(files, _CERTIFICATE)
        paths += [certificate] if certificate.startswith("/") else []
    return Taken(tuple(dict.fromkeys(paths)), {})


def _value(files: Sequence[assignments.Document], name: str) -> str:
    """What a variable is behind all files; empty where it is not known."""
    there = [document for document in files if name in document.last]
    return (there[-1].value(name) or "") if there else ""


def _enforce(facts: HostFacts, port: int, protocol: str) -> Enforcement:
    kind = _KINDS.get(protocol)
    if kind is None:
        return Enforcement(("Courier with %s is not known here" % protocol.upper(),))
    files = [assignments.parse(content(facts, path) or b"") for path in kind.files]
    problems = [problem for problem in (editable(facts, path) for path in kind.files) if problem]
    problems += [
        "%s line %d: %s" % (path, bad.span.line, bad.reason)
        for path, document in zip(kind.files, files)
        for bad in document.malformed
    ]
    certificate = _value(files, _CERTIFICATE)
    found = followed(facts, certificate)
    starttls = _value(files, kind.starttls)[:1] in ("Y", "y")
    if not (starttls and found and found.kind == "file"):
        problems.append(_NO_TLS % (port, kind.starttls, _CERTIFICATE, kind.files[1], kind.unit))
    numbers = [port_of(facts)(each.rpartition(".")[2]) for each in _value(files, "PORT").split(",")]
    ports = [each for each in dict.fromkeys(numbers) if each]
    if port not in ports:
        problems.append("PORT of %s does not name port %d" % (kind.files[0], port))
    if problems:
        return Enforcement(tuple(problems))
    if _value(files, kind.required).lstrip("0")[:1].isdigit():
        return Enforcement(already="Courier takes no login before TLS on port %d already" % port)
    # Where it counts now, or in the last file.
    at = max([n for n, each in enumerate(files) if kind.required in each.last], default=1)
    return Enforcement(
        splices=((kind.files[at], assignments.set_value(files[at], kind.required, "1")),),
        checks=tuple(CheckConfiguration(("sh", "-n", path), ()) for path in kind.files),
        ports=(port, *(each for each in ports if each != port)),
        certificate=public(facts, certificate),
        told=(*also_ports("Courier", protocol.upper(), ports, port), *_others(facts, protocol)),
        paths=(*kind.files, certificate),
    )


def _others(facts: HostFacts, protocol: str) -> Tuple[str, ...]:
    units = {each.unit for each in facts.listeners}
    return tuple(
        "Courier's %s (%s) stays as it is: plan for it too." % (name.upper(), kind.unit)
        for name, kind in _KINDS.items()
        if name != protocol and kind.unit in units
    )


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
    native=Native(
        tuple(kind.unit for kind in _KINDS.values()),
        _take,
        _enforce,
        RESTART,
        no_door="IMAP_TLS_REQUIRED and POP3_TLS_REQUIRED have one value for all clients",
    ),
)
