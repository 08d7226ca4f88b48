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

That has one value for all clients. So excepted ones are to be taken to a service beside, which is
the same but for that: it knows no AUTH (smtpd_discard_ehlo_keywords; unlike the setting above it is
not taken either), except from the clients of a list (smtpd_discard_ehlo_keyword_address_maps). Who
reaches it from elsewhere can do what is open to strangers at the port itself. A table that is
missing or empty lets nobody log in there.
"""

from __future__ import annotations

import functools
import re
from typing import Iterator, List, Mapping, Optional, Sequence, Tuple

from mailseal.configs import postfix as master_cf
from mailseal.configs import text as edits
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
from mailseal.model.excepted import Door, side
from mailseal.model.host import HostFacts
from mailseal.model.local import Declared
from mailseal.model.login import LoginOutcome
from mailseal.model.ops import CheckConfiguration, Splice
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
_WORDS, _MAPS = "smtpd_discard_ehlo_keywords", "smtpd_discard_ehlo_keyword_address_maps"
_PROXY = "smtpd_upstream_proxy_protocol"
_ASKED = (
    *("postconf", "-x", _ONLY, "smtpd_sasl_auth_enable", "smtpd_tls_security_level"),
    *("smtpd_use_tls", "smtpd_enforce_tls", "smtpd_tls_wrappermode", *_CERTIFICATES),
    *(_WORDS, _MAPS, _PROXY),
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
        return open_to_all and not self.no_login

    @property
    def no_login(self) -> str:
        """The setting by which strangers cannot log in at all; empty where they can."""
        if not self.yes("smtpd_sasl_auth_enable"):
            return "smtpd_sasl_auth_enable = no"
        words = self[_WORDS].lower().replace(",", " ").split()
        return "auth in %s" % _WORDS if "auth" in words else ""


def _enforce(facts: HostFacts, port: int, protocol: str, excepting: bool = False) -> Enforcement:
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
    beside = _Beside(port, document)
    there = any(each[_MAPS] == beside.maps for _, each in inet)
    here = [settings for number, settings in inet if number == port]
    if not here:
        return Enforcement(("no service of %s has port %d" % (_MASTER, port),))
    problems = [problem for settings in here for problem in _problems(settings, port)]
    already = ""
    if all(settings.enforced for settings in here):
        already = "Postfix takes no login before TLS on port %d already" % port
    new = excepting and not there
    if new and not problems:
        again = [already + ": mailseal rollback, then plan with --except"] if already else []
        problems = again or list(_no_room(facts, beside, here, [number for number, _ in inet]))
    if problems:
        return Enforcement(tuple(dict.fromkeys(problems)))
    if already and not there:
        return Enforcement(already=already)
    # Of two addresses of one port, one may be safe already; then it stays as it is.
    change = [settings.service for settings in here if not settings.enforced]
    splices = [
        each
        for service in change
        for each in master_cf.set_override(document, service, _ONLY, "yes")
    ]
    values = [(service.name, "yes") for service in change]
    if new:
        splices += beside.splices(here)
        values += [(beside.name(settings.service), "no") for settings in here]
    effect = [
        CheckConfiguration(("postconf", "-P", key), ("%s = %s" % (key, value),))
        for key, value in (("%s/inet/%s" % (name, _ONLY), value) for name, value in values)
    ]
    others = [
        number
        for number, settings in inet
        if number and number != port and settings.takes_cleartext
    ]
    certificate = here[0]["smtpd_tls_cert_file"]
    one = not any(here[0][name] for name in _CERTIFICATES[1:])
    return Enforcement(
        already=already,
        splices=((_MASTER, tuple(splices)),) if splices else (),
        checks=(CheckConfiguration(("postfix", "check"), ()), *effect),
        ports=(port,),
        certificate=public(facts, certificate) if one else "",
        told=still_open("Postfix", others),
        paths=(DIRECTORY + "/main.cf", _MASTER),
        door=beside.door(here[0]) if there or new else None,
        side=beside.port if there or new else 0,
    )


def _problems(settings: _Settings, port: int) -> List[str]:
    """Why TLS cannot be enforced on a service, and what to do first."""
    command = settings.service.command
    if command != "smtpd":
        words = "port %d is served by %s, which hands its logins to another service of %s"
        return [words % (port, command, _MASTER)]
    if settings.yes("smtpd_tls_wrappermode"):
        return ["port %d speaks TLS from the first octet (smtpd_tls_wrappermode)" % port]
    if settings.no_login:
        return ["no login is configured on port %d (%s)" % (port, settings.no_login)]
    if settings.level == "none" or not settings.certificate:
        return [
            "Postfix has no TLS on port %d, so nobody could log in any more: set "
            "smtpd_tls_cert_file, smtpd_tls_key_file and smtpd_tls_security_level = may in "
            "%s/main.cf, reload, then plan again" % (port, DIRECTORY)
        ]
    return []


class _Beside:
    """The service beside that serves excepted clients of a port."""

    def __init__(self, port: int, document: master_cf.Document) -> None:
        self.port, self.document = side(port), document
        self.path = "/etc/mailseal/except-%d.cidr" % port

    @property
    def maps(self) -> str:
        return "cidr:" + self.path

    def door(self, settings: _Settings) -> Door:
        """The list (cidr_table(5)): what is left out for these clients is what was before."""
        return Door(
            path=self.path,
            head="# Made by mailseal: who may log in without TLS, each to the end of its day.\n",
            each="%s " + (_joined(settings[_WORDS]) or "silent-discard") + "\n",
        )

    def name(self, service: master_cf.Service) -> str:
        """That of the service beside another: the same address."""
        return re.sub(r"[\w-]+\Z", str(self.port), service.name)

    def splices(self, here: Sequence[_Settings]) -> Iterator[Splice]:
        """What adds them, at the end."""
        data = self.document.data
        for settings in here:
            span, name = settings.service.span, self.name(settings.service)
            lines = [
                line
                for line in data[span.start : span.end].splitlines()
                if line.strip() and not line.lstrip().startswith(b"#")
            ]
            lines[0] = re.sub(rb"\A\S+", name.encode(), lines[0])
            for setting in (
                _ONLY + "=no",
                _WORDS + "=" + _joined(settings[_WORDS] + " auth"),
                _MAPS + "=" + self.maps,
            ):
                lines.append(b"  -o " + setting.encode())
            newline = edits.newline_of(data)
            yield edits.insert_line(data, len(data), newline.join(lines), newline)


def _joined(words: str) -> str:
    """Names of a list, in one word."""
    return ",".join(re.findall(r"[^\s,]+", words))


def _no_room(
    facts: HostFacts, beside: _Beside, here: Sequence[_Settings], ports: Sequence[Optional[int]]
) -> Iterator[str]:
    """Why no service can stand beside for excepted clients, and what to do first."""
    taken = [
        each.process or "an unseen process" for each in facts.listeners if each.port == beside.port
    ]
    if taken or beside.port in ports:
        who = taken[0] if taken else _MASTER
        yield "port %d, which is needed for excepted clients, is taken by %s" % (beside.port, who)
    if facts.file(beside.path) is not None:
        yield "%s is there, though %s does not name it: take it away first" % (beside.path, _MASTER)
    if any(settings.enforced for settings in here):
        yield "another address of the same port takes no login before TLS: plan without --except"
    for name in (_MAPS, _PROXY):
        if any(settings[name] for settings in here):
            words = "%s is set, and what it does has no room beside it: plan without --except"
            yield words % name
    if not all(re.fullmatch(r"[A-Za-z0-9\s,-]*", settings[_WORDS]) for settings in here):
        yield "%s is no plain list of names: write it as one first" % _WORDS


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
        excepting=functools.partial(_enforce, excepting=True),
    ),
)
