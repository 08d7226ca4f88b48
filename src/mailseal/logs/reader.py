"""The reader of logs: blocks of octets in, Logins and TlsFailures out, in any dialect.

Strategy: lines that say the same of the same people are counted before anything is made of them; a
Login is made once for each kind, where the counting ends. So a line costs two matches and a look
into a dictionary. Lines that need others go through a session, the few that seem to come from the
host itself through `fronts`.
"""

from __future__ import annotations

import datetime
import ipaddress
import math
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from mailseal.daemons import DAEMONS
from mailseal.daemons.dialect import COMMAND, Dialect, Line, Says, Service
from mailseal.logs import cutting, header
from mailseal.logs.fronts import LOCAL, NOBODY, Connection, Fronts, local
from mailseal.logs.header import EXPORT, Message, Times
from mailseal.logs.lines import lines
from mailseal.logs.reasons import reason
from mailseal.logs.sessions import First, Session, Sessions
from mailseal.model.login import Login, LoginOutcome, TlsFailure
from mailseal.model.look import Channel, Endpoint, Vantage
from mailseal.model.moment import rfc3339
from mailseal.protocols import sasl
from mailseal.protocols.base import printable

NAMES = tuple(daemon.name for daemon in DAEMONS if daemon.logs)
"""The dialects, by the names of their daemons."""
KINDS = 20_000
"""Kinds of lines that are counted before they are given away."""

_COMMANDS = {"pop2": "HELO", "pop3": "USER", "imap": "LOGIN command"}
_COMMAND_WORDS = {COMMAND, "plaintext"}
"""What a record, or Cyrus, calls a protocol's own command."""
_NAMED = re.compile("|".join(sorted(sasl.KNOWN - {"HELO", "USER"}, key=len, reverse=True)), re.I)

_RETURN = 13

# A member of an Enum takes three times as long to look up in its class (Python 3.11).
_UNKNOWN, _TLS, _ACCEPTED = Channel.UNKNOWN, Channel.TLS, LoginOutcome.ACCEPTED

UNENDED = "the session's end is not in the log"
NO_USER = "the log does not name the user"


@dataclass(frozen=True)
class Options:
    """`dialects` are names of `NAMES` (empty: all). `zone` is that of moments without one (None:
    this machine's). `address` is the server's where a log has none. Lines before `since` and from
    `until` on (seconds since the epoch) do not count.
    """

    dialects: tuple[str, ...] = ()
    zone: datetime.tzinfo | None = None
    address: str = ""
    since: float = -math.inf
    until: float = math.inf


_WHO = {"user", "client", "name", "local", "port", "mechanism", "service"}


class _Rule:
    """A line of a dialect as one program writes it, ready for use."""

    __slots__ = (
        *("act", "daemon", "dialect", "groups", "line", "match", "more", "named"),
        *("names", "numbered", "plain", "service", "tls", "told", "whole"),
    )

    def __init__(self, daemon: str, dialect: Dialect, line: Line, program: bytes) -> None:
        self.daemon = daemon
        self.dialect = dialect
        self.line = line
        # Where the session's end tells what its logins do not.
        settled = dialect.settles and line.channel is _UNKNOWN
        self.act = (_PAIRS if settled else _SAYS).get(line.says) or _SAYS[line.says]
        self.match: Callable[[bytes, int, int], re.Match[bytes] | None] = line.pattern.match
        self.groups = line.pattern.groupindex
        self.names = [name for name in self.groups if name in _WHO]
        # The numbers of groups that each line is asked for; 0 where there is none.
        self.numbered = self.groups.get("session", 0)
        self.named = self.groups.get("service", 0)
        self.tls = self.groups.get("tls", 0)
        self.told = self.groups.get("told", 0)
        self.plain = dialect.plain.match(program) is not None
        # Where neither the line nor its session names one.
        self.service = dialect.service(program)
        self.more = not self.groups.keys().isdisjoint(("mechanism", "tried"))
        # Unless a session is open it needs no other line, so equal ones are counted without a look
        # at what they say.
        self.whole = line.says is Says.LOGIN and not dialect.settles

    def who(self, found: re.Match[bytes]) -> Hashable:
        """What the same people have in common from one line to the next."""
        return found.group(*self.names) if self.names else b""

    def ended(self, found: re.Match[bytes], surely: bool) -> Hashable:
        """All that an end says of its session; `surely`: TLS would have been told."""
        tls = self.tls and found[self.tls]
        told = surely and self.told and found[self.told] is not None
        more = (self.who(found), self(found, "good"), self(found, "tried")) if self.more else ()
        return (self.named and found[self.named], tls, told, more)

    def __call__(self, found: re.Match[bytes], name: str) -> bytes:
        """A group's octets; empty where there is none of that name."""
        return (found[name] or b"") if name in self.groups else b""


class _Counted:
    """Sightings of one kind: how many, the moments of the first and the last as they stand."""

    __slots__ = ("count", "first", "last", "seen")

    def __init__(self, seen: Login | TlsFailure, stamp: bytes) -> None:
        self.seen = seen
        self.count = 0
        self.first = self.last = stamp


_Held = tuple[Hashable, Login, bytes, int]
"""A login whose channel another line will tell: what stands for it, the login, its moment as it
stands, and how often.
"""


class Reader:
    """Reads a set of files that belong together, one after the other: `begin` each, `feed` it,
    `end` it; `drain` gives what was seen, but for those who wait in `fronts`. `lines` counts those
    that said something of logins, `overlong` those that were too long to be read, `undated` the
    sightings whose moment is none.
    """

    def __init__(self, options: Options, fronts: Fronts) -> None:
        self._options = options
        self._fronts = fronts
        self._dialects = [
            (daemon.name, dialect)
            for daemon in DAEMONS
            if not options.dialects or daemon.name in options.dialects
            for dialect in daemon.logs
        ]
        anchors = (anchor for _, dialect in self._dialects for anchor in dialect.anchors)
        self._anchors = self._here = cutting.needed(anchors)
        self._by_program: dict[bytes, tuple[_Rule, ...]] = {}
        self._bounded = options.since > -math.inf or options.until < math.inf
        self._counted: dict[Hashable, _Counted] = {}
        self._given: list[Login | TlsFailure] = []
        self._logins: dict[Hashable, Login] = {}
        self._services: dict[tuple[_Rule, bytes], Service | None] = {}
        self._sessions = Sessions(self._lost, self._reread)
        self._pairs: dict[Hashable, _Counted] = {}
        self._tellers: set[tuple[str, bytes]] = set()
        self._times = Times(options.zone, 0.0)
        self._cutter = cutting.Cutter(b"\n")
        self._head: bytes | None = None
        self._export = False
        self.lines = 0
        self.overlong = 0
        self.undated = 0

    # -- files -------------------------------------------------------------------------------------

    def begin(self, reference: float) -> None:
        """A file begins; none of its lines is later than `reference` (seconds since the epoch)."""
        self.at(reference)
        self._head = b""

    def at(self, reference: float) -> None:
        """Time has passed, in a file that grows."""
        self._count_out()
        self._times = Times(self._options.zone, reference)

    def feed(self, block: bytes) -> None:
        """Takes the next octets of the file."""
        if self._head is not None:
            block = self._head = self._head + block
            if len(block) < len(EXPORT) and EXPORT.startswith(block):
                return
            self._open(block)
        for piece in self._cutter.feed(block):
            self._read(piece)

    def _open(self, head: bytes) -> None:
        self._head, self._export = None, head.startswith(EXPORT)
        self._cutter = cutting.Cutter(b"\n\n" if self._export else b"\n")
        # What is no text is written as numbers there, and nothing is found in it.
        numbers = header.NUMBERS if head.startswith(b"{") else ()
        self._here = (*self._anchors, *numbers)

    def end(self) -> None:
        """The file ends, with a line end or without. Sessions go on in the next one."""
        if self._head is not None:
            head = self._head
            self._open(b"")
            for piece in self._cutter.feed(head):
                self._read(piece)
        for piece in self._cutter.rest():
            self._read(piece)
        self._count_out()

    def drain(self, last: bool = False) -> list[Login | TlsFailure]:
        """What was seen since the last time. `last`: nothing follows, no session is waited for."""
        if last:
            for session in self._sessions.all():
                self._lost(session)
        self._count_out()
        given, self._given = self._given, []
        return given

    # -- lines -------------------------------------------------------------------------------------

    def _read(self, piece: cutting.Piece) -> None:
        data = piece[0]
        separator = b"\n\n" if self._export else b"\n"
        message = header.export if self._export else header.message
        for start, end in lines(*piece, self._here, separator):
            if end - start > cutting.LINE_LIMIT:
                self.overlong += 1
                continue
            if data[end - 1] == _RETURN:
                end -= 1
            said = message(data, start, end)
            if said is not None:
                self._message(*said)
        if len(self._counted) > KINDS:
            self._count_out()
        for known in (self._logins, self._services, self._by_program, self._tellers, self._pairs):
            if len(known) > KINDS:
                known.clear()

    def _message(self, line: Message, data: bytes, at: int, end: int) -> None:
        stamp, host, program, pid = line
        rules = self._by_program.get(program)
        if rules is None:
            rules = self._of(program)
        if rules and data.startswith(b"message repeated ", at, end):
            folded = header.repeated(data, at, end)
            if folded:
                self._folded(line, rules, *folded)
            return
        for rule in rules:
            found = rule.match(data, at, end)
            if found:
                self.lines += 1
                key = None
                if (
                    rule.whole
                    and not self._bounded
                    and (
                        not self._sessions.open
                        or (rule.daemon, host, pid, b"") not in self._sessions.open
                    )
                ):
                    # Nearly every line that matters says what another has said before.
                    key = (rule, host, found.groups())
                    known = self._counted.get(key)
                    if known is not None:
                        known.count += 1
                        known.last = stamp
                        return
                if not self._bounded or self._in_time(stamp):
                    rule.act(self, rule, found, line, 1, key)
                return

    def _folded(self, line: Message, rules: tuple[_Rule, ...], count: int, text: bytes) -> None:
        """A message that stands for several."""
        for rule in rules:
            found = rule.match(text, 0, len(text))
            if found:
                self.lines += count
                if not self._bounded or self._in_time(line.stamp):
                    rule.act(self, rule, found, line, count, None)
                return

    def _of(self, program: bytes) -> tuple[_Rule, ...]:
        rules = self._by_program[program] = tuple(
            _Rule(daemon, dialect, line, program)
            for daemon, dialect in self._dialects
            if dialect.programs.fullmatch(program)
            for line in dialect.lines
        )
        return rules

    def _in_time(self, stamp: bytes) -> bool:
        seconds = self._times.seconds(stamp)
        return seconds is not None and self._options.since <= seconds < self._options.until

    # -- sessions of two lines ---------------------------------------------------------------------

    def _first(
        self, rule: _Rule, found: re.Match[bytes], line: Message, count: int, key: Hashable
    ) -> None:
        """A login, whose session's end will settle it: it is read then, or when more is said."""
        where = self._key(rule, found, line)
        told = (rule.tls and found[rule.tls]) or (rule.service and rule.service.implicit)
        if where is None or told or count > 1 or where in self._sessions.open:
            self._login(rule, found, line, count, key)
        else:
            # Not the match: it would hold the whole block.
            text = found.string[found.start() : found.endpos]
            self._sessions.wait(where, (rule, text, line, rule.who(found)))

    def _second(self, rule: _Rule, found: re.Match[bytes], line: Message, *_: object) -> None:
        """An end: a session like one that was worked out before is counted with it."""
        where = self._key(rule, found, line)
        first = None if where is None else self._sessions.take(where)
        if where is None or first is None:
            self._ends(rule, found, line)
            return
        ended = rule.ended(found, self._surely(rule, line))
        alike = (rule, first[0], line.host, first[3], ended)
        known = self._pairs.get(alike)
        if known is None:
            self._sessions.wait(where, first)
            known = self._ends(rule, found, line)
            if known is not None:
                self._pairs[alike] = known
        else:
            known.count += 1
            known.last = first[2].stamp

    def _reread(self, first: First) -> None:
        rule, text, line, _ = first
        found = rule.match(text, 0, len(text))
        assert found is not None
        self._login(rule, found, line, 1, None)

    # -- what a line says --------------------------------------------------------------------------

    def _login(
        self,
        rule: _Rule,
        found: re.Match[bytes],
        line: Message,
        count: int,
        key: Hashable,
    ) -> None:
        """Somebody logged in, or tried to."""
        session = self._session(rule, found, line)
        service = self._service(rule, found, line, session)
        if service is None:
            return
        who, login = self._made(rule, found, line, service, session)
        if rule.dialect.settles and session is not None:
            if login.outcome is not _ACCEPTED:
                session.failures += count
            elif (login.user, login.mechanism) in session.seen:
                return
            else:
                session.seen.add((login.user, login.mechanism))
        channel = self._channel(rule, found, service, session)
        held = (who, login, line.stamp, count)
        if channel is _UNKNOWN and rule.dialect.settles and session is not None:
            session.held.append(held)
        else:
            self._tell(rule, held, channel, (), key)

    def _channel(
        self,
        rule: _Rule,
        found: re.Match[bytes],
        service: Service,
        session: Session | None,
    ) -> Channel:
        if (rule.tls and found[rule.tls]) or service.implicit:
            channel = _TLS
        elif rule.line.channel is not _UNKNOWN:
            channel = rule.line.channel
        elif session is None or not session.tls:
            channel = rule.dialect.default
        else:
            # The process may serve somebody else by now.
            channel = _UNKNOWN if session.used else _TLS
        if rule.dialect.reuses and session is not None:
            session.used = True
            if rule.line.outcome is _ACCEPTED:
                session.tls = session.used = False
        return channel

    def _begins(self, rule: _Rule, found: re.Match[bytes], line: Message, *_: object) -> None:
        key = self._key(rule, found, line)
        if key is not None:
            session = self._sessions.begin(key)
            session.client = rule(found, "client")
            session.service = rule(found, "service")
            session.host = line.host
            session.begun = line.stamp if rule.dialect.front else b""

    def _tls(self, rule: _Rule, found: re.Match[bytes], line: Message, *_: object) -> None:
        self._tellers.add((rule.daemon, line.host))
        key = self._key(rule, found, line)
        if key is not None:
            session = self._sessions.get(key) or self._sessions.begin(key)
            session.tls, session.used = True, False

    def _failure(
        self, rule: _Rule, found: re.Match[bytes], line: Message, count: int, _: object
    ) -> None:
        session = self._session(rule, found, line)
        failure = self._failed(rule, found, line, session)
        if failure is None:
            return
        if rule.dialect.front:
            # It carried nothing.
            self._sessions.pop(self._key(rule, found, line))
        if session is not None and rule.dialect.settles and not rule(found, "reason"):
            # The line that says why comes next.
            session.failed = (failure, line.stamp, count)
        else:
            self._add(failure, line.stamp, count)

    def _reason(
        self, rule: _Rule, found: re.Match[bytes], line: Message, count: int, _: object
    ) -> None:
        session = self._session(rule, found, line)
        if session is not None and session.failed is not None:
            failure, stamp, count = session.failed
            session.failed = None
            self._add(replace(failure, reason=reason(rule(found, "reason"))), stamp, count)
        elif session is not None and session.client and b"alert" in rule(found, "reason"):
            # In TLS 1.3 the client's no comes after the handshake (RFC 8446 section 2).
            late = self._failed(rule, found, line, session)
            if late is not None:
                self._add(late, line.stamp, count)

    def _failed(
        self, rule: _Rule, found: re.Match[bytes], line: Message, session: Session | None
    ) -> TlsFailure | None:
        service = self._service(rule, found, line, session)
        if service is None:
            return None
        return TlsFailure(
            self._endpoint(rule, found, service),
            service.protocol,
            self._client(rule, found, session),
            reason(rule(found, "reason")),
            0,
            "",
            "",
            Vantage.LOG,
            _text(line.host),
            rule.daemon,
        )

    def _ends(
        self, rule: _Rule, found: re.Match[bytes], line: Message, *_: object
    ) -> _Counted | None:
        """What was counted, where it was one thing."""
        key = self._key(rule, found, line)
        session = None if key is None else self._sessions.pop(key)
        session = session or Session()
        if rule.dialect.front:
            self._carried(session, line)
            return None
        service = self._service(rule, found, line, session)
        if service is None:
            return None
        if (rule.tls and found[rule.tls]) or service.implicit or session.tls:
            channel = _TLS
        elif rule.told and found[rule.told] is not None and self._surely(rule, line):
            channel = Channel.CLEAR
        else:
            channel = _UNKNOWN
        if rule.more:
            self._unnamed(rule, found, line, service, session)
        return self._settle(rule, session, channel, ())

    def _surely(self, rule: _Rule, line: Message) -> bool:
        """Whether TLS would have been told."""
        return rule.plain or (rule.daemon, line.host) in self._tellers

    def _unnamed(
        self,
        rule: _Rule,
        found: re.Match[bytes],
        line: Message,
        service: Service,
        session: Session,
    ) -> None:
        """Logins that only the session's end tells of."""
        if rule(found, "mechanism"):
            who, login = self._made(rule, found, line, service, session)
            if (login.user, login.mechanism) not in session.seen:
                session.held.append((who, login, line.stamp, 1))
            return
        good = int(rule(found, "good") or 0)
        tried = int(rule(found, "tried") or good)
        others = (
            (_ACCEPTED, good - len(session.seen)),
            (LoginOutcome.REFUSED, tried - good - session.failures),
        )
        for outcome, count in others:
            if count > 0:
                who, login = self._made(rule, found, line, service, session)
                login = replace(login, outcome=outcome, notes=(NO_USER,))
                session.held.append(((who, outcome), login, line.stamp, count))

    # -- what becomes of it ------------------------------------------------------------------------

    def _lost(self, session: Session) -> None:
        """A session whose end is not in the log."""
        if session.begun:
            self._carried(session, None)
        self._settle(None, session, _TLS if session.tls else _UNKNOWN, (UNENDED,))

    def _settle(
        self, rule: _Rule | None, session: Session, channel: Channel, notes: tuple[str, ...]
    ) -> _Counted | None:
        """What was counted, where it was one thing."""
        counted = [self._tell(rule, held, channel, notes, None) for held in session.held]
        if session.failed is not None:
            counted.append(self._add(*session.failed))
        return counted[0] if len(counted) == 1 else None

    def _tell(
        self,
        rule: _Rule | None,
        held: _Held,
        channel: Channel,
        notes: tuple[str, ...],
        key: Hashable,
    ) -> _Counted | None:
        """Counts a login whose channel is known by now, or never will be; None where it waits."""
        who, login, stamp, number = held
        key = key or (who, channel, notes)
        known = self._counted.get(key)
        if known is not None:
            known.count += number
            known.last = stamp
            return known
        client = login.client
        behind = local(client) and channel is not _TLS
        told = (*login.notes, *notes)
        if channel is _UNKNOWN and rule is not None and rule.dialect.cannot:
            told = (*told, rule.dialect.cannot)
        if behind:
            told = (*told, LOCAL if client else NOBODY)
        login = replace(
            login,
            channel=_UNKNOWN if behind else channel,
            notes=told,
            complete=not notes,
        )
        seconds = self._times.seconds(stamp) if behind else None
        if seconds is not None:
            moment = rfc3339(seconds)
            whole = replace(login, count=number, first=moment, last=moment)
            if self._fronts.wait(seconds, whole):
                return None
        return self._add(login, stamp, number, key)

    def _add(
        self, seen: Login | TlsFailure, stamp: bytes, count: int, key: Hashable = None
    ) -> _Counted:
        key = key or seen.kind
        known = self._counted.get(key)
        if known is None:
            known = self._counted[key] = _Counted(seen, stamp)
        known.count += count
        known.last = stamp
        return known

    def _count_out(self) -> None:
        """Makes records of what was counted."""
        for counted in self._counted.values():
            moments = [self._times.seconds(stamp) for stamp in (counted.first, counted.last)]
            known = sorted(each for each in moments if each is not None)
            if not known:
                self.undated += counted.count
                continue
            self._given.append(
                replace(
                    counted.seen,
                    count=counted.count,
                    first=rfc3339(known[0]),
                    last=rfc3339(known[-1]),
                )
            )
        self._counted.clear()
        self._pairs.clear()

    def carrying(self) -> list[Connection]:
        """The connections of TLS fronts that are still there."""
        open_ = [each for each in self._sessions.open.values() if isinstance(each, Session)]
        return [each for each in map(self._connection, open_) if each is not None]

    def _carried(self, session: Session, line: Message | None) -> None:
        connection = self._connection(session, self._times.seconds(line.stamp) if line else None)
        if connection is not None:
            self._fronts.carried(connection)

    def _connection(self, session: Session, ended: float | None = None) -> Connection | None:
        begun = self._times.seconds(session.begun) if session.begun else None
        if begun is None:
            return None
        fronts = (dialect for _, dialect in self._dialects if dialect.front)
        service = next((dialect.service(session.service) for dialect in fronts), None)
        protocol = service.protocol if service else ""
        end = math.inf if ended is None else ended
        host = _text(session.host)
        return Connection(begun, end, host, protocol, _address(session.client))

    # -- parts of a record -------------------------------------------------------------------------

    def _key(self, rule: _Rule, found: re.Match[bytes], line: Message) -> Hashable:
        """What lines of one session have in common; None where nothing tells."""
        number = (found[rule.numbered] or b"") if rule.numbered else b""
        return (rule.daemon, line.host, line.pid, number) if line.pid or number else None

    def _session(self, rule: _Rule, found: re.Match[bytes], line: Message) -> Session | None:
        key = self._key(rule, found, line)
        if key is None:
            return None
        session = self._sessions.get(key)
        if session is None and rule.dialect.settles:
            session = self._sessions.begin(key)
        return session

    def _service(
        self,
        rule: _Rule,
        found: re.Match[bytes],
        line: Message,
        session: Session | None,
    ) -> Service | None:
        name = (rule.named and found[rule.named]) or (session and session.service)
        if not name:
            return rule.service
        key = (rule, name)
        if key not in self._services:
            self._services[key] = rule.dialect.service(name)
        return self._services[key]

    def _made(
        self,
        rule: _Rule,
        found: re.Match[bytes],
        line: Message,
        service: Service,
        session: Session | None,
    ) -> tuple[Hashable, Login]:
        """The login without what other lines tell, and what stands for it."""
        client = session.client if session else b""
        key = (rule, line.host, client, rule.who(found))
        known = self._logins.get(key)
        if known is not None:
            return key, known
        user = rule(found, "user")
        mechanism = rule(found, "mechanism").decode("latin-1") or rule.line.mechanism
        login = self._logins[key] = Login(
            self._endpoint(rule, found, service),
            service.protocol,
            self._client(rule, found, session),
            printable(user) if user else None,
            _mechanism(mechanism, service.protocol),
            rule.line.channel,
            rule.line.outcome,
            0,
            "",
            "",
            Vantage.LOG,
            host=_text(line.host),
            daemon=rule.daemon,
        )
        return key, login

    def _client(self, rule: _Rule, found: re.Match[bytes], session: Session | None) -> str:
        told = rule(found, "client") or (session.client if session else b"")
        return _address(told) or _text(rule(found, "name"))

    def _endpoint(self, rule: _Rule, found: re.Match[bytes], service: Service) -> Endpoint | None:
        address = _address(rule(found, "local")) or self._options.address
        port = rule(found, "port")
        if not address:
            return None
        known = int(port) if port and 0 < int(port[:9]) < 65536 else service.port
        return Endpoint(address, known)


_SAYS: dict[Says, Callable[..., object]] = {
    Says.LOGIN: Reader._login,
    Says.BEGINS: Reader._begins,
    Says.TLS: Reader._tls,
    Says.FAILURE: Reader._failure,
    Says.REASON: Reader._reason,
    Says.ENDS: Reader._ends,
}
_PAIRS: dict[Says, Callable[..., object]] = {Says.LOGIN: Reader._first, Says.ENDS: Reader._second}
"""The same, where a session's end settles its logins."""


def _text(octets: bytes) -> str:
    return printable(octets) if octets else ""


def _address(octets: bytes) -> str:
    """An address in its usual form; empty for what is none."""
    try:
        found = ipaddress.ip_address(octets.decode("ascii").partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def _mechanism(word: str, protocol: str) -> str:
    """A mechanism's name as `sasl` knows it; empty where the word is none. Exim gives the name of
    an authenticator, which as a rule has the mechanism's in it.
    """
    if word in _COMMAND_WORDS:
        return _COMMANDS.get(protocol, "")
    if word.upper() in sasl.KNOWN:
        return word.upper()
    found = _NAMED.search(word.replace("_", "-"))
    return found[0].upper() if found else ""
