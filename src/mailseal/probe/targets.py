"""From words to endpoints: `host`, `host:port`, `[v6]:port`, `pop2://host:port`, `a.b.c.d/n`.

Parsing is pure; only `resolve` asks the resolver, in threads, and gives every address of a name,
IPv4 and IPv6: a service that is sealed on one address and open on the other is open.
"""

from __future__ import annotations

import concurrent.futures
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Dict, Generator, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from mailseal.model.look import Endpoint

SCHEMES: Dict[str, int] = {"pop2": 109}
DEFAULT_PORTS: Tuple[int, ...] = (109,)
_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?\Z")


class BadTarget(ValueError):
    """The words name no target. `str()` says what is wrong and what would be right."""


@dataclass(frozen=True)
class Target:
    """A host name, an address or a network, and the ports to look at."""

    host: str
    ports: Tuple[int, ...]


@dataclass(frozen=True)
class Resolved:
    """An endpoint and the name that led to it (empty where the target was an address)."""

    endpoint: Endpoint
    name: str


@dataclass(frozen=True)
class Unresolved:
    """A name without an address, and the resolver's reason."""

    name: str
    reason: str


def parse(text: str, ports: Sequence[int] = DEFAULT_PORTS) -> Target:
    """Reads one target. Raises BadTarget."""
    rest, chosen = text.strip(), tuple(ports)
    scheme, separator, after = rest.partition("://")
    if separator:
        if scheme.lower() not in SCHEMES:
            raise BadTarget("%r: the scheme is none of %s" % (text, ", ".join(SCHEMES)))
        rest, chosen = after.rstrip("/"), (SCHEMES[scheme.lower()],)
    host, port = _split_port(rest, text)
    if port is not None:
        chosen = (port,)
    if "/" in host:
        return Target(_network(host, text), chosen)
    if _address(host) is None and (not _NAME.match(host) or re.fullmatch(r"[\d.]+", host)):
        raise BadTarget(
            "%r is no host name, address or network; write host:port, [v6]:port or a.b.c.d/n" % text
        )
    return Target(host, chosen)


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


def _addresses(target: Target) -> Iterator[str]:
    """The literal addresses of a target that needs no resolver."""
    if "/" in target.host:
        for address in ipaddress.ip_network(target.host).hosts():
            yield str(address)
    else:
        zone = target.host.partition("%")
        yield str(_address(target.host)) + zone[1] + zone[2]


def _ask(name: str) -> Union[List[str], Unresolved]:
    try:
        rows = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Unresolved(name, "the name does not resolve: " + reason)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


_Answer = concurrent.futures.Future[Union[List[str], Unresolved]]


def resolve(
    targets: Iterable[Target], site: str = "default"
) -> Generator[Union[Resolved, Unresolved], None, None]:
    """Every endpoint of every target, lazily; names are asked for in threads, some ahead."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        ahead: List[Tuple[Target, Optional[_Answer]]] = []
        waiting = iter(targets)
        while True:
            while len(ahead) < 32:
                target = next(waiting, None)
                if target is None:
                    break
                literal = "/" in target.host or _address(target.host) is not None
                ahead.append((target, None if literal else pool.submit(_ask, target.host)))
            if not ahead:
                return
            target, future = ahead.pop(0)
            yield from _endpoints(target, None if future is None else future.result(), site)


def _endpoints(
    target: Target, answer: Optional[Union[List[str], Unresolved]], site: str
) -> Iterator[Union[Resolved, Unresolved]]:
    if isinstance(answer, Unresolved):
        yield answer
        return
    name = "" if answer is None else target.host.rstrip(".")
    for address in _addresses(target) if answer is None else answer:
        for port in target.ports:
            yield Resolved(Endpoint(address, port, site), name)
