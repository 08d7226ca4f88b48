"""From words to endpoints: `host`, `host:port`, `[v6]:port`, `pop3://host:port`, `a.b.c.d/n`.

Parsing is pure; only `resolve` asks the resolver, in threads, and gives every address of a name,
IPv4 and IPv6: a service that is sealed on one address and open on the other is open. A resolver
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
import re
import socket
import threading
import time
from dataclasses import dataclass
from typing import (
    Callable,
    Deque,
    Dict,
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
from mailseal.probe.scope import EXCLUDED, OUTSIDE, Permit, Range

# RFC 937, 1939, 3501, 5321, 6409, 8314, 5804; POP2 inside TLS never had a port of its own.
SCHEMES: Dict[str, int] = {
    "pop2": 109,
    "pop3": 110,
    "imap": 143,
    "smtp": 25,
    "submission": 587,
    "submissions": 465,
    "imaps": 993,
    "pop3s": 995,
    "sieve": 4190,
}
"""Service names and their ports (IANA). `sieve` is ManageSieve."""

DEFAULT_PORTS: Tuple[int, ...] = tuple(SCHEMES.values())
"""Where a mail login may be: looked at where a target names no port."""

PATIENCE = 20.0
"""Seconds for the addresses of one name."""
AHEAD = 32
"""Names that are asked for at a time."""
_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?\Z")


class BadTarget(ValueError):
    """The words name no target. `str()` says what is wrong and what would be right."""


Line = Tuple[str, int]
"""File and line that a target was read from."""


@dataclass(frozen=True)
class Target:
    """A host name, an address or a network, and the ports to look at. `own` where the words
    themselves named the port. `origin` is None for what was not read from a file.
    """

    host: str
    ports: Tuple[int, ...]
    own: bool = False
    origin: Optional[Line] = None

    @property
    def network(self) -> bool:
        """Many addresses rather than one host."""
        return "/" in self.host

    @property
    def named(self) -> bool:
        """A name, which the resolver must be asked for."""
        return not self.network and _address(self.host) is None

    def hosts(self) -> Tuple[int, int, int]:
        """IP version, first and last address of a network, without the two (IPv6: the one) that
        are nobody's. Raises ValueError for a name.
        """
        network = ipaddress.ip_network(self.host.partition("%")[0])
        first, last = int(network.network_address), int(network.broadcast_address)
        if last - first > 1:
            first += 1
            last -= network.version == 4
        return network.version, first, last

    def endpoints(self) -> int:
        """How many they are; a name counts for one address."""
        if not self.network:
            return len(self.ports)
        _, first, last = self.hosts()
        return (last - first + 1) * len(self.ports)


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


# -- words -----------------------------------------------------------------------------------------


def parse(text: str, ports: Sequence[int] = DEFAULT_PORTS) -> Target:
    """Reads one target. Raises BadTarget."""
    rest, chosen, own = text.strip(), tuple(ports), False
    scheme, separator, after = rest.partition("://")
    if separator:
        if scheme.lower() not in SCHEMES:
            raise BadTarget("%r: the scheme is none of %s" % (text, ", ".join(SCHEMES)))
        rest, chosen, own = after.rstrip("/"), (SCHEMES[scheme.lower()],), True
    host, port = _split_port(rest, text)
    if port is not None:
        chosen, own = (port,), True
    if "/" in host:
        return Target(_network(host, text), chosen, own)
    if _address(host) is None and (not _NAME.match(host) or re.fullmatch(r"[\d.]+", host)):
        raise BadTarget(
            "%r is no host name, address or network; write host:port, [v6]:port or a.b.c.d/n" % text
        )
    return Target(host, chosen, own)


def _split_port(rest: str, text: str) -> Tuple[str, Optional[int]]:
    if rest.startswith("["):
        host, closed, tail = rest[1:].partition("]")
        if not closed or (tail and not tail.startswith(":")) or ":" not in host:
            raise BadTarget("%r: an IPv6 address is written [address]:port" % text)
        return host, port_number(tail[1:], text) if tail else None
    if rest.count(":") == 1:
        host, _, port = rest.partition(":")
        return host, port_number(port, text)
    return rest, None


def port_number(word: str, text: str) -> int:
    """A port. Raises BadTarget, naming `text`."""
    if not re.fullmatch(r"[0-9]{1,5}", word) or not 0 < int(word) < 65536:
        raise BadTarget("%r: %r is no port (1 to 65535)" % (text, word))
    return int(word)


def port_list(text: str) -> Tuple[int, ...]:
    """`pop2,110,1100-1110`: numbers, names (SCHEMES) and ranges, each port once, in their order.
    Raises BadTarget.
    """
    found: List[int] = []
    for word in text.split(","):
        word = word.strip().lower()
        first, dash, last = word.partition("-")
        if word in SCHEMES:
            found.append(SCHEMES[word])
        elif dash:
            low, high = port_number(first.strip(), text), port_number(last.strip(), text)
            if high < low:
                raise BadTarget("%r: the range %s is empty" % (text, word))
            found += range(low, high + 1)
        else:
            found.append(port_number(word, text))
    return tuple(dict.fromkeys(found))


def _network(host: str, text: str) -> str:
    try:
        return str(ipaddress.ip_network(host, strict=False))
    except ValueError as error:
        raise BadTarget("%r: %s" % (text, error)) from None


def _address(host: str) -> Optional[Union[ipaddress.IPv4Address, ipaddress.IPv6Address]]:
    try:
        return ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return None


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
    address = str(_address(target.host)) + zone[1] + zone[2]
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
