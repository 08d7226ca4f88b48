"""Exceptions from enforcement: networks whose clients may go on logging in in cleartext for a
while, each with who answers for it, why, and its last day.

Strategy: values alone, and the one question that is asked of them everywhere: whether an address is
inside.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from typing import Iterable, Sequence

HOSTS = "/etc/hosts.mailseal-%d"
"""The list of a port that hosts_access(5) is to ask: readable by whatever user tcpd(8) runs as."""

_FAR, _LAST_PORT = 10000, 65535

MAX_WORDS = 200
"""Characters of an owner or a reason."""


@dataclass(frozen=True)
class Excepted:
    """Clients of `network` (10.1.2.0/24, 2001:db8::/32) may log in in cleartext to the end of the
    day `until` (ISO 8601), by the host's clock and zone.
    """

    network: str
    until: str
    owner: str
    reason: str

    def __post_init__(self) -> None:
        """Raises ValueError where the network or the day is none, or a text could be more than a
        comment in a file.
        """
        if str(ipaddress.ip_network(self.network)) != self.network:
            raise ValueError("%r is not a network in its usual form" % self.network)
        datetime.date.fromisoformat(self.until)
        for words in (self.owner, self.reason):
            if not words.strip() or len(words) > MAX_WORDS or not words.isprintable():
                raise ValueError("%r is not a line of up to %d characters" % (words, MAX_WORDS))
            if "\\" in words:
                raise ValueError("%r: a backslash could go on in the next line" % words)

    @property
    def about(self) -> str:
        """What is told of it besides the network."""
        return "until %s, %s: %s" % (self.until, self.owner, self.reason)

    def __str__(self) -> str:
        return "%s %s" % (self.network, self.about)


@dataclass(frozen=True)
class Door:
    """How a service is told whom to let in in cleartext: by a file of ours that names the networks
    and nothing else does. Its text is `head`, `each` for every network (`%s` is its place; `each6`
    for IPv6 where that is another) and `tail`. `unit` takes it with a reload (more than one: blanks
    between), or (`live`) reads it for each connection. `hosts`: as the patterns of hosts_access(5),
    without comments, IPv6 in brackets.
    """

    path: str
    head: str
    each: str
    tail: str = ""
    unit: str = ""
    live: bool = False
    hosts: bool = False
    each6: str = ""

    @property
    def reloaded(self) -> str:
        """The unit that has to be told of a new list; empty where none has to."""
        return "" if self.live else self.unit

    def listing(self, excepted: Sequence[Excepted]) -> bytes:
        """The file's bytes."""
        text = self.head + "".join(map(self._line, excepted)) + self.tail
        return text.encode("utf-8", "surrogateescape")

    def _line(self, one: Excepted) -> str:
        address, _, length = one.network.partition("/")
        if self.hosts:
            return self.each % ("[%s]/%s" % (address, length) if ":" in address else one.network)
        # A /128 matches nothing in xinetd (tried with 2.3.15.4); the address alone does.
        each = self.each6 if self.each6 and ":" in address else self.each
        single = ipaddress.ip_network(one.network).num_addresses == 1
        return "# %s\n%s" % (one.about, each % (address if single else one.network))


def side(port: int) -> int:
    """The port where excepted clients of `port` are served, where that is another."""
    return port + _FAR if port + _FAR <= _LAST_PORT else port - _FAR


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address is inside one of these networks. False for what is no address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in ipaddress.ip_network(network) for network in networks)
