"""Does a POP2 server log in to other hosts for its clients? The canary finds out.

`HELO host:user password` makes UW's server log in to `host` by IMAP, and its answer is "bad login"
whether it went there or not. So the answer proves nothing: mailseal listens on the IMAP port of its
own address that faces the server, names that address in HELO, and only a connection that arrives
from the server proves it. The canary says goodbye at once: no name and no password reach it.

Also here, because both ask the kernel's routing: which local address faces a server, and whether an
address is this host's own.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import threading
from dataclasses import dataclass, replace
from typing import Callable, List, Optional, Tuple, Type, Union

from mailseal.model.look import Attempt, Channel, Endpoint, Observation, Outcome, Reach
from mailseal.probe.look import Question
from mailseal.protocols.base import Credentials

PORT = 143
"""IMAP: where the server goes; the syntax of HELO names no port."""
USER = "mailseal-probe"
SETTLE = 1.0
"""Seconds to wait after the server's answer. It connects before it answers."""
_VISITORS = 64
"""Connections that are remembered; who else comes is turned away unread."""
_BYE = b"* BYE this is a canary, no mail here\r\n"


@dataclass(frozen=True)
class NotExamined:
    """The question could not be asked; `reason` says why, and what would help."""

    reason: str


class Canary:
    """Listens while the `with` lasts. `visitors` are the addresses that connected, in order.
    Entering raises OSError where the address cannot be listened on.
    """

    def __init__(self, address: str, port: int = PORT) -> None:
        self.visitors: List[str] = []
        self._where = (address, port)
        self._change = threading.Condition()
        self._stopping = False
        self._listener: Optional[socket.socket] = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Canary":
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self._where)
            listener.listen(_VISITORS)
            listener.settimeout(0.1)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self._thread.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: object
    ) -> None:
        self._stopping = True
        self._thread.join()
        if self._listener is not None:
            self._listener.close()

    def wait(self, address: str, seconds: float) -> bool:
        """Whether `address` has connected, or does within this time."""
        with self._change:
            return self._change.wait_for(lambda: address in self.visitors, seconds)

    def _serve(self) -> None:
        assert self._listener is not None
        while not self._stopping:
            try:
                connection, peer = self._listener.accept()
            except OSError:  # Nobody came for a moment, or was gone again before it was accepted.
                continue
            with connection:
                with self._change:
                    if len(self.visitors) < _VISITORS:
                        self.visitors.append(str(peer[0]))
                        self._change.notify_all()
                try:
                    connection.settimeout(1.0)
                    connection.sendall(_BYE)
                except OSError:
                    pass  # It came, which is all there was to know.


def examine(
    question: Question,
    look: Callable[[Question], Observation],
    port: int = PORT,
) -> Union[Observation, NotExamined]:
    """One more look at a POP2 server, with a login to our own address. The Observation has an
    Attempt with `remote` set: `accepted` where the server connected to us, else `unclear`.
    """
    if ":" in question.endpoint.address:
        return NotExamined(
            "HELO names no IPv6 address, and over IPv6 no other of ours is known to the server; "
            "scan its IPv4 address"
        )
    here = facing(question.endpoint)
    if not here:
        return NotExamined("there is no route to the server from here")
    canary = Canary(here, port)
    try:
        with canary:
            # Not a word of it is secret: whoever reads it learns that a probe was here.
            login = Credentials(USER, secrets.token_hex(8), here)
            seen = look(replace(question, login=login, throwaway=False))
            came = canary.wait(question.endpoint.address, SETTLE)
    except OSError as error:
        words = "cannot listen on %s port %d: %s" % (here, port, error.strerror or error)
        return NotExamined(words + "; run as root, on a machine without an IMAP server")
    return _judged(seen, came, here, port, canary.visitors)


def _judged(
    seen: Observation, came: bool, here: str, port: int, visitors: List[str]
) -> Union[Observation, NotExamined]:
    if seen.reach is not Reach.OPEN or not (came or any(a.remote for a in seen.attempts)):
        return NotExamined("the login to another host could not be tried: " + "; ".join(seen.gaps))
    server = seen.endpoint.address
    others = sorted(set(visitors) - {server})
    gaps: Tuple[str, ...] = seen.gaps
    if came:
        outcome = Outcome.ACCEPTED
        reason = "asked to log in at %s, the server connected to port %d there" % (here, port)
    else:
        outcome = Outcome.UNCLEAR
        reason = "asked to log in at %s, the server did not come: it refused, or was kept" % here
        if others:
            gaps += ("remote login: somebody else came to the canary: " + ", ".join(others),)
    attempt = Attempt("HELO", Channel.CLEAR, came, outcome, reason, True)
    kept = tuple(a for a in seen.attempts if not a.remote)
    return replace(seen, attempts=(*kept, attempt), gaps=gaps)


def facing(endpoint: Endpoint) -> str:
    """The local address that the kernel would use towards an endpoint; empty where it has no route.
    Nothing is sent: connecting a UDP socket only asks the routing table.
    """
    try:
        with socket.socket(_family(endpoint.address), socket.SOCK_DGRAM) as asking:
            asking.connect((endpoint.address, endpoint.port))
            return str(asking.getsockname()[0])
    except OSError:
        return ""


def own(address: str) -> bool:
    """Whether an address is one of this host's: only to those can a socket be bound. With
    `ip_nonlocal_bind` set every address seems to be: then too little is claimed, not too much.
    """
    bare, _, zone = address.partition("%")
    try:
        with socket.socket(_family(bare), socket.SOCK_DGRAM) as asking:
            if zone:
                asking.bind((bare, 0, 0, socket.if_nametoindex(zone)))
            else:
                asking.bind((bare, 0))
    except OSError:
        return False
    return True


def _family(address: str) -> socket.AddressFamily:
    version = ipaddress.ip_address(address.partition("%")[0]).version
    return socket.AF_INET6 if version == 6 else socket.AF_INET
