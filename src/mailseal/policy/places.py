"""Places as policies name them: `192.0.2.0/24`, `[2001:db8::7]:109`, `mail.example:110`.

Strategy: a word is read once into a value that answers for an endpoint. A name is held against what
an endpoint was asked for by; nothing is resolved here.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from mailseal.model.look import Endpoint

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*):(?P<port>[0-9]{1,5})")
_NAME = re.compile(r"(\*\.)?(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\Z")


class Place(NamedTuple):
    """A network or a name (`*.example.org`: all below it), at a port or (0) at any."""

    network: Network | None
    name: str
    port: int

    def has(
        self, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, name: str
    ) -> bool:
        """Whether an endpoint that was asked for by `name` is here."""
        if self.port not in (0, port):
            return False
        return _names(self.name, name) if self.network is None else address in self.network

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
    found = _PORT.fullmatch(word)
    host, port = (found["host"], int(found["port"])) if found else (word, 0)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if found and not 0 < port < 65536:
        raise ValueError("%r: ports are from 1 to 65535" % word)
    try:
        # A zone (`%eth0`) may hold anything, and means something on one host alone.
        network = ipaddress.ip_network("" if "%" in bare else bare)
    except ValueError:
        name = host.lower().rstrip(".")
        if not _NAME.match(name) or re.fullmatch(r"[\d.]+", name):
            raise ValueError(
                "%r is no address, network (its first address and /n) or name" % word
            ) from None
        return Place(None, name, port)
    if not network.prefixlen:
        raise ValueError("%r is everything there is: name networks" % word)
    return Place(network, "", port)


def address(endpoint: Endpoint) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address of an endpoint without its zone."""
    return ipaddress.ip_address(endpoint.address.partition("%")[0])


def _names(here: str, name: str) -> bool:
    name = name.lower().rstrip(".")
    return name == here or (here.startswith("*.") and name.endswith(here[1:]))
