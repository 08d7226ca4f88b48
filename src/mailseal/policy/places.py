"""Places as policies name them: what `scan` takes for a target, and `*.example.org`.

Strategy: a word is read once into a value that answers for an endpoint. A name is held against what
an endpoint was asked for by; nothing is resolved here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from mailseal.model.look import Endpoint
from mailseal.model.target import parse

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

T = TypeVar("T")

_Key = tuple[int, int, int] | tuple[str, str]
"""IP version, length of the prefix and first address; or an empty word and a name."""


class Place(NamedTuple):
    """A network or a name (`*.example.org`: all below it), at a port or (0) at any."""

    network: Network | None
    name: str
    port: int

    def covers(self, other: Place) -> bool:
        """Whether all that is there is here."""
        if self.port not in (0, other.port):
            return False
        if self.network is None or other.network is None:
            return self.network is other.network and _names(self.name, other.name)
        # The versions are compared first: subnet_of raises where they differ.
        first, last = (int(other.network[at]) for at in (0, -1))
        return self.network.version == other.network.version and (
            int(self.network[0]) <= first and last <= int(self.network[-1])
        )


def place(word: str) -> Place:
    """Reads a word. Raises ValueError."""
    below = word.rpartition("://")[2].startswith("*.")
    target = parse(word.replace("*.", "", 1) if below else word, (), strict=True)
    port = target.ports[0] if target.own else 0
    if target.named:
        return Place(None, "*." * below + target.host.lower().rstrip("."), port)
    if "%" in target.host or below:
        # A zone (`%eth0`) may hold anything, and means something on one host alone.
        raise ValueError("%r is no address, network (its first address and /n) or name" % word)
    network = ipaddress.ip_network(target.host)
    if not network.prefixlen:
        raise ValueError("%r is everything there is: name networks" % word)
    return Place(network, "", port)


class Index(Generic[T]):
    """What holds at which places: found by the address and the name, and not one by one."""

    def __init__(self, entries: Iterable[tuple[Sequence[str], str, T]]) -> None:
        """The words of the places, their site (empty: any), and what holds there."""
        self._there: dict[_Key, list[tuple[int, int, str]]] = {}
        self._lengths: dict[int, set[int]] = {4: set(), 6: set()}
        self._values: list[T] = []
        for words, site, value in entries:
            for each in map(place, words):
                key: _Key = ("", each.name)
                if each.network is not None:
                    first, length = int(each.network[0]), each.network.prefixlen
                    self._lengths[each.network.version].add(length)
                    key = (each.network.version, length, first)
                self._there.setdefault(key, []).append((len(self._values), each.port, site))
            self._values.append(value)

    def at(self, endpoint: Endpoint, name: str) -> list[T]:
        """What holds at an endpoint that was asked for by `name`, in the order it was given in."""
        found = {
            order
            for key in self._keys(endpoint, name)
            for order, port, site in self._there.get(key, ())
            if port in (0, endpoint.port) and site in ("", endpoint.site)
        }
        return [self._values[order] for order in sorted(found)]

    def _keys(self, endpoint: Endpoint, name: str) -> Iterator[_Key]:
        at = address(endpoint)
        for length in self._lengths[at.version]:
            rest = at.max_prefixlen - length
            yield at.version, length, int(at) >> rest << rest
        labels = name.lower().rstrip(".").split(".")
        yield "", ".".join(labels)
        for above in range(1, len(labels)):
            yield "", ".".join(("*", *labels[above:]))


def address(endpoint: Endpoint) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address of an endpoint without its zone."""
    return ipaddress.ip_address(endpoint.address.partition("%")[0])


def _names(here: str, name: str) -> bool:
    return name == here or (here.startswith("*.") and name.endswith(here[1:]))
