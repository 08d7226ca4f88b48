"""What a listener hears: connections given to the dialogues of `protocols`, and Logins out of them.

Strategy: who speaks is told by the greeting, not by the port; the port alone decides only where a
session is picked up in its middle. From then on the session of the protocol reads both sides, as it
does for the prober, and this file asks it who logged in. A connection is listened to no longer than
it can tell anything: not behind its login (but for the client's name, which IMAP clients give
then), not when TLS begins, not when it is no mail.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from mailseal.capture.frames import address
from mailseal.capture.streams import End
from mailseal.model.login import Login, LoginOutcome
from mailseal.model.look import Channel, Endpoint, Outcome, Vantage
from mailseal.model.moment import rfc3339
from mailseal.protocols.base import LINE_LIMIT, LoginEvent, Side
from mailseal.protocols.conversation import DIALOGUES
from mailseal.protocols.recognise import PORTS, is_tls, overheard, recognise
from mailseal.protocols.session import TextSession

OCTETS = 1 << 20
"""Of one connection. No session needs more before its login, and behind it there is none."""
BEHIND = 1 << 14
SECONDS = 5.0
"""How long the name of a client that has logged in is waited for: octets, and seconds."""

READABLE = "some sent the password before it was refused: it could be read, and wants changing"
RECENT = 4
"""Events that may still be told otherwise."""

_OUTCOMES = {
    Outcome.PROVEN: LoginOutcome.ACCEPTED,
    Outcome.ACCEPTED: LoginOutcome.REJECTED,
    Outcome.REFUSED: LoginOutcome.REFUSED,
}


@dataclass
class Counts:
    """Of connections that carried data."""

    sessions: int = 0
    mail: int = 0
    """In a mail protocol, whose beginning or middle was read."""
    sealed: int = 0
    """That went on inside TLS after STARTTLS."""
    tls: int = 0
    """Inside TLS from the first octet."""
    torn: int = 0
    """Mail sessions of which something is missing."""


class Observer:
    """Makes an ear for each connection; `seen` gets each login. `site` as in Endpoint."""

    def __init__(self, seen: Callable[[Login], object], site: str = "default") -> None:
        self._seen = seen
        self._site = site
        self._late: OrderedDict[_Ear, float] = OrderedDict()
        self.counts = Counts()

    def ear(self, ends: tuple[End, End], client: int | None) -> _Ear:
        """See `streams.MakeEar`."""
        self.counts.sessions += 1
        return _Ear(self, ends, client)

    def sweep(self, now: float) -> None:
        """Gives the logins whose client has said nothing of itself for a while."""
        while self._late and (ear := next(iter(self._late))) and now > self._late[ear] + SECONDS:
            ear.give()

    def late(self, ear: _Ear, time: float) -> None:
        """This one has a login to give, and waits for the client's name."""
        self._late.setdefault(ear, time)

    def given(self, ear: _Ear) -> None:
        """It has none any more."""
        self._late.pop(ear, None)

    def login(self, ear: _Ear, event: LoginEvent, time: float) -> None:
        """Tells a login."""
        server, client = (ear.ends[index] for index in (ear.server, 1 - ear.server))
        moment = rfc3339(time)
        readable = event.sent and event.outcome is Outcome.REFUSED
        self._seen(
            Login(
                endpoint=_endpoint(server[0], server[1], self._site),
                protocol=ear.protocol,
                client=address(client[0]),
                user=event.user,
                mechanism=event.mechanism,
                channel=Channel.CLEAR,
                outcome=_OUTCOMES.get(event.outcome, LoginOutcome.UNKNOWN),
                count=1,
                first=moment,
                last=moment,
                vantage=Vantage.WIRE,
                complete=not ear.torn,
                software=ear.software,
                notes=(READABLE,) if readable else (),
            )
        )


def _as_meant(protocol: str, banner: str, event: LoginEvent) -> LoginEvent:
    """The event as the daemon means its answer, where its record knows more than words say."""
    # Few captures need the records of the daemons.
    from mailseal.daemons import named, reading

    product = named(protocol, banner)
    meant = reading(product, protocol, event.attempt(Channel.CLEAR)) if product else None
    return event if meant is None else replace(event, outcome=meant.outcome)


@functools.lru_cache(maxsize=1024)
def _endpoint(octets: bytes, port: int, site: str) -> Endpoint:
    return Endpoint(address(octets), port, site)


class _Ear:
    """Listens to one connection. See `streams.Ear`."""

    __slots__ = (
        "_behind",
        "_events",
        "_given",
        "_held",
        "_observer",
        "_session",
        "_size",
        "ends",
        "protocol",
        "server",
        "torn",
    )

    def __init__(self, observer: Observer, ends: tuple[End, End], client: int | None) -> None:
        self._observer = observer
        self.ends = ends
        self.server = -1 if client is None else 1 - client
        self.protocol = ""
        self.torn = False
        self._session: TextSession | None = None
        self._held = [b"", b""]
        self._size = 0
        self._behind = -1
        self._given = 0
        self._events: list[tuple[LoginEvent, float]] = []

    # -- what is heard -------------------------------------------------------------------------

    def hear(self, direction: int, data: bytes, time: float) -> bool:
        self._size += len(data)
        if self._session is None:
            self._held[direction] += data
            return self._recognised(time)
        return self._read(self._session, direction, data, time)

    def miss(self, direction: int, octets: int, time: float) -> bool:
        if not self.torn:
            self.torn = True
            self._observer.counts.torn += self._session is not None
        if self._session is not None:
            self._session.lost(self._side(direction), octets)
            return self._noted(self._session, time)
        # Of what came before, no line can be told to be whole.
        self._held[direction] = b""
        return True

    def close(self, time: float) -> None:
        session = self._session
        if session is not None:
            self._stamp(session, time)
            self.give()
            for event in session.unanswered():
                if not session.torn:
                    self._observer.login(self, event, time)
        self._observer.given(self)

    # -- who speaks ----------------------------------------------------------------------------

    def _recognised(self, time: float) -> bool:
        """Finds out who speaks; False where it is nobody of interest."""
        if any(is_tls(held) for held in self._held):
            self._observer.counts.tls += 1
            return False
        if self.torn or self.server < 0:
            return self._picked_up(time)
        line, end, _ = self._held[self.server].partition(b"\n")
        if not end:
            # A client may speak first (a PROXY header), but not for long.
            return max(map(len, self._held)) < LINE_LIMIT
        name = recognise(line.rstrip(b"\r")) or ""
        return name in DIALOGUES and self._begin(name, time)

    def _picked_up(self, time: float) -> bool:
        """In the middle of a session. What is held may begin in the middle of a line, so the first
        one tells nothing.
        """
        for direction in (0, 1):
            at = self._held[direction].find(b"\n") + 1
            while at and (end := self._held[direction].find(b"\n", at)) >= 0:
                found = overheard(self._held[direction][at:end].rstrip(b"\r"))
                if found is not None and self._fits(direction, *found):
                    return self._taken_up(found[0], direction, at, time)
                at = end + 1
        return max(map(len, self._held)) < LINE_LIMIT

    def _fits(self, direction: int, protocol: str, side: Side) -> bool:
        """Whether that can be, by the port and by who began; it tells who is the server."""
        server = direction if side is Side.SERVER else 1 - direction
        usual = PORTS.get(self.ends[server][1], protocol)
        if usual != protocol or self.server not in (-1, server):
            return False
        self.server = server
        return True

    def _taken_up(self, name: str, direction: int, at: int, time: float) -> bool:
        """Reads on from a line of one direction; what came before it is past."""
        rest, other = self._held[direction][at:], self._held[1 - direction]
        self._held = [b"", b""]
        session = self._made(name)
        self.torn = session.torn = session.greeted = True
        self._observer.counts.torn += 1
        if not other.endswith(b"\n"):
            session.lost(self._side(1 - direction))
        return self._read(session, direction, rest, time)

    def _made(self, name: str) -> TextSession:
        self._observer.counts.mail += 1
        self.protocol = name
        self._session = DIALOGUES[name].session(False)
        return self._session

    def _begin(self, name: str, time: float) -> bool:
        """The server greets, and answers what clients may have said too early behind that."""
        session, held = self._made(name), self._held
        self._held = [b"", b""]
        server, client = held[self.server], held[1 - self.server]
        greeting = server.find(b"\n") + 1
        return (
            self._read(session, self.server, server[:greeting], time)
            and self._read(session, 1 - self.server, client, time)
            and self._read(session, self.server, server[greeting:], time)
        )

    # -- the session ---------------------------------------------------------------------------

    def _side(self, direction: int) -> Side:
        return Side.SERVER if direction == self.server else Side.CLIENT

    @property
    def software(self) -> tuple[str, ...]:
        """What the client says of itself."""
        return self._session.software if self._session is not None else ()

    def _read(self, session: TextSession, direction: int, data: bytes, time: float) -> bool:
        session.feed(self._side(direction), data)
        return self._noted(session, time)

    def _noted(self, session: TextSession, time: float) -> bool:
        """Looks at what the session has to tell; False where it will tell no more."""
        self._stamp(session, time)
        if session.sealed:
            self._observer.counts.sealed += 1
            return False
        if session.overflow or self._size > OCTETS:
            return False
        if self._behind < 0:
            done = session.logins and session.logins[-1].outcome is Outcome.PROVEN
            if not done or session.undecided:
                return True
            self._behind = self._size
            self._observer.late(self, time)
        # IMAP clients say their name behind the login, others before or never.
        waits = self.protocol == "imap" and not session.software
        return waits and self._size < self._behind + BEHIND

    def _stamp(self, session: TextSession, time: float) -> None:
        """When each event was decided. The answer to PASS takes the place of that to USER."""
        for index in range(max(0, len(self._events) - RECENT), len(session.logins)):
            event = session.logins[index]
            if index == len(self._events):
                self._events.append((event, time))
            elif self._events[index][0] is not event:
                self._events[index] = (event, time)

    def give(self) -> None:
        """Tells the logins that were not told yet."""
        self._observer.given(self)
        session = self._session
        if session is None:
            return
        for event, time in self._events[self._given :]:
            if event.outcome is Outcome.UNCLEAR:
                event = _as_meant(self.protocol, session.banner, event)
            # An unclear answer in a torn session may be that to something else.
            clear = event.outcome is not Outcome.UNCLEAR or not session.torn
            if event.outcome is Outcome.REFUSED or (event.sent and clear):
                self._observer.login(self, event, time)
        self._given = len(self._events)
