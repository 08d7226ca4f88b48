"""The blocking driver: one look, one connection after the other. What the agent uses.

Every socket operation gets what is left of its step's and its connection's time, so a server that
sends an octet a second ends no later than one that sends none.
"""

from __future__ import annotations

import socket
import time

from mailseal.model.look import Endpoint, Observation, Reach
from mailseal.model.moment import Clock
from mailseal.probe import tls, transport
from mailseal.probe.errands import whole
from mailseal.probe.look import (
    RAW_OCTETS,
    Call,
    Dial,
    Layer,
    Limits,
    Question,
    raw_complete,
    refused,
)
from mailseal.protocols.base import End
from mailseal.protocols.conversation import Conversation


class _Deadline:
    """Seconds left for one connection, and for the step under way."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._total = time.monotonic() + limits.total
        self._step = 0.0

    def begin_step(self) -> None:
        self._step = time.monotonic() + self._limits.answer

    def left(self) -> float:
        """Raises socket.timeout where nothing is left."""
        left = min(self._total, self._step) - time.monotonic()
        if left <= 0:
            raise socket.timeout()
        return left


def observe(question: Question, *, authority: str = "", now: Clock = time.time) -> Observation:
    """Takes one look. `authority`: a PEM file trusted besides the system's roots (else the
    question's).

    Raises OSError or ssl.SSLError where that file cannot be read.
    """
    authority = authority or question.authority
    tls.check_authority(authority)
    steps = whole(question, now)
    dial = next(steps)
    while True:
        try:
            dial = steps.send(_call(question, dial, authority))
        except StopIteration as stop:
            observation: Observation = stop.value
            return observation


def source(endpoint: Endpoint) -> str:
    """The address of this host from which it reaches an endpoint, by its routes; empty where none
    leads there. No packet is sent.
    """
    address, _, zone = endpoint.address.partition("%")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        scope = (0, socket.if_nametoindex(zone)) if zone else ()
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, endpoint.port, *scope))
            return str(sock.getsockname()[0])
    except OSError:
        return ""


def exchange(endpoint: Endpoint, data: bytes, limits: Limits = Limits()) -> Call:  # noqa: B008
    """Sends `data` without waiting to be greeted, and reads the beginning of the answer: a line, or
    a TLS record's head. What an eager client gets to see, who sends its login at once.

    `reach` as of a look; `answer` may be empty or short, `reason` says why then.
    """
    return _call(Question(endpoint, limits=limits), Dial(Layer.RAW, hello=data), "")


def _call(question: Question, dial: Dial, authority: str) -> Call:
    endpoint, limits = question.endpoint, question.limits
    address, _, zone = endpoint.address.partition("%")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return Call(*transport.reach(error.errno or 0))
    with sock:
        sock.settimeout(limits.connect)
        try:
            if zone:
                sock.connect((address, endpoint.port, 0, socket.if_nametoindex(zone)))
            else:
                sock.connect((address, endpoint.port))
        except socket.timeout:
            return Call(*transport.NO_ANSWER)
        except OSError as error:
            if error.errno in transport.CAME_ABOUT:
                return tls.broken(dial, error)
            return Call(*transport.reach(error.errno or 0))
        deadline = _Deadline(limits)
        deadline.begin_step()
        if dial.before is not None:
            dial.before.end(_converse(sock, dial.before, deadline))
            if not dial.before.sealed:
                return Call(Reach.OPEN, refused(dial.before))
            deadline.begin_step()
        if dial.layer is Layer.RAW:
            return _exchange(sock, dial, deadline)
        if dial.layer is Layer.CLEAR:
            assert dial.conversation is not None
            dial.conversation.end(_converse(sock, dial.conversation, deadline))
            return Call(Reach.OPEN)
        return _secure(sock, question, dial, deadline, authority)


def _converse(sock: socket.socket, conversation: Conversation, deadline: _Deadline) -> End:
    """Carries the dialogue on; the reason why it cannot go on, where it ends early."""
    try:
        while True:
            out = conversation.take()
            if out:
                deadline.begin_step()
                sock.settimeout(deadline.left())
                sock.sendall(out)
            if conversation.done:
                break
            sock.settimeout(deadline.left())
            data = sock.recv(transport.READ)
            if not data:
                break
            conversation.receive(data)
    except OSError as error:
        return tls.ended(error)
    return transport.EOF


def _exchange(sock: socket.socket, dial: Dial, deadline: _Deadline) -> Call:
    """Sends octets and reads the beginning of the answer."""
    answer = b""
    try:
        sock.settimeout(deadline.left())
        sock.sendall(dial.hello)
        while not raw_complete(answer):
            sock.settimeout(deadline.left())
            data = sock.recv(RAW_OCTETS)
            if not data:
                return Call(Reach.OPEN, transport.EOF.reason, answer=answer)
            answer += data
    except OSError as error:
        return Call(Reach.OPEN, transport.ended(error).reason, answer=answer)
    return Call(Reach.OPEN, answer=answer)


def _secure(
    sock: socket.socket, question: Question, dial: Dial, deadline: _Deadline, authority: str
) -> Call:
    try:
        sock.settimeout(deadline.left())
        secured = tls.wrap(sock, dial.layer, authority, question.server_name)
    except (OSError, UnicodeError) as error:
        return tls.broken(dial, error)
    with secured:
        try:
            secured.do_handshake()
        except OSError as error:
            return tls.broken(dial, error)
        call = Call(Reach.OPEN, tls=tls.facts(secured, question.server_name))
        if dial.conversation is not None:
            deadline.begin_step()
            dial.conversation.end(_converse(secured, dial.conversation, deadline))
        return call
