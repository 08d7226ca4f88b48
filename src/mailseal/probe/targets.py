"""From targets to endpoints.

Strategy: only `resolve` asks the resolver, in threads, and gives every address of a name, IPv4 and
IPv6: a service that is sealed on one address and open on the other is open. A resolver
that hangs costs the names that it was asked for, and no more. The addresses of a network come in an
order that visits all its parts alike, so that no /24 of it gets everything at once; the order is
the same each time.
"""

from __future__ import annotations

import bisect
import collections
import ipaddress
import itertools
import math
import socket
import threading
import time
from dataclasses import dataclass
from typing import (
    Callable,
    Deque,
    Generator,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from mailseal.model.look import Endpoint
from mailseal.model.target import Line, Target
from mailseal.probe.scope import EXCLUDED, OUTSIDE, Permit, Range

PATIENCE = 20.0
"""Seconds for the addresses of one name."""
AHEAD = 32
"""Names that are asked for at a time."""


@dataclass(frozen=True)
class Resolved:
    """An endpoint and the name that led to it (empty where the target was an address). `swept`: it
    is one of a network's many.
    """

    endpoint: Endpoint
    name: str
    swept: bool = False
    origin: Optional[Line] = None

    @property
    def asked(self) -> str:
        """What it is known by to whoever asked: the name, else the address."""
        return self.name or self.endpoint.address


@dataclass(frozen=True)
class Unresolved:
    """A name without an address, and the resolver's reason."""

    name: str
    reason: str
    origin: Optional[Line] = None


@dataclass(frozen=True)
class LeftOut:
    """Endpoints that are not to be contacted. `asked` is the target; `endpoint` None where there is
    more than one, or where nobody asked for its address. `why` is OUTSIDE or EXCLUDED.
    """

    asked: str
    endpoint: Optional[Endpoint]
    why: str
    count: int
    origin: Optional[Line] = None


Place = Union[Resolved, Unresolved, LeftOut]


# -- networks --------------------------------------------------------------------------------------


def spread(count: int) -> Iterator[int]:
    """The numbers 0 to `count` - 1, each once: every step goes on by the golden section of the
    whole, so that any few in a row lie far apart.
    """
    step = max(1, int(count * 0.6180339887498949))
    while math.gcd(step, count) != 1:
        step += 1
    at = 0
    for _ in range(count):
        yield at
        at = (at + step) % count


def _swept(target: Target, parts: Sequence[Range], version: int, site: str) -> Iterator[Resolved]:
    """Every address of the parts, with every port."""
    form = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    ends = list(itertools.accumulate(last - first + 1 for first, last in parts))
    hosts, ports = ends[-1] if ends else 0, target.ports
    for number in spread(hosts * len(ports)) if hosts else ():
        place, port = number % hosts, ports[number // hosts]
        part = bisect.bisect_right(ends, place)
        address = str(form(parts[part][1] - (ends[part] - 1 - place)))
        yield Resolved(Endpoint(address, port, site), "", True, target.origin)


# -- names -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """An address that a name led to, the ports to look at there, and the names on the way, the last
    of which is what the host calls itself.
    """

    address: str
    ports: Tuple[int, ...]
    names: Tuple[str, ...]


Answer = List[Union[Found, Unresolved]]
Ask = Callable[[Target], Answer]


def addresses(name: str) -> Union[List[str], Unresolved]:
    """All addresses of a name. Blocks as long as the system's resolver does."""
    try:
        rows = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Unresolved(name, "the name does not resolve: " + reason)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


def ask(target: Target) -> Answer:
    """The addresses of a target that is a name."""
    answer = addresses(target.host)
    if isinstance(answer, Unresolved):
        return [answer]
    return [Found(each, target.ports, (target.host.rstrip("."),)) for each in answer]


class _Asked:
    """A name that is being asked for, by a thread of its own: a resolver cannot be interrupted, so
    one that hangs is left behind.
    """

    def __init__(self, target: Target, ask: Ask) -> None:
        self.target = target
        self._until = time.monotonic() + PATIENCE
        self._answer: Optional[Answer] = None
        self._ask = ask
        self._done = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._answer = self._ask(self.target)
        except Exception as error:
            self._answer = [Unresolved(self.target.host, "it could not be asked for: %s" % error)]
        self._done.set()

    def settled(self) -> bool:
        return self._done.is_set() or time.monotonic() >= self._until

    def answer(self) -> Answer:
        """Waits for it as long as there is patience."""
        self._done.wait(max(0.0, self._until - time.monotonic()))
        if self._answer is None:
            reason = "the resolver gave no answer in %.0f s" % PATIENCE
            return [Unresolved(self.target.host, reason)]
        return self._answer


def resolve(
    targets: Iterable[Target], site: str = "default"
) -> Generator[Union[Resolved, Unresolved], None, None]:
    """Every endpoint of every target, lazily; waits for names."""
    for place in places(targets, site, patient=True):
        if isinstance(place, (Resolved, Unresolved)):
            yield place


def places(
    targets: Iterable[Target],
    site: str = "default",
    permit: Permit = Permit(),  # noqa: B008
    ask: Ask = ask,
    patient: bool = False,
) -> Generator[Optional[Place], None, None]:
    """Every endpoint of every target that may be contacted, and what may not, lazily. Gives None
    where it could only go on by waiting for the resolver; `patient` waits instead.
    """
    asked: Deque[_Asked] = collections.deque()
    waiting = iter(targets)
    more = True
    while more or asked:
        if asked and asked[0].settled():
            first = asked.popleft()
            yield from _answered(first.target, first.answer(), site, permit)
        elif more and len(asked) < AHEAD:
            target = next(waiting, None)
            if target is None:
                more = False
            elif not target.named:
                yield from _literal(target, site, permit)
            elif permit.name_excluded(target.host):
                yield LeftOut(target.host, None, EXCLUDED, len(target.ports), target.origin)
            else:
                asked.append(_Asked(target, ask))
        elif patient:
            asked[0].answer()
        else:
            settled = next((each for each in asked if each.settled()), None)
            if settled is None:
                yield None
            else:
                asked.remove(settled)
                asked.appendleft(settled)


def _literal(target: Target, site: str, permit: Permit) -> Iterator[Place]:
    """A target that needs no resolver."""
    if target.network:
        version, first, last = target.hosts()
        parts, outside, excluded = permit.cut(version, first, last)
        for why, count in ((OUTSIDE, outside), (EXCLUDED, excluded)):
            if count:
                yield LeftOut(target.host, None, why, count * len(target.ports), target.origin)
        yield from _swept(target, parts, version, site)
        return
    zone = target.host.partition("%")
    address = str(ipaddress.ip_address(zone[0])) + zone[1] + zone[2]
    yield from _endpoints(Found(address, target.ports, ()), address, site, permit, target.origin)


def _answered(target: Target, answer: Answer, site: str, permit: Permit) -> Iterator[Place]:
    for each in answer:
        if isinstance(each, Unresolved):
            yield Unresolved(each.name, each.reason, target.origin)
        else:
            asked = target.host.rstrip(".")
            yield from _endpoints(each, asked, site, permit, target.origin)


def _endpoints(
    found: Found, asked: str, site: str, permit: Permit, origin: Optional[Line]
) -> Iterator[Place]:
    name = found.names[-1] if found.names else ""
    why = permit.refusal(found.address, found.names)
    for port in found.ports:
        endpoint = Endpoint(found.address, port, site)
        if why:
            yield LeftOut(asked, endpoint, why, 1, origin)
        else:
            yield Resolved(endpoint, name, False, origin)
