"""The reader of logs: blocks of octets in, Logins and TlsFailures out, in any dialect.

Strategy: lines that say the same of the same people are counted before anything is made of them; a
Login is made once for each kind, where the counting ends. So a line costs two matches and a look
into a dictionary. Lines that need others go through a session, the few that seem to come from the
host itself through `fronts`.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from mailseal.daemons import DAEMONS
from mailseal.daemons.dialect import Dialect, Line, Says, Service
from mailseal.logs import cutting, header
from mailseal.logs.fronts import LOCAL, NOBODY, Connection, Fronts, local
from mailseal.logs.header import EXPORT, Message, Times
from mailseal.logs.lines import lines
from mailseal.logs.reasons import reason
from mailseal.logs.records import Records, address, text
from mailseal.logs.rule import Rule
from mailseal.logs.sessions import First, Session, Sessions
from mailseal.model.login import Login, LoginOutcome, TlsFailure
from mailseal.model.look import Channel
from mailseal.model.moment import rfc3339

NAMES = tuple(daemon.name for daemon in DAEMONS if daemon.logs)
"""The dialects, by the names of their daemons."""
KINDS = 20_000
"""Kinds of lines that are counted before they are given away."""

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
        self._by_program: dict[bytes, tuple[Rule, ...]] = {}
        self._bounded = options.since > -math.inf or options.until < math.inf
        self._counted: dict[Hashable, _Counted] = {}
        self._given: list[Login | TlsFailure] = []
        self._records = Records(options.address)
        self._sessions = Sessions(self._lost, self._reread)
        self._alike: dict[Hashable, _Counted] = {}
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
        self._records.forget(KINDS)
        for known in (self._by_program, self._tellers, self._alike):
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
                    and not (self._sessions and (rule.daemon, host, pid, b"") in self._sessions)
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

    def _folded(self, line: Message, rules: tuple[Rule, ...], count: int, text: bytes) -> None:
        """A message that stands for several."""
        for rule in rules:
            found = rule.match(text, 0, len(text))
            if found:
                self.lines += count
                if not self._bounded or self._in_time(line.stamp):
                    rule.act(self, rule, found, line, count, None)
                return

    def _of(self, program: bytes) -> tuple[Rule, ...]:
        rules = self._by_program[program] = tuple(
            Rule(daemon, dialect, line, program, _act(dialect, line))
            for daemon, dialect in self._dialects
            if dialect.programs.fullmatch(program)
            for line in dialect.lines
        )
        return rules

    def _in_time(self, stamp: bytes) -> bool:
        seconds = self._times.seconds(stamp)
        return seconds is not None and self._options.since <= seconds < self._options.until

    # -- sessions of one line or two ---------------------------------------------------------------

    def _beginning(self, rule: Rule, found: re.Match[bytes], line: Message, *_: object) -> None:
        """A session begins, of which nobody may ask more than its first login does."""
        where = self._key(rule, found, line)
        if where is None or where in self._sessions:
            self._begins(rule, found, line)
        else:
            self._sessions.put_aside(where, self._as_it_came(rule, found, line))

    def _inside(
        self, rule: Rule, found: re.Match[bytes], line: Message, count: int, key: Hashable
    ) -> None:
        """A login that needs nothing of its session but how it began."""
        where = self._key(rule, found, line)
        first = self._sessions.aside.get(where)
        if first is None:
            self._login(rule, found, line, count, key)
            return
        tls = rule.tls and found[rule.tls]
        alike = (rule, first[0], line.host, first[3], rule.who(found), tls)
        if not self._again(alike, line, count):
            self._worked_out(alike, self._login(rule, found, line, count, key))

    def _alone(
        self, rule: Rule, found: re.Match[bytes], line: Message, count: int, key: Hashable
    ) -> None:
        """A login that says all of itself; its session counts it once."""
        where = self._key(rule, found, line)
        if where is None or count > 1 or where in self._sessions:
            self._login(rule, found, line, count, key)
            return
        first = self._as_it_came(rule, found, line)
        alike = (rule, line.host, first[3], rule.tls and found[rule.tls])
        if self._again(alike, line, count):
            self._sessions.put_aside(where, first)
        else:
            self._worked_out(alike, self._login(rule, found, line, count, key))

    def _first(
        self, rule: Rule, found: re.Match[bytes], line: Message, count: int, key: Hashable
    ) -> None:
        """A login, whose session's end will settle it: it is read then, or when more is said."""
        where = self._key(rule, found, line)
        told = (rule.tls and found[rule.tls]) or (rule.service and rule.service.implicit)
        sessions = self._sessions
        if told or count > 1 or where is None or where in sessions.open or where in sessions.aside:
            self._login(rule, found, line, count, key)
        else:
            sessions.wait(where, self._as_it_came(rule, found, line))

    def _second(self, rule: Rule, found: re.Match[bytes], line: Message, *_: object) -> None:
        """An end: a session like one that was worked out before is counted with it."""
        where = self._key(rule, found, line)
        first = None if where is None else self._sessions.take(where)
        if where is None or first is None:
            self._ends(rule, found, line)
            return
        ended = rule.ended(found, self._surely(rule, line))
        alike = (rule, first[0], line.host, first[3], ended)
        if not self._again(alike, first[2], 1):
            self._sessions.wait(where, first)
            self._worked_out(alike, self._ends(rule, found, line))

    def _again(self, alike: Hashable, line: Message, count: int) -> bool:
        """Counts the login of `line` with those like it, where one was worked out before."""
        known = self._alike.get(alike)
        if known is None:
            return False
        known.count += count
        known.last = line.stamp
        return True

    def _worked_out(self, alike: Hashable, counted: _Counted | None) -> None:
        if counted is not None:
            self._alike[alike] = counted

    @staticmethod
    def _as_it_came(rule: Rule, found: re.Match[bytes], line: Message) -> First:
        # Not the match: it would hold the whole block.
        return rule, found.string[found.start() : found.endpos], line, rule.who(found)

    def _reread(self, first: First) -> None:
        rule, text, line, _ = first
        found = rule.match(text, 0, len(text))
        assert found is not None
        session = self._session(rule, found, line)
        assert session is not None
        if rule.line.says is Says.BEGINS:
            self._begun(session, rule, found, line)
        elif rule.line.channel is _UNKNOWN:
            self._login(rule, found, line, 1, None)
        else:
            # It was counted when it came.
            service = self._records.service(rule, found, line, session)
            if service is not None:
                _, login = self._records.login(rule, found, line, service, session)
                session.seen.add((login.user, login.mechanism))

    # -- what a line says --------------------------------------------------------------------------

    def _login(
        self,
        rule: Rule,
        found: re.Match[bytes],
        line: Message,
        count: int,
        key: Hashable,
    ) -> _Counted | None:
        """Somebody logged in, or tried to: what was counted, where nothing is waited for."""
        session = self._session(rule, found, line)
        service = self._records.service(rule, found, line, session)
        if service is None:
            return None
        who, login = self._records.login(rule, found, line, service, session)
        if rule.dialect.settles and session is not None:
            if login.outcome is not _ACCEPTED:
                session.failures += count
            elif (login.user, login.mechanism) in session.seen:
                return None
            else:
                session.seen.add((login.user, login.mechanism))
        channel = self._channel(rule, found, service, session)
        held = (who, login, line.stamp, count)
        if channel is _UNKNOWN and rule.dialect.settles and session is not None:
            session.held.append(held)
            return None
        return self._tell(rule, held, channel, (), key)

    def _channel(
        self,
        rule: Rule,
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

    def _begins(self, rule: Rule, found: re.Match[bytes], line: Message, *_: object) -> None:
        key = self._key(rule, found, line)
        if key is not None:
            self._begun(self._sessions.begin(key), rule, found, line)

    @staticmethod
    def _begun(session: Session, rule: Rule, found: re.Match[bytes], line: Message) -> None:
        session.client = rule(found, "client")
        session.service = rule(found, "service")
        session.host = line.host
        session.begun = line.stamp if rule.dialect.front else b""

    def _tls(self, rule: Rule, found: re.Match[bytes], line: Message, *_: object) -> None:
        self._tellers.add((rule.daemon, line.host))
        key = self._key(rule, found, line)
        if key is not None:
            session = self._sessions.get(key) or self._sessions.begin(key)
            session.tls, session.used = True, False

    def _failure(
        self, rule: Rule, found: re.Match[bytes], line: Message, count: int, _: object
    ) -> None:
        session = self._session(rule, found, line)
        failure = self._records.failure(rule, found, line, session)
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
        self, rule: Rule, found: re.Match[bytes], line: Message, count: int, _: object
    ) -> None:
        session = self._session(rule, found, line)
        if session is not None and session.failed is not None:
            failure, stamp, count = session.failed
            session.failed = None
            self._add(replace(failure, reason=reason(rule(found, "reason"))), stamp, count)
        elif session is not None and session.client and b"alert" in rule(found, "reason"):
            # In TLS 1.3 the client's no comes after the handshake (RFC 8446 section 2).
            late = self._records.failure(rule, found, line, session)
            if late is not None:
                self._add(late, line.stamp, count)

    def _ends(
        self, rule: Rule, found: re.Match[bytes], line: Message, *_: object
    ) -> _Counted | None:
        """What was counted, where it was one thing."""
        key = self._key(rule, found, line)
        session = None if key is None else self._sessions.pop(key)
        session = session or Session()
        if rule.dialect.front:
            self._carried(session, line)
            return None
        service = self._records.service(rule, found, line, session)
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

    def _surely(self, rule: Rule, line: Message) -> bool:
        """Whether TLS would have been told."""
        return rule.plain or (rule.daemon, line.host) in self._tellers

    def _unnamed(
        self,
        rule: Rule,
        found: re.Match[bytes],
        line: Message,
        service: Service,
        session: Session,
    ) -> None:
        """Logins that only the session's end tells of."""
        if rule(found, "mechanism"):
            who, login = self._records.login(rule, found, line, service, session)
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
                who, login = self._records.login(rule, found, line, service, session)
                login = replace(login, outcome=outcome, notes=(NO_USER,))
                session.held.append(((who, outcome), login, line.stamp, count))

    # -- what becomes of it ------------------------------------------------------------------------

    def _lost(self, session: Session) -> None:
        """A session whose end is not in the log."""
        if session.begun:
            self._carried(session, None)
        self._settle(None, session, _TLS if session.tls else _UNKNOWN, (UNENDED,))

    def _settle(
        self, rule: Rule | None, session: Session, channel: Channel, notes: tuple[str, ...]
    ) -> _Counted | None:
        """What was counted, where it was one thing."""
        counted = [self._tell(rule, held, channel, notes, None) for held in session.held]
        if session.failed is not None:
            counted.append(self._add(*session.failed))
        return counted[0] if len(counted) == 1 else None

    def _tell(
        self,
        rule: Rule | None,
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
        self._alike.clear()

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
        host = text(session.host)
        return Connection(begun, end, host, protocol, address(session.client))

    # -- parts of a record -------------------------------------------------------------------------

    def _key(self, rule: Rule, found: re.Match[bytes], line: Message) -> Hashable:
        """What lines of one session have in common; None where nothing tells."""
        number = (found[rule.numbered] or b"") if rule.numbered else b""
        return (rule.daemon, line.host, line.pid, number) if line.pid or number else None

    def _session(self, rule: Rule, found: re.Match[bytes], line: Message) -> Session | None:
        key = self._key(rule, found, line)
        if key is None:
            return None
        session = self._sessions.get(key)
        if session is None and rule.dialect.settles:
            session = self._sessions.begin(key)
        return session


_SAYS: dict[Says, Callable[..., object]] = {
    Says.LOGIN: Reader._login,
    Says.BEGINS: Reader._begins,
    Says.TLS: Reader._tls,
    Says.FAILURE: Reader._failure,
    Says.REASON: Reader._reason,
    Says.ENDS: Reader._ends,
}
_SETTLED: dict[Says, Callable[..., object]] = {Says.LOGIN: Reader._first, Says.ENDS: Reader._second}
"""The same, where a session's end settles its logins."""
_PLAIN: dict[Says, Callable[..., object]] = {
    Says.LOGIN: Reader._inside,
    Says.BEGINS: Reader._beginning,
}
"""The same, where lines of a session need no more of it than how it began."""


def _act(dialect: Dialect, line: Line) -> Callable[..., object]:
    """What is to be done with lines of a kind."""
    usual = _SAYS[line.says]
    if not dialect.settles:
        return usual if dialect.reuses or dialect.front else _PLAIN.get(line.says, usual)
    if line.channel is _UNKNOWN:
        return _SETTLED.get(line.says, usual)
    alone = line.says is Says.LOGIN and line.outcome is _ACCEPTED and not dialect.reuses
    return Reader._alone if alone else usual
