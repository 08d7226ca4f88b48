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

It enforces TLS before AUTH with smtpd_tls_auth_only (postconf(5)), which a service may have of its
own (`-o` in master.cf): there it is set, so that the other services stay as they are. Without
smtpd_tls_security_level and a certificate that would leave nobody a way to log in.
"""

from __future__ import annotations

import re
from typing import List, Mapping, Sequence, Tuple

from mailseal.configs import postfix as master_cf
from mailseal.configs.inetd import parse_services
from mailseal.daemons.base import (
    Daemon,
    Enforcement,
    Native,
    Sign,
    Taken,
    editable,
    host_and_port,
    lines,
    pairs,
    public,
    source,
    still_open,
    text,
)
from mailseal.daemons.dialect import Dialect, Line, Says, octets, services
from mailseal.model.host import HostFacts
from mailseal.model.local import Declared
from mailseal.model.login import LoginOutcome
from mailseal.model.ops import CheckConfiguration
from mailseal.system.reader import Reader, arguments

DIRECTORY = "/etc/postfix"


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    path = (arguments(argv, "-c") or (DIRECTORY,))[-1] + "/master.cf"
    found = []
    for number, line in lines(reader.read(path)):
        words = line.split()
        if len(words) < 8 or line[:1] in "# \t" or words[1] != "inet":
            continue
        where = host_and_port(reader.port, words[0])
        if where:
            found.append(Declared(*where, source(path, number, line)))
    return tuple(found)


# -- enforcement -----------------------------------------------------------------------------------

_MASTER = DIRECTORY + "/master.cf"
_ONLY = "smtpd_tls_auth_only"
_CERTIFICATES = ("smtpd_tls_cert_file", "smtpd_tls_eccert_file", "smtpd_tls_chain_files")
_ASKED = (
    *("postconf", "-x", _ONLY, "smtpd_sasl_auth_enable", "smtpd_tls_security_level"),
    *("smtpd_use_tls", "smtpd_enforce_tls", "smtpd_tls_wrappermode", *_CERTIFICATES),
)
_QUESTION = " ".join(_ASKED)
_KNOWN_PORTS = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587}
"""known_tcp_ports, which Postfix has since 3.6."""


def _take(reader: Reader) -> Taken:
    said = reader.ask(*_ASKED)
    certificate = pairs(said).get("smtpd_tls_cert_file", "")
    shown = (certificate,) if certificate.startswith("/") else ()
    return Taken((DIRECTORY + "/main.cf", _MASTER, *shown), {_QUESTION: said})


class _Settings:
    """What is in effect for a service: its own settings over those of main.cf."""

    def __init__(self, service: master_cf.Service, main: Mapping[str, str]) -> None:
        self.service, self.main = service, main

    def __getitem__(self, name: str) -> str:
        own = self.service.override(name)
        return own.value.text if own else self.main.get(name, "")

    def yes(self, name: str) -> bool:
        return self[name].lower() == "yes"

    @property
    def level(self) -> str:
        """smtpd_tls_security_level, or what the two settings before it come to."""
        old = "encrypt" if self.yes("smtpd_enforce_tls") else ""
        old = old or ("may" if self.yes("smtpd_use_tls") else "none")
        return self["smtpd_tls_security_level"].lower() or old

    @property
    def certificate(self) -> bool:
        return any(self[name] not in ("", "none") for name in _CERTIFICATES)

    @property
    def enforced(self) -> bool:
        return self.yes(_ONLY) or self.level not in ("none", "may")

    @property
    def takes_cleartext(self) -> bool:
        open_to_all = not (self.yes("smtpd_tls_wrappermode") or self.enforced)
        return open_to_all and self.yes("smtpd_sasl_auth_enable")


def _enforce(facts: HostFacts, port: int, protocol: str) -> Enforcement:
    problem = editable(facts, _MASTER)
    main = pairs(facts.answers.get(_QUESTION, ""))
    if problem or not main:
        return Enforcement((problem or "postconf gave no answer: run as root",))
    fact, names = facts.file(_MASTER), facts.file("/etc/services")
    assert fact is not None
    document = master_cf.parse(fact.content or b"")
    ports = {**_KNOWN_PORTS, **parse_services((names and names.content) or b"")}
    if document.malformed:
        bad = document.malformed[0]
        return Enforcement(("%s line %d: %s" % (_MASTER, bad.span.line, bad.reason),))
    inet = [(each.port(ports), _Settings(each, main)) for each in document.services]
    here = [settings for number, settings in inet if number == port]
    if not here:
        return Enforcement(("no service of %s has port %d" % (_MASTER, port),))
    problems = [problem for settings in here for problem in _problems(settings, port)]
    if problems:
        return Enforcement(tuple(dict.fromkeys(problems)))
    if all(settings.enforced for settings in here):
        return Enforcement(already="Postfix takes no login before TLS on port %d already" % port)
    # Of two addresses of one port, one may be safe already; then it stays as it is.
    change = [settings.service for settings in here if not settings.enforced]
    splices = [
        each
        for service in change
        for each in master_cf.set_override(document, service, _ONLY, "yes")
    ]
    keys = ["%s/inet/%s" % (service.name, _ONLY) for service in change]
    effect = tuple(CheckConfiguration(("postconf", "-P", k), ("%s = yes" % k,)) for k in keys)
    others = [n for n, settings in inet if n != port and n and settings.takes_cleartext]
    certificate = here[0]["smtpd_tls_cert_file"]
    one = not any(here[0][name] for name in _CERTIFICATES[1:])
    return Enforcement(
        splices=((_MASTER, tuple(splices)),),
        checks=(CheckConfiguration(("postfix", "check"), ()), *effect),
        ports=(port,),
        certificate=public(facts, certificate) if one else "",
        told=still_open("Postfix", others),
        paths=(DIRECTORY + "/main.cf", _MASTER),
    )


def _problems(settings: _Settings, port: int) -> List[str]:
    """Why TLS cannot be enforced on a service, and what to do first."""
    command = settings.service.command
    if command != "smtpd":
        words = "port %d is served by %s, which hands its logins to another service of %s"
        return [words % (port, command, _MASTER)]
    if settings.yes("smtpd_tls_wrappermode"):
        return ["port %d speaks TLS from the first octet (smtpd_tls_wrappermode)" % port]
    if not settings.yes("smtpd_sasl_auth_enable"):
        return ["no login is configured on port %d (smtpd_sasl_auth_enable = no)" % port]
    if settings.level == "none" or not settings.certificate:
        return [
            "Postfix has no TLS on port %d, so nobody could log in any more: set "
            "smtpd_tls_cert_file, smtpd_tls_key_file and smtpd_tls_security_level = may in "
            "%s/main.cf, reload, then plan again" % (port, DIRECTORY)
        ]
    return []


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
    native=Native(
        ("postfix@-.service", "postfix.service"),
        _take,
        _enforce,
        no_door="smtpd_tls_auth_only has one value for all clients",
    ),
)
