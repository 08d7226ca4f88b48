"""Cyrus IMAP: `listen` of each service in the SERVICES of cyrus.conf (cyrus.conf(5)).

It looks for the user before its policy (imapd.c, cmd_login), so "Invalid user" shows nothing for
users who exist. timsieved answers a mechanism that its policy does not let begin with a bare
"Authentication Error", before it has asked for anything; where the mechanism may begin it sends a
challenge. With tls_required it knows no AUTHENTICATE at all before TLS.

It enforces TLS with allowplaintext, and with tls_required (since 3.0) for the mechanisms that show
no password; a service of cyrus.conf may have them of its own, by its name in front. A process that
is there serves on with what it has read, so a change takes a restart: the unit of Debian 12 has no
reload (seen: 3.6.1).

Its log says "+TLS" of a login that worked. Of one that failed only the line "starttls" before it,
of the same process, tells; a process serves one session after the other, so that line counts once.
A LOGIN that policy refuses over IMAP leaves no line (seen: 3.6.1). In the newest releases lines are
logfmt (imap/loginlog.c).
"""

from __future__ import annotations

import functools
import posixpath
import re
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mailseal.configs import assignments
from mailseal.configs import cyrus as imapd_conf
from mailseal.daemons.base import (
    RESTART,
    Daemon,
    Enforcement,
    Native,
    Reading,
    Sign,
    Taken,
    content,
    editable,
    host_and_port,
    lines,
    pairs,
    port_of,
    public,
    source,
    still_open,
    text,
)
from mailseal.daemons.dialect import Dialect, Line, Says, octets, services
from mailseal.model.host import HostFacts
from mailseal.model.local import Declared, Source
from mailseal.model.login import LoginOutcome
from mailseal.model.look import Channel, Outcome
from mailseal.model.ops import CheckConfiguration, Splice
from mailseal.system.reader import Reader, arguments

CONFIG = "/etc/cyrus.conf"

_SECTION = re.compile(r"\s*([A-Z]+)\s*\{")
_LISTEN = re.compile(r"\S\s.*\blisten=")
_VALUES = re.compile(r'\b(cmd|listen)=(?:"([^"]*)"|(\S+))')


class _Service(NamedTuple):
    """A line of SERVICES: its name, the words of `cmd`, the address and port of `listen`."""

    name: str
    command: Tuple[str, ...]
    listen: str
    source: Source


def _services(path: str, data: Optional[bytes]) -> Iterator[_Service]:
    section = ""
    for number, line in lines(data):
        line = line.partition("#")[0]
        begins = _SECTION.match(line)
        section = begins.group(1) if begins else section
        if section == "SERVICES" and _LISTEN.search(line):
            values = {each[1]: each[2] or each[3] or "" for each in _VALUES.finditer(line)}
            command = tuple(values.get("cmd", "").split())
            where = source(path, number, line)
            yield _Service(line.split()[0], command, values.get("listen", ""), where)
        if "}" in line:
            section = ""


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    path = (arguments(argv, "-M") or (CONFIG,))[-1]
    found = []
    for service in _services(path, reader.read(path)):
        where = host_and_port(reader.port, service.listen)
        if where:
            found.append(Declared(*where, service.source))
    return tuple(found)


# -- enforcement -----------------------------------------------------------------------------------

_IMAPD = "/etc/imapd.conf"
_DEFAULTS = "/etc/default/cyrus-imapd"
_USUAL = {"CONF": _IMAPD, "MASTERCONF": CONFIG, "OPTIONS": ""}
"""What the unit's environment says, unless it was changed."""
_PROGRAMS = {"imapd": "imap", "pop3d": "pop3", "timsieved": "managesieve"}
_WANTED = {"allowplaintext": "no", "tls_required": "yes"}
_CERTIFICATES = ("tls_server_cert", "tls_cert_file")
_KEYS = ("tls_server_key", "tls_key_file")
"""Before 3.0 and since."""
_MAX_SERVICES = 50
_MAX_FILES = 20


def _asked(service: str) -> Tuple[str, ...]:
    return ("/usr/lib/cyrus/bin/cyr_info", "-C", _IMAPD, "-n", service, "conf-all")


def _take(reader: Reader) -> Taken:
    answers: Dict[str, str] = {}
    shown: Dict[str, None] = {}
    for service in list(_services(CONFIG, reader.read(CONFIG)))[:_MAX_SERVICES]:
        if _protocol(service):
            said = pairs(reader.ask(*_asked(service.name)), ":")
            # The rest may hold passwords.
            kept = {key: said[key] for key in (*_WANTED, *_CERTIFICATES, *_KEYS) if key in said}
            answers[" ".join(_asked(service.name))] = _lines(kept)
            shown[_first(kept, _CERTIFICATES)] = None
    files = [path for path, _ in _files(reader.read)]
    paths = [path for path in shown if path.startswith("/")]
    return Taken((CONFIG, _DEFAULTS, *files, *paths), answers)


def _lines(values: Mapping[str, str]) -> str:
    return "".join("%s: %s\n" % item for item in values.items())


def _protocol(service: _Service) -> str:
    """What a service speaks, as we name it; empty where we do not know it."""
    return _PROGRAMS.get(posixpath.basename(service.command[0]), "") if service.command else ""


def _first(values: Mapping[str, str], names: Sequence[str]) -> str:
    """The first of them that is set."""
    said = (values.get(name, "") for name in names)
    return next((each for each in said if each not in ("", "disabled")), "")


def _files(read: Callable[[str], Optional[bytes]]) -> List[Tuple[str, imapd_conf.Document]]:
    """imapd.conf and what it includes."""
    paths = [_IMAPD]
    found: List[Tuple[str, imapd_conf.Document]] = []
    while paths and len(found) < _MAX_FILES:
        document = imapd_conf.parse(read(paths[0]) or b"")
        found.append((paths.pop(0), document))
        paths += document.includes
    return found


def _enforce(facts: HostFacts, port: int, protocol: str) -> Enforcement:
    services = [
        (service, number[1])
        for service in _services(CONFIG, content(facts, CONFIG))
        for number in [host_and_port(port_of(facts), service.listen)]
        if number
    ]
    here = [service for service, number in services if number == port]
    said = {each.name: _said(facts, each.name) for each, _ in services}
    files = _files(functools.partial(content, facts))
    problems = [*_unreadable(facts, files), *_problems(here, said, port, protocol)]
    if problems:
        return Enforcement(tuple(dict.fromkeys(problems)))
    wanted = {name: _missing(said[name]) for name in dict.fromkeys(each.name for each in here)}
    if not any(wanted.values()):
        return Enforcement(already="Cyrus takes no login before TLS on port %d already" % port)
    with_it = [number for service, number in services if service.name in wanted]
    others = [
        number
        for service, number in services
        if _protocol(service) and not {"-s", "-C"} & {*service.command}
        if service.name not in wanted and _missing(said[service.name])
    ]
    return Enforcement(
        splices=_splices(files, wanted),
        checks=tuple(
            CheckConfiguration(
                _asked(name),
                tuple("%s: %s" % each for each in _WANTED.items() if each[0] in said[name]),
            )
            for name in wanted
        ),
        ports=tuple(dict.fromkeys((port, *with_it))),
        certificate=public(facts, _first(said[here[0].name], _CERTIFICATES)),
        told=still_open("Cyrus", others),
        paths=(CONFIG, _DEFAULTS, *(path for path, _ in files)),
    )


def _said(facts: HostFacts, service: str) -> Dict[str, str]:
    return pairs(facts.answers.get(" ".join(_asked(service)), ""), ":")


def _missing(said: Mapping[str, str]) -> Tuple[Tuple[str, str], ...]:
    """What must be set, of what this release knows."""
    return tuple(item for item in _WANTED.items() if said.get(item[0], item[1]) != item[1])


def _unreadable(
    facts: HostFacts, files: Sequence[Tuple[str, imapd_conf.Document]]
) -> Iterator[str]:
    unit = assignments.parse(content(facts, _DEFAULTS) or b"").last
    for name, usual in _USUAL.items():
        if name in unit and unit[name].value.text != usual:
            yield "%s sets %s: its files are not known" % (_DEFAULTS, name)
    for path, document in files:
        problem = editable(facts, path)
        if problem:
            yield problem
        for bad in document.malformed:
            yield "%s line %d: %s" % (path, bad.span.line, bad.reason)


def _problems(
    here: Sequence[_Service], said: Mapping[str, Mapping[str, str]], port: int, protocol: str
) -> Iterator[str]:
    """Why TLS cannot be enforced, and what to do first."""
    if not here:
        yield "no service of %s has port %d" % (CONFIG, port)
    for service in here:
        values = said[service.name]
        if _protocol(service) != protocol:
            words = "%s of %s is no %s that is known here"
            yield words % (service.name, CONFIG, protocol.upper())
        elif "-s" in service.command:
            yield "port %d speaks TLS from the first octet (-s in %s)" % (port, CONFIG)
        elif "-C" in service.command or not re.fullmatch(r"[a-z0-9_-]+", service.name):
            words = "%s of %s has files of its own, or a name that no option can have in front"
            yield words % (service.name, CONFIG)
        elif "allowplaintext" not in values:
            yield "cyr_info gave no answer: run as root, and see that `%s` works" % " ".join(
                _asked(service.name)
            )
        elif not (_first(values, _CERTIFICATES) and _first(values, _KEYS)):
            yield (
                "Cyrus has no TLS on port %d, so nobody could log in any more: set tls_server_cert "
                "and tls_server_key in %s, restart cyrus-imapd, then plan again" % (port, _IMAPD)
            )


def _splices(
    files: Sequence[Tuple[str, imapd_conf.Document]],
    wanted: Mapping[str, Sequence[Tuple[str, str]]],
) -> Tuple[Tuple[str, Tuple[Splice, ...]], ...]:
    """A service's own option is changed where it stands, what it has not is added at the end."""
    new = {"%s_%s" % (name, key): value for name, keys in wanted.items() for key, value in keys}
    edits: Dict[str, List[Splice]] = {}
    for path, document in files:
        for option in document.options:
            if option.name in new:
                value = new.pop(option.name)
                edits.setdefault(path, []).extend(imapd_conf.set_value(document, option, value))
    if new:
        path, document = files[0]
        edits.setdefault(path, []).extend(imapd_conf.add(document, tuple(new.items())))
    return tuple((path, tuple(splices)) for path, splices in edits.items())


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
        Reading(
            ("managesieve",),
            text(r'^NO "Expected a command\. Got something else\."$'),
            Outcome.UNCLEAR,
            Outcome.REFUSED,
            "Cyrus knows no AUTHENTICATE before TLS",
            "seen: 3.6.1 with tls_required yes",
            unlisted=True,
        ),
    ),
    native=Native(
        ("cyrus-imapd.service",),
        _take,
        _enforce,
        RESTART,
        no_door="allowplaintext and tls_required have one value for all clients",
    ),
)
