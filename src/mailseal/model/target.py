"""What people write for where to look: `host`, `host:port`, `[v6]:port`, `pop3://host:port`,
`a.b.c.d/n`.

Strategy: one grammar for command lines, files of targets and policies. Nothing is resolved.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple, Union

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


def parse(text: str, ports: Sequence[int] = DEFAULT_PORTS, strict: bool = False) -> Target:
    """Reads one target; `ports` are those of one that names none. `strict`: a network is written
    with its first address. Raises BadTarget.
    """
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
        return Target(_network(host, text, strict), chosen, own)
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


def _network(host: str, text: str, strict: bool) -> str:
    try:
        return str(ipaddress.ip_network(host, strict))
    except ValueError as error:
        raise BadTarget("%r: %s" % (text, error)) from None


def _address(host: str) -> Optional[Union[ipaddress.IPv4Address, ipaddress.IPv6Address]]:
    try:
        return ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return None
