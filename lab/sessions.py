"""Whole sets of logins with one daemon: the packets, the daemon's own log, and what was done.

Strategy: a daemon is put into `permitted` and then into `required`, and in each the programs of
`lab.clients` log in, from two hosts, over both families: every way that the daemon and the program
have in common, in cleartext with the right password and a wrong one, and inside TLS. What they have
in common is data (`KITS`); the daemons' settings are those of `lab.daemons`, and their logs are as
talkative as their packages make them. Where TLS is required many programs give up before they log
in: that nobody may see a login then is tested too. `brief` leaves one login of a kind, for sets
that are kept.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from lab import Host, Lab
from lab.clients import Task, run
from lab.daemons import DAEMONS, ODD, Service, install
from lab.images import LabError
from lab.peers import lists
from lab.pop2 import Account
from lab.truth import Truth

POP2 = "pop2"
"""The project's own POP2 server, which is none of `lab.daemons`."""


@dataclass(frozen=True)
class Way:
    """How a program logs in; see `lab.clients.Task`."""

    program: str
    mechanism: str
    form: str = ""


def _ways(program: str, *mechanisms: str) -> tuple[Way, ...]:
    return tuple(Way(program, *each.split("/")) for each in mechanisms)


WAYS: Mapping[str, tuple[Way, ...]] = {
    "pop2": _ways("typed", "HELO"),
    "pop3": (
        *_ways("fetchmail", "USER", "APOP", "CRAM-MD5"),
        *_ways("mutt", "USER", "APOP", "PLAIN", "LOGIN", "CRAM-MD5"),
        *_ways("mpop", "USER", "PLAIN", "LOGIN", "CRAM-MD5"),
        *_ways("curl", "USER", "APOP", "PLAIN", "PLAIN/initial", "LOGIN", "CRAM-MD5"),
        *_ways("typed", "USER", "PLAIN", "PLAIN/initial", "LOGIN"),
    ),
    "imap": (
        *_ways("fetchmail", "LOGIN command", "CRAM-MD5"),
        *_ways("mutt", "LOGIN command", "PLAIN", "LOGIN", "CRAM-MD5"),
        *_ways("curl", "LOGIN command", "PLAIN", "PLAIN/initial", "LOGIN", "CRAM-MD5"),
        *_ways("typed", "LOGIN command", "LOGIN command/literal", "LOGIN command/literal+"),
        *_ways("typed", "LOGIN command/ID", "PLAIN", "PLAIN/initial", "LOGIN"),
    ),
    "smtp": (
        *_ways("swaks", "PLAIN", "LOGIN", "CRAM-MD5"),
        *_ways("mutt", "PLAIN", "LOGIN", "CRAM-MD5"),
        *_ways("curl", "PLAIN", "PLAIN/initial", "LOGIN", "CRAM-MD5"),
        *_ways("typed", "PLAIN", "PLAIN/initial", "LOGIN", "LOGIN/initial"),
    ),
    "managesieve": (
        *_ways("sieve-connect", "PLAIN", "LOGIN"),
        *_ways("typed", "PLAIN", "PLAIN/initial", "PLAIN/literal", "LOGIN"),
    ),
}
_COMMANDS = frozenset({"HELO", "USER", "LOGIN command"})
_PASSWORDS = frozenset({*_COMMANDS, "PLAIN", "LOGIN"})


@dataclass(frozen=True)
class Kit:
    """What a daemon has. `offers` is what programs find offered, beside the commands of the
    protocols; `takes` what it takes unasked from who types by hand. `cannot` are ways that are
    left out besides. `mechanisms` is what `lab.daemons` is told to have it offer. `tls` and `ipv6`:
    it has them. `logs` are files in which it writes its log; none: the journal.
    """

    offers: frozenset[str] = frozenset()
    takes: frozenset[str] = _PASSWORDS
    cannot: frozenset[tuple[str, Way]] = frozenset()
    mechanisms: str = "PLAIN LOGIN CRAM-MD5"
    tls: bool = True
    ipv6: bool = True
    logs: tuple[str, ...] = ()

    def has(self, protocol: str, way: Way) -> bool:
        """Whether a login that way can come to pass."""
        if (protocol, way) in self.cannot:
            return False
        if way.program == "typed":
            return way.mechanism in self.takes
        if way.program == "curl" or (protocol, way.program) == ("imap", "mutt"):
            # They take the commands of the protocols only for want of anything else.
            return way.mechanism in (self.offers or _COMMANDS)
        if way.mechanism in _COMMANDS:
            return True
        return way.mechanism in self.offers


_ALL = frozenset({"PLAIN", "LOGIN", "CRAM-MD5"})
KITS: Mapping[str, Kit] = {
    "dovecot-2.3": Kit(_ALL | {"APOP"}, mechanisms="PLAIN LOGIN CRAM-MD5 APOP"),
    "dovecot-2.4": Kit(_ALL | {"APOP"}, mechanisms="PLAIN LOGIN CRAM-MD5 APOP"),
    # mutt sends an empty initial response for CRAM-MD5, which Cyrus does not take.
    "cyrus": Kit(_ALL | {"APOP"}, cannot=frozenset({("imap", Way("mutt", "CRAM-MD5"))})),
    "courier": Kit(cannot=frozenset({("imap", Way("typed", "LOGIN command", "literal+"))})),
    "popa3d": Kit(takes=frozenset({"USER"}), tls=False, ipv6=False),
    "postfix": Kit(_ALL),
    "exim": Kit(_ALL, logs=("/var/log/exim4/mainlog",)),
    POP2: Kit(tls=False),
}


@dataclass(frozen=True)
class Session:
    """What was seen and done with the daemon `name`. `capture` is a pcap file; `logs` are the same
    log in several forms, by the name of each. `secrets` must never be seen again. `peers`: how many
    logins other programs list of the capture, by their names and by protocol.
    """

    name: str
    capture: bytes
    logs: Mapping[str, bytes]
    truths: tuple[Truth, ...]
    secrets: tuple[str, ...]
    peers: Mapping[str, Counter[str]]


def services(name: str) -> tuple[Service, ...]:
    """The ports on which programs log in: the standard ones."""
    if name == POP2:
        return (Service("pop2", 109),)
    served = DAEMONS[name].services
    return tuple(each for each in served if each.port < ODD and each.port != 587)


def password(name: str) -> str:
    """One that exists in one lab only, with what needs care on the way."""
    # RFC 937 section 4: a POP2 password is a word.
    return secrets.token_hex(6) if name == POP2 else f'open "{secrets.token_hex(6)} sesame'


_UNABLE = {
    # They take STARTTLS wherever it is offered, or never.
    *(("sieve-connect", mechanism, "clear") for mechanism in ("PLAIN", "LOGIN")),
    ("fetchmail", "APOP", "upgrade"),
}
"""Program, mechanism and how."""
# Who sends what a server that requires TLS does not offer; the others give up, silently.
_TRIES = {("curl", "USER"), ("fetchmail", "USER"), ("mpop", "USER")}
_DEPENDS = {("mutt", "USER")}
"""On whether the server lists USER."""
# swaks does not reach IPv6 with what its package requires. The others name the address to the
# server in TLS (SNI, RFC 6066 section 3), and GnuTLS takes no colons there.
_IPV6 = {"clear": {"curl", "fetchmail", "mpop", "mutt", "typed"}, "tls": {"curl", "typed"}}


def _attempts(service: Service, way: Way, setting: str, tls: bool) -> Iterator[tuple[str, str]]:
    """How is logged in, and what must come of it."""
    typed = way.program == "typed"
    if service.implicit:
        yield "implicit", "accepted"
        return
    if setting == "permitted":
        yield "clear", "accepted"
        yield "clear", "rejected"
    elif way.mechanism in _PASSWORDS and not way.form:
        which = (way.program, way.mechanism)
        if typed or which in _TRIES:
            yield "clear", "refused"
        elif which not in _DEPENDS:
            yield "clear", "silent"
    if tls:
        yield "upgrade", "accepted"
        if typed:
            yield "upgrade", "rejected"


@dataclass
class Stage:
    """A booted daemon and the two hosts that log in; `programs` runs all but what is typed."""

    name: str
    mail: Host
    programs: Host
    keyboard: Host
    wrong: str = field(default_factory=lambda: "wrong" + secrets.token_hex(6))
    seen: set[tuple[str, ...]] = field(default_factory=set)
    """Kinds of logins that were done."""

    def tasks(self, setting: str, brief: bool) -> list[Task]:
        """What is done in the setting."""
        certificate = self.mail.read("/etc/ssl/mail.pem").decode() if KITS[self.name].tls else ""
        tasks = []
        for number, (service, way, how, outcome) in enumerate(self._plan(setting)):
            kind: tuple[str, ...] = (service.protocol, how, outcome)
            if how == "clear":
                kind += (way.mechanism, way.form)
            if brief and kind in self.seen:
                continue
            self.seen.add(kind)
            tasks.append(self._task(number, service, way, how, outcome, certificate))
        return tasks

    def _plan(self, setting: str) -> Iterator[tuple[Service, Way, str, str]]:
        kit = KITS[self.name]
        for service in services(self.name):
            for way in WAYS[service.protocol]:
                if not kit.has(service.protocol, way):
                    continue
                for how, outcome in _attempts(service, way, setting, kit.tls):
                    if (way.program, way.mechanism, how) not in _UNABLE:
                        yield service, way, how, outcome

    def _task(
        self, number: int, service: Service, way: Way, how: str, outcome: str, certificate: str
    ) -> Task:
        account = self.mail.account
        able = way.program in _IPV6["clear" if how == "clear" else "tls"]
        ipv6 = KITS[self.name].ipv6 and able and number % 3 == 1
        return Task(
            way.program,
            service.protocol,
            way.mechanism,
            how,
            self.mail.ipv6 if ipv6 else self.mail.ipv4,
            service.port,
            "mallory" if outcome == "rejected" and number % 2 else account.user,
            self.wrong if outcome == "rejected" else account.password,
            outcome,
            certificate,
            way.form,
            message=service.protocol == "smtp" and way.program in ("curl", "mutt"),
        )

    def do(self, tasks: list[Task]) -> list[Truth]:
        """Does them; what was done. One that is let in comes first and alone: Cyrus makes a mailbox
        for the first who logs in to IMAP, and lets nobody in to Sieve before.
        """
        typed = [task for task in tasks if task.program == "typed"]
        others = [task for task in tasks if task.program != "typed"]
        first = [each for each in others if each.outcome == "accepted"]
        first = [each for each in first if each.protocol != "managesieve"][:1]
        rest = [each for each in others if each not in first]
        parts = ((self.programs, first), (self.programs, rest), (self.keyboard, typed))
        return [truth for host, part in parts if part for truth in run(host, part)]


def settings(name: str) -> tuple[str, ...]:
    """Those in which programs log in."""
    return ("permitted",) if name == POP2 else tuple(DAEMONS[name].settings)[:2]


_NEIGHBOUR = ("192.0.2.250", "2001:db8:1::fa")
"""Nobody: the setting in which it would be trusted is not used."""


def put(mail: Host, name: str, setting: str) -> None:
    """The daemon into the setting, with all the mechanisms of its kit."""
    if name == POP2:
        mail.install_pop2d("inetd", "--bad-login-delay 0")
        return
    install(mail, replace(DAEMONS[name], mechanisms=KITS[name].mechanisms), setting, _NEIGHBOUR)


def make(name: str, brief: bool = False) -> Session:
    """A session with the daemon `name` of `KITS`. LabError where a program did not do its part."""
    if name not in KITS:
        raise LabError(f"no daemon {name!r}: choose from {', '.join(KITS)}")
    with Lab() as lab:
        lab.account = Account(password=password(name))
        net = lab.network()
        system = "bookworm" if name == POP2 else DAEMONS[name].system
        mail = lab.host("mailhost", system=system, network=net)
        programs = lab.host("programs", system="clients", network=net)
        keyboard = lab.host("keyboard", system="clients", network=net)
        for host in (mail, programs, keyboard):
            host.run(["python3", "-c", _CHECKSUMS])
        stage = Stage(name, mail, programs, keyboard)
        truths: list[Truth] = []
        with lab.capture(net) as capture:
            for setting in settings(name):
                put(mail, name, setting)
                truths += stage.do(stage.tasks(setting, brief))
            logs = read_logs(mail, KITS[name])
        packets = capture.path.read_bytes()
        known = (lab.account.password, stage.wrong)
        return Session(name, packets, logs, tuple(truths), known, lists(programs, packets))


# Hosts of one machine leave checksums to a card that is not there, and some who read a capture (as
# dsniff) leave out what is wrong. SIOCETHTOOL with ETHTOOL_STXCSUM: <linux/ethtool.h>.
_CHECKSUMS = """
import array, fcntl, socket, struct
value = array.array("B", struct.pack("II", 0x17, 0))
request = struct.pack("16sP", b"eth0", value.buffer_info()[0])
fcntl.ioctl(socket.socket(), 0x8946, request)
"""
# As rsyslog would write it: facility mail (popa3d has another), in its old and its new form.
_MAIL = ("SYSLOG_FACILITY=2", "+", "SYSLOG_IDENTIFIER=popa3d")
_FORMS: Mapping[str, tuple[str, ...]] = {
    "journal.export": ("-o", "export"),
    "journal.json": ("-o", "json"),
    "syslog": ("-o", "short", *_MAIL),
    "mail.log": ("-o", "short-iso", *_MAIL),
}
_QUIET = 1.0
_PATIENCE = 20.0
"""Seconds without a new line after which a daemon has said all, and how long that is waited for."""


def read_logs(mail: Host, kit: Kit) -> dict[str, bytes]:
    """The log in all its forms, when the daemon has nothing to add."""
    files = [mail.read(path) for path in kit.logs]
    deadline = time.monotonic() + _PATIENCE
    before: object = None
    # The journal of daemons alone: systemd notes each of these commands in it.
    said = ["journalctl", "--no-pager", "-o", "cat", "_TRANSPORT=syslog", "+", "_TRANSPORT=stdout"]
    while (now := (mail.run(said).stdout, files)) != before:
        if time.monotonic() > deadline:
            raise LabError(f"{mail.name}: its log goes on for {_PATIENCE} s")
        before = now
        time.sleep(_QUIET)
        files = [mail.read(path) for path in kit.logs]
    if kit.logs:
        return {path.rsplit("/", 1)[1]: text for path, text in zip(kit.logs, files, strict=True)}
    return {
        name: mail.run(["journalctl", "--no-pager", *options]).stdout
        for name, options in _FORMS.items()
    }
