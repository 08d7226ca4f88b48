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

It enforces TLS before login with `ssl` and one setting more, whose name 2.4 changed, for a protocol
by itself (`protocol imap { }`), over whatever is said outside: tried with 2.3.19 and 2.4.1.
"""

from __future__ import annotations

import functools
import os.path
import re
from dataclasses import dataclass
from typing import (
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from mailseal.configs import dovecot as conf
from mailseal.configs.text import Malformed
from mailseal.daemons.base import (
    Daemon,
    Enforcement,
    Native,
    PortOf,
    Sign,
    Taken,
    also_ports,
    content,
    default,
    editable,
    matching,
    pairs,
    port_of,
    public,
    source,
    text,
)
from mailseal.daemons.dialect import Dialect, Line, Says, octets, services
from mailseal.model.excepted import Door
from mailseal.model.host import HostFacts
from mailseal.model.local import Declared, Source
from mailseal.model.login import LoginOutcome
from mailseal.model.look import Channel, Vantage
from mailseal.model.ops import CheckConfiguration, Splice
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


class Setting(NamedTuple):
    """A setting, and the sections it is in, outermost first: (kind, name)."""

    sections: conf.Sections
    key: str
    value: str
    source: Source


class Place(NamedTuple):
    """An item of a file, with the sections it is in."""

    path: str
    document: conf.Document
    sections: conf.Sections
    item: conf.Items


@dataclass
class _Listener:
    port: Optional[int] = None
    source: Optional[Source] = None
    hosts: Tuple[str, ...] = ()
    implicit: bool = False


class _Open(NamedTuple):
    """A socket that is asked for, its protocol as Dovecot names it, TLS from the first octet."""

    declared: Declared
    protocol: str
    implicit: bool


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    path = (arguments(argv, "-c") or (CONFIG,))[-1]
    places = _walk(reader.read, reader.matching, path, [], 0, reader.unread)
    return tuple(each.declared for each in _opened(places, reader.port, path))


def _opened(places: Iterable[Place], number_of: PortOf, path: str) -> List[_Open]:
    protocols: Optional[Dict[str, Source]] = None
    everywhere: Tuple[str, ...] = ()
    listeners = {key: _Listener(implicit=key[1].endswith("s")) for key in PORTS}
    for setting in _settings(places):
        kinds = [kind for kind, _ in setting.sections]
        if kinds == ["service", "inet_listener"]:
            key = (setting.sections[0][1], setting.sections[1][1])
            listener = listeners.setdefault(key, _Listener())
            if setting.key == "port":
                listener.port = number_of(setting.value) or 0
                listener.source = setting.source
            elif setting.key in ("address", "listen"):
                listener.hosts = _hosts(setting.value)
            elif setting.key == "ssl":
                listener.implicit = setting.value == "yes"
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
    found: List[_Open] = []
    for key, listener in listeners.items():
        protocol, port = PORTS.get(key, ("", 0))
        said = listener.source or protocols.get(protocol)
        number = port if listener.port is None else listener.port
        if said and number:
            hosts = listener.hosts or everywhere or ("",)
            of = _SERVICES.get(key[0], "")
            found += [_Open(Declared(host, number, said), of, listener.implicit) for host in hosts]
    return found


_SERVICES = {service: protocol for (service, _), (protocol, _port) in PORTS.items()}


def _hosts(value: str) -> Tuple[str, ...]:
    """`*, ::` and the like: the family's wildcard for `*`."""
    words = re.findall(r"[^\s,]+", value)
    return tuple("0.0.0.0" if word == "*" else word.strip("[]") for word in words)


def _settings(places: Iterable[Place]) -> Iterator[Setting]:
    for place in places:
        item = place.item
        if isinstance(item, conf.Setting):
            span = item.span
            line = place.document.data[span.start : span.end].decode("utf-8", "replace")
            where = source(place.path, span.line, line)
            yield Setting(place.sections, item.key.text, item.value.text, where)


def _walk(
    read: Callable[[str], Optional[bytes]],
    matching: Callable[[str], Sequence[str]],
    path: str,
    seen: List[str],
    depth: int,
    unread: Dict[str, str],
) -> Iterator[Place]:
    """The items of a file and of those that it includes, in the order in which they count. What is
    too much is told in `unread`; `seen` are the files gone through.
    """
    if depth > MAX_DEPTH or len(seen) >= MAX_FILES:
        unread[path] = "included too deep, or one of too many"
        return
    seen.append(path)
    document = conf.parse(read(path) or b"")
    for sections, item in conf.nested(document):
        if isinstance(item, conf.Include):
            pattern = os.path.normpath(os.path.join(os.path.dirname(path), item.pattern))
            for each in matching(pattern):
                yield from _walk(read, matching, each, seen, depth + 1, unread)
        else:
            yield Place(path, document, sections, item)


# -- enforcement -----------------------------------------------------------------------------------

_NAMES = {"imap": "imap", "pop3": "pop3", "managesieve": "sieve", "smtp": "submission"}
"""Our name of a protocol to Dovecot's."""
_WANTED = {
    "2.2": (("ssl", "required"), ("disable_plaintext_auth", "yes")),
    "2.3": (("ssl", "required"), ("disable_plaintext_auth", "yes")),
    "2.4": (("ssl", "required"), ("auth_allow_cleartext", "no")),
}
_VERSION = ("dovecot", "--version")
_TRUSTED = "login_trusted_networks"
_CERTIFICATES = ("ssl_cert", "ssl_server_cert_file")


def _release(said: str) -> str:
    return ".".join(said.split(" ")[0].strip().split(".")[:2])


def _asked(protocol: str, release: str) -> Tuple[str, ...]:
    names = (*(key for key, _ in _WANTED[release]), _TRUSTED)
    return ("doveconf", "-f", "protocol=" + protocol, *names)


def _take(reader: Reader) -> Taken:
    said = reader.ask(*_VERSION)
    answers = {" ".join(_VERSION): said}
    for protocol in _NAMES.values() if _release(said) in _WANTED else ():
        asked = _asked(protocol, _release(said))
        answers[" ".join(asked)] = reader.ask(*asked)
    seen: List[str] = []
    shown = _certificate(_walk(reader.read, reader.matching, CONFIG, seen, 0, reader.unread))
    return Taken((*seen, *([shown] if shown else [])), answers)


def _certificate(places: Iterable[Place]) -> str:
    """The certificate's file; empty where none is named, or several for names or addresses."""
    found = ""
    for setting in _settings(places):
        kinds = [kind for kind, _ in setting.sections]
        name = "ssl_server_" + setting.key if kinds == ["ssl_server"] else setting.key
        if name in _CERTIFICATES and kinds in ([], ["ssl_server"]):
            found = setting.value.lstrip("< ")
        elif name in _CERTIFICATES:
            return ""
    return found


def _enforce(facts: HostFacts, port: int, protocol: str, excepting: bool = False) -> Enforcement:
    name = _NAMES.get(protocol, "")
    version = facts.answers.get(" ".join(_VERSION), "").strip()
    release = _release(version)
    if not name or release not in _WANTED:
        what = "Dovecot %s" % (version or "of a release that it did not tell")
        return Enforcement(("%s with %s is not known here" % (what, protocol.upper()),))
    seen: List[str] = []
    unread: Dict[str, str] = {}
    read = functools.partial(content, facts)
    places = list(_walk(read, functools.partial(matching, facts), CONFIG, seen, 0, unread))
    opened = _opened(places, port_of(facts), CONFIG)
    mine = [each for each in opened if each.protocol == name]
    clear = tuple(dict.fromkeys(each.declared.port for each in mine if not each.implicit))
    values = pairs(facts.answers.get(" ".join(_asked(name, release)), ""))
    door = _door(name, release)
    there = door.path in seen
    problems = [problem for problem in (editable(facts, path) for path in seen) if problem]
    problems += ["%s: %s" % item for item in unread.items()]
    problems += _malformed(places)
    problems += _problems(places, values, name, release, door.path)
    if port not in clear:
        problems.append(
            "no listener of %s without TLS has port %d in Dovecot's files" % (name, port)
        )
    enforced = all(values.get(key) == value for key, value in _WANTED[release])
    if excepting and not enforced:
        problems += _no_exception(facts, places, name, release)
    if problems:
        return Enforcement(tuple(problems))
    wanted = _WANTED[release]
    already = "Dovecot takes no login before TLS on port %d already" % port
    if enforced and excepting and not there:
        return Enforcement((already + ": mailseal rollback, then plan with --except",))
    if enforced and not there:
        return Enforcement(already=already)
    checks = [CheckConfiguration(("doveconf", "-n"), ())]
    checks += _effective(name, release, wanted)
    splices: Tuple[Tuple[str, Tuple[Splice, ...]], ...] = ()
    if excepting and not enforced and release in _CONFLICTS:
        others = _others(facts, name, release)
        lines = _outside(name, wanted, tuple(others[0].items()), door.path)
        splices = ((CONFIG, conf.add_lines(_main(places), lines)),)
        for each in _NAMES.values():
            checks += _effective(each, release, tuple(others[0].items())) if each != name else []
    elif not enforced:
        splices = _splices(places, name, wanted, [_ROOM % door.path] if excepting else [])
    return Enforcement(
        already=already if enforced else "",
        splices=splices,
        checks=tuple(checks),
        ports=(port, *(each for each in clear if each != port)),
        certificate=public(facts, _certificate(places)),
        told=_told(opened, name, clear, port),
        risks=_risks(values),
        paths=tuple(seen),
        door=door if there or excepting else None,
    )


def _effective(
    name: str, release: str, wanted: Sequence[Tuple[str, str]]
) -> List[CheckConfiguration]:
    """That these are a protocol's values, whatever else the files say."""
    lines = tuple("%s = %s" % pair for pair in wanted)
    return [CheckConfiguration(_asked(name, release), lines)]


# -- exceptions by network -------------------------------------------------------------------------

_ALLOWED = {
    "2.3": (("ssl", "yes"), ("disable_plaintext_auth", "no")),
    "2.4": (("ssl", "yes"), ("auth_allow_cleartext", "yes")),
}
_CONFLICTS = ("2.3",)
"""Releases that take a setting of `remote` for a conflict with one of the protocol
(config-filter.c, config_filter_is_superset). There the setting for everybody stands outside, and
the other protocols keep theirs in `protocol !imap` (tried with 2.3.19). 2.4 lets `remote` win
(tried with 2.4.1).
"""
_ROOM = "!include_try %s"


def _door(name: str, release: str) -> Door:
    inner = conf.section("protocol", name, _ALLOWED.get(release, ()))
    each = ["remote %s {", *("  " + line for line in inner), "}", ""]
    return Door(
        path="/etc/dovecot/mailseal-%s.conf" % name,
        head="# Made by mailseal: who may log in without TLS, each to the end of its day.\n",
        each="\n".join(each),
        tail="",
        unit="dovecot.service",
    )


def _outside(
    name: str,
    wanted: Sequence[Tuple[str, str]],
    others: Tuple[Tuple[str, str], ...],
    path: str,
) -> List[str]:
    """The lines that enforce TLS where a protocol's own section would not do."""
    settings = [conf.setting(*pair) for pair in wanted]
    return [*settings, *conf.section("protocol", "!" + name, others), _ROOM % path]


def _others(facts: HostFacts, name: str, release: str) -> List[Dict[str, str]]:
    """What the other protocols have of the settings: the different answers."""
    keys = [key for key, _ in _WANTED[release]]
    found: List[Dict[str, str]] = []
    for each in _NAMES.values():
        said = pairs(facts.answers.get(" ".join(_asked(each, release)), ""))
        values = {key: said.get(key, "") for key in keys}
        if each != name and values not in found:
            found.append(values)
    return found


def _no_exception(
    facts: HostFacts, places: Sequence[Place], name: str, release: str
) -> Iterator[str]:
    """Why no network can be excepted, and what to do first."""
    if release not in _ALLOWED:
        yield "no network can be excepted with Dovecot %s: this is known of 2.3 and 2.4" % release
    if release not in _CONFLICTS:
        return
    keys = [key for key, _ in _WANTED[release]]
    for setting in _settings(places):
        if setting.key in keys and "protocol" in {kind for kind, _ in setting.sections}:
            where = setting.source
            words = (
                "%s line %d sets %s for a protocol, beside which Dovecot %s takes no exception: "
            )
            yield words % (where.file, where.line, setting.key, release) + "take it out first"
    others = _others(facts, name, release)
    if len(others) > 1 or not all(others[0].values()):
        words = "Dovecot's other protocols differ in %s, or do not tell: make them alike first"
        yield words % " and ".join(keys)


def _malformed(places: Sequence[Place]) -> List[str]:
    return [
        "%s line %d: %s" % (place.path, place.item.span.line, place.item.reason)
        for place in places
        if isinstance(place.item, Malformed)
    ]


def _problems(
    places: Sequence[Place], values: Mapping[str, str], name: str, release: str, ours: str
) -> Iterator[str]:
    """Why TLS cannot be enforced, and what to do first. `ours` is the file of exceptions."""
    if not values:
        yield "doveconf gave no answer: run as root, and see that `doveconf -n` works"
        return
    keys = [key for key, _ in _WANTED[release]]
    certificate = False
    for setting in _settings(places):
        certificate = certificate or setting.key in (*_CERTIFICATES, "cert_file")
        kinds = [kind for kind, _ in setting.sections]
        apart = {"local", "remote", "local_name"} & set(kinds)
        if setting.key in keys and apart and setting.source.file != ours:
            words = "%s line %d says otherwise for some addresses (%s in %s): settle that first"
            where = setting.source
            yield words % (where.file, where.line, setting.key, " ".join(kinds))
    if values.get("ssl") == "no" or not certificate:
        yield (
            "Dovecot has no TLS, so nobody could log in any more: set ssl = yes and %s, reload, "
            "then plan again" % _HOW[release]
        )


_HOW = {
    "2.2": "ssl_cert and ssl_key",
    "2.3": "ssl_cert and ssl_key",
    "2.4": "ssl_server_cert_file and ssl_server_key_file",
}


def _main(places: Sequence[Place]) -> conf.Document:
    return next(place.document for place in places if place.path == CONFIG)


def _splices(
    places: Sequence[Place], name: str, wanted: Sequence[Tuple[str, str]], more: Sequence[str]
) -> Tuple[Tuple[str, Tuple[Splice, ...]], ...]:
    """What the protocol's own sections say is changed where it stands. What they do not say is
    added at the end of the main file, where it counts over all before; so are the lines `more`.
    """
    edits: Dict[str, List[Splice]] = {}
    missing = dict(wanted)
    for place in places:
        item = place.item
        if not isinstance(item, conf.Setting) or place.sections != (("protocol", name),):
            continue
        if item.key.text in dict(wanted):
            new = dict(wanted)[item.key.text]
            edits.setdefault(place.path, []).extend(conf.set_value(place.document, item, new))
            missing.pop(item.key.text, None)
    lines = conf.section("protocol", name, tuple(missing.items())) if missing else []
    if lines or more:
        added = conf.add_lines(_main(places), [*lines, *more])
        edits.setdefault(CONFIG, []).extend(added)
    return tuple((path, tuple(splices)) for path, splices in edits.items() if splices)


def _told(opened: Sequence[_Open], name: str, clear: Sequence[int], port: int) -> Tuple[str, ...]:
    told = [*also_ports("Dovecot", name.upper(), clear, port)]
    others = sorted({each.protocol for each in opened if each.protocol not in ("", name)})
    if others:
        words = "Dovecot's other protocols (%s) stay as they are: plan for them too."
        told.append(words % ", ".join(others))
    return tuple(told)


def _risks(values: Mapping[str, str]) -> Tuple[str, ...]:
    if not values.get(_TRUSTED):
        return ()
    words = "Clients of %s (%s) may go on logging in in cleartext."
    return (words % (values[_TRUSTED], _TRUSTED),)


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
    native=Native(
        ("dovecot.service",),
        _take,
        _enforce,
        excepting=functools.partial(_enforce, excepting=True),
    ),
)
