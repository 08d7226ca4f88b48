"""The event-loop driver: thousands of looks at once in one process.

Strategy: plain `select.epoll` and non-blocking sockets, no framework: a connect, a greeting and a
QUIT cost about as many system calls as a C program needs. A socket in cleartext is registered once,
for reading: a mail server speaks first, so "readable" already says "connected", and a failed
connect reports itself. Only who must speak first, with a ClientHello, waits for "writable".

Each connection carries its deadline; the loop knows the earliest of all and looks at them only when
that has come. An answer in time costs no timer: it moves a number.
"""

from __future__ import annotations

import collections
import errno
import resource
import select
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Callable, Deque, Dict, Generator, Iterable, List, Optional, Tuple, Union

from mailseal.model.look import Endpoint, Observation, Reach, TlsFacts
from mailseal.model.moment import Clock
from mailseal.probe import tls, transport
from mailseal.probe.look import (
    RAW_OCTETS,
    Call,
    Layer,
    LookSteps,
    Question,
    look,
    raw_complete,
    refused,
)
from mailseal.protocols.base import End
from mailseal.protocols.conversation import Conversation

_READ = select.EPOLLIN | select.EPOLLRDHUP
_WRITE = select.EPOLLOUT
_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
_PENDING = (0, errno.EINPROGRESS)
_EVENTS = 1024
_OTHER_DESCRIPTORS = 64
_ROUND = 0.5
"""Seconds that one round takes at most: who follows the rounds sees that it goes on."""


@dataclass(frozen=True)
class Pause:
    """In the place of a question: there is none for this many seconds, or until a look ends."""

    seconds: float


def _at_once(endpoint: Endpoint) -> float:
    return 0.0


class _Connection:
    """A look under way, and the one connection it has open. Moments are of the monotonic clock.

    `opening` is the moment by which the connection must be there, 0 once that is known. `talk` is
    the dialogue in cleartext that is carried on now, None once (or while) there is none.
    """

    __slots__ = (
        "answer",
        "deadline",
        "dial",
        "number",
        "opening",
        "question",
        "sock",
        "steps",
        "talk",
        "tls",
        "total",
        "writable",
    )

    def __init__(self, question: Question, steps: LookSteps) -> None:
        self.question = question
        self.steps = steps
        self.dial = next(steps)
        self.sock: socket.socket
        self.number = -1
        self.talk: Optional[Conversation] = None
        self.tls: Optional[TlsFacts] = None
        self.answer = b""
        self.opening = 0.0
        self.deadline = 0.0
        self.total = 0.0
        self.writable = False


class Scan:
    """Runs looks with at most `concurrency` connections open, fewer where the process may not open
    that many descriptors (`ulimit -n`).

    `authority`: a PEM file trusted besides the system's roots; raises OSError or ssl.SSLError where
    it cannot be read. `results` takes the questions lazily and yields Observations as they are
    done, in no order. A look's first connection is made when its question is given; before each
    further one `permit` is asked: 0.0 takes it, else it is asked again after so many seconds.
    """

    def __init__(
        self,
        concurrency: int = 512,
        authority: str = "",
        now: Clock = time.time,
        permit: Callable[[Endpoint], float] = _at_once,
    ) -> None:
        tls.check_authority(authority)
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed != resource.RLIM_INFINITY:
            concurrency = min(concurrency, max(1, allowed - _OTHER_DESCRIPTORS))
        self._concurrency = concurrency
        self._authority = authority
        self._now = now
        self._live: Dict[int, _Connection] = {}
        self._permit = permit
        self._kept: Deque[_Connection] = collections.deque()
        self._earliest = float("inf")
        self._done: List[Observation] = []

    def results(
        self, questions: Iterable[Union[Question, Pause]]
    ) -> Generator[Observation, None, None]:
        """Looks at every question. Closing the iterator early closes every connection."""
        for done in self.rounds(questions):
            yield from done

    def rounds(
        self, questions: Iterable[Union[Question, Pause]]
    ) -> Generator[List[Observation], None, None]:
        """The same by rounds, a round without an end of a look included. After each the questions
        are asked for more.
        """
        waiting = iter(questions)
        more = True
        self._epoll = select.epoll()
        try:
            while more or self._live or self._kept:
                pause = self._dial_kept()
                while more and self._room():
                    item = next(waiting, None)
                    if isinstance(item, Pause):
                        pause = min(pause, item.seconds)
                        break
                    if item is None:
                        more = False
                    else:
                        self._dial(_Connection(item, look(item, self._now)))
                if self._live or self._kept or more:
                    self._round(0.0 if self._done else pause)
                done, self._done = self._done, []
                yield done
        finally:
            for connection in self._live.values():
                connection.sock.close()
            self._live.clear()
            self._kept.clear()
            self._done.clear()
            self._epoll.close()

    def _room(self) -> bool:
        taken = len(self._live) + len(self._kept)
        return taken < self._concurrency and len(self._done) < _EVENTS

    def _round(self, pause: float) -> None:
        """Waits for events no longer than `pause`, and handles them."""
        patience = min(pause, _ROUND, max(0.0, self._earliest - time.monotonic()))
        for number, _ in self._epoll.poll(patience, _EVENTS):
            connection = self._live.get(number)
            if connection is not None:
                self._event(connection)
        self._expire(time.monotonic())

    # -- connections -------------------------------------------------------------------------

    def _dial(self, connection: _Connection) -> None:
        """Opens the connection that the look asks for; goes on at once where that fails."""
        while True:
            call = self._open(connection)
            if call is None or not self._resume(connection, call) or self._keep(connection):
                return

    def _keep(self, connection: _Connection) -> bool:
        """Keeps a look whose next connection is not permitted yet."""
        if not self._permit(connection.question.endpoint):
            return False
        self._kept.append(connection)
        return True

    def _dial_kept(self) -> float:
        """Goes on with the looks whose turn has come. Seconds until the next has its turn."""
        soonest = float("inf")
        for _ in range(len(self._kept)):
            connection = self._kept.popleft()
            wait = self._permit(connection.question.endpoint)
            if wait:
                soonest = min(soonest, wait)
                self._kept.append(connection)
            else:
                self._dial(connection)
        return soonest

    def _open(self, connection: _Connection) -> Optional[Call]:
        """Begins to connect; the Call where that ended at once."""
        endpoint, limits = connection.question.endpoint, connection.question.limits
        address, port = endpoint.address, endpoint.port
        family = socket.AF_INET
        where: Tuple[object, ...] = (address, port)
        try:
            if ":" in address:
                address, _, zone = address.partition("%")
                family = socket.AF_INET6
                where = (address, port, 0, socket.if_nametoindex(zone) if zone else 0)
            sock = socket.socket(family, _STREAM)
        except OSError as error:
            return Call(*transport.reach(error.errno or 0))
        code = sock.connect_ex(where)
        if code not in _PENDING:
            sock.close()
            return self._failed(connection, OSError(code, ""))
        number = sock.fileno()
        connection.sock, connection.number = sock, number
        connection.answer = b""
        dial = connection.dial
        connection.talk = dial.conversation if dial.layer is Layer.CLEAR else dial.before
        connection.writable = connection.talk is None
        self._live[number] = connection
        self._epoll.register(number, _READ | _WRITE if connection.writable else _READ)
        now = time.monotonic()
        connection.opening = now + limits.connect
        connection.total = connection.opening + limits.total
        self._wait(connection, now + limits.connect / 4)
        return None

    def _failed(self, connection: _Connection, error: OSError) -> Call:
        """The Call of a connection that broke before anything came of it."""
        number = error.errno or 0
        if number in transport.CAME_ABOUT:
            return tls.broken(connection.dial, error)
        return Call(*transport.reach(number))

    def _resume(self, connection: _Connection, call: Call) -> bool:
        """Tells the look what became of its Dial. True where it wants another."""
        try:
            connection.dial = connection.steps.send(call)
        except StopIteration as stop:
            self._done.append(stop.value)
            return False
        return True

    def _finish(self, connection: _Connection, call: Call) -> None:
        del self._live[connection.number]
        connection.sock.close()
        connection.tls = None
        if self._resume(connection, call) and not self._keep(connection):
            self._dial(connection)

    def _over(self, connection: _Connection, end: End) -> None:
        """The dialogue is over, for whatever reason (`end` where it did not end itself)."""
        dial = connection.dial
        if connection.talk is not None and connection.talk is dial.before:
            connection.talk.end(end)
            self._finish(connection, Call(Reach.OPEN, refused(connection.talk)))
            return
        assert dial.conversation is not None
        dial.conversation.end(end)
        self._finish(connection, Call(Reach.OPEN, tls=connection.tls))

    # -- time --------------------------------------------------------------------------------

    def _wait(self, connection: _Connection, until: float) -> None:
        if until > connection.total:
            until = connection.total
        connection.deadline = until
        if until < self._earliest:
            self._earliest = until

    def _step(self, connection: _Connection) -> None:
        """From now on the server has the time of one answer."""
        self._wait(connection, time.monotonic() + connection.question.limits.answer)

    def _expire(self, now: float) -> None:
        if now < self._earliest:
            return
        self._earliest = float("inf")
        for connection in list(self._live.values()):
            if connection.deadline <= now:
                self._timeout(connection, now)
            else:
                self._wait(connection, connection.deadline)

    def _timeout(self, connection: _Connection, now: float) -> None:
        if connection.opening:
            self._still_opening(connection, now)
        elif connection.talk is not None or connection.tls is not None:
            self._over(connection, transport.TIMEOUT)
        else:
            error = socket.timeout()
            self._finish(connection, tls.broken(connection.dial, error, connection.answer))

    def _still_opening(self, connection: _Connection, now: float) -> None:
        """Nothing was heard yet: is there a connection? Asked now and then while it is awaited, so
        that a server that only is slow to greet has its time from the connection on.
        """
        try:
            connection.sock.getpeername()
        except OSError:
            if now >= connection.opening:
                self._finish(connection, Call(*transport.NO_ANSWER))
                return
            patience = connection.question.limits.connect / 4
            self._wait(connection, min(now + patience, connection.opening))
            return
        connection.opening = 0.0
        self._step(connection)

    # -- events ------------------------------------------------------------------------------

    def _event(self, connection: _Connection) -> None:
        try:
            if connection.talk is not None:
                self._converse(connection, connection.talk)
            else:
                if connection.opening:
                    self._opened(connection)
                if connection.dial.layer is Layer.RAW:
                    self._raw(connection)
                else:
                    self._secure(connection)
        except (BlockingIOError, ssl.SSLWantReadError):
            self._want(connection, False)
        except ssl.SSLWantWriteError:
            self._want(connection, True)
        except OSError as error:
            self._broken(connection, error)

    def _broken(self, connection: _Connection, error: OSError) -> None:
        if connection.opening:
            self._finish(connection, self._failed(connection, error))
        elif connection.talk is not None or connection.tls is not None:
            self._over(connection, tls.ended(error))
        else:
            self._finish(connection, tls.broken(connection.dial, error, connection.answer))

    def _want(self, connection: _Connection, writable: bool) -> None:
        if connection.writable is not writable:
            connection.writable = writable
            self._epoll.modify(connection.number, _READ | _WRITE if writable else _READ)

    def _opened(self, connection: _Connection) -> None:
        """The first event of a connection. Raises the OSError where it did not come about."""
        code = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, "")
        connection.opening = 0.0
        self._step(connection)

    def _converse(self, connection: _Connection, conversation: Conversation) -> None:
        data = connection.sock.recv(transport.READ)
        if not data:
            self._over(connection, transport.EOF)
            return
        conversation.receive(data)
        self._answer(connection, conversation)

    def _answer(self, connection: _Connection, conversation: Conversation) -> None:
        """Sends what is to be said, and goes on where the dialogue is over."""
        out = conversation.take()
        # A mail command fits into an empty send buffer; a peer for whom it does not is dead.
        if out and connection.sock.send(out) != len(out):
            self._over(connection, transport.TIMEOUT)
            return
        if out or connection.opening:
            connection.opening = 0.0
            self._step(connection)
        if not conversation.done:
            return
        if conversation is connection.dial.before and conversation.sealed:
            # TLS begins, and the client speaks first.
            connection.talk = None
            self._want(connection, True)
            self._step(connection)
        else:
            self._over(connection, transport.EOF)

    def _raw(self, connection: _Connection) -> None:
        if connection.writable:
            connection.sock.send(connection.dial.hello)
            self._want(connection, False)
            return
        data = connection.sock.recv(RAW_OCTETS)
        connection.answer += data
        if not data:
            reason = transport.EOF.reason
            self._finish(connection, Call(Reach.OPEN, reason, answer=connection.answer))
        elif raw_complete(connection.answer):
            self._finish(connection, Call(Reach.OPEN, answer=connection.answer))

    def _secure(self, connection: _Connection) -> None:
        sock, name = connection.sock, connection.question.server_name
        if not isinstance(sock, ssl.SSLSocket):
            try:
                sock = tls.wrap(sock, connection.dial.layer, self._authority, name)
            except UnicodeError as error:
                self._finish(connection, tls.broken(connection.dial, error))
                return
            connection.sock = sock
        if connection.tls is None:
            sock.do_handshake()
            connection.tls = tls.facts(sock, name)
            self._want(connection, False)
            self._step(connection)
            if connection.dial.conversation is None:
                self._finish(connection, Call(Reach.OPEN, tls=connection.tls))
                return
            self._answer(connection, connection.dial.conversation)
        # TLS may hold whole records that epoll does not know of: read until it wants more
        # (SSLWantReadError) or the dialogue is over.
        while connection.tls is not None:
            assert connection.dial.conversation is not None
            self._converse(connection, connection.dial.conversation)
