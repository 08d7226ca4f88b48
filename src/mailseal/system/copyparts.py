"""What a throwaway copy of a host is made of: its mounts and its network, read from what the host
says of itself.

Strategy: pure. What comes in is the text of proc(5)'s mountinfo and the JSON of ip(8); what goes
out are values and the lines of `ip -batch`. What is not copied has a line that says so. The copy's
interfaces bear the names and addresses of the host's; each is one end of a veth pair whose other
end lies in the street, a network namespace where nothing is but who looks at the copy.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

OWN = ("/proc", "/sys", "/dev", "/run", "/tmp")
"""What every booted system makes for itself, with all below."""

FOREIGN = re.compile(
    r"(nfs|cifs|smb|fuse|ceph|gluster|afs|9p|autofs|lustre|ncpfs|ocfs2|gfs2|beegfs)"
)
"""How the types of file systems begin that lie on other hosts, or that a program serves."""

_PLAIN = re.compile(r"[A-Za-z0-9/._@+-]+")
_ESCAPED = re.compile(r"\\([0-7]{3})")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,15}")
"""What an interface must be called to be put into a line for ip(8)."""

STREET = "@STREET@"
"""Stands in the lines for the process whose network namespace is the street."""

Address = Any
"""IPv4Interface or IPv6Interface."""


class Mount(NamedTuple):
    """A mount point of the host, and whether the host may write there."""

    point: str
    writable: bool


def mounts(mountinfo: str) -> Tuple[Tuple[Mount, ...], Tuple[str, ...]]:
    """The mount points that a copy needs, those above others first, and what is left out and why.
    Of several mounts at one place the last is seen.
    """
    found: Dict[str, Optional[Mount]] = {}
    left: Dict[str, str] = {}
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        words, kind = before.split(" "), after.split(" ", 1)[0]
        if not dash or len(words) < 6:
            continue
        point = _ESCAPED.sub(lambda match: chr(int(match.group(1), 8)), words[4])
        if any(point == own or point.startswith(own + "/") for own in OWN):
            continue
        left.pop(point, None)
        found.pop(point, None)
        if FOREIGN.match(kind):
            left[point] = "%s is left out: it is of another host or program (%s)" % (point, kind)
        elif not _PLAIN.fullmatch(point):
            left[point] = "%s is left out: an unusual name" % point
        else:
            found[point] = Mount(point, "rw" in words[5].split(","))
    kept = tuple(each for _, each in sorted(found.items()) if each)
    return kept, tuple(left.values())


class Network(NamedTuple):
    """Lines for `ip -batch` in the copy's namespace and in the street's; and what is left out."""

    inside: Tuple[str, ...]
    street: Tuple[str, ...]
    left_out: Tuple[str, ...]


def network(addresses: object, routes: Sequence[object]) -> Network:
    """From `ip -j address show` and the default routes of `ip -j route show default`, of both
    families. Who looks from the street has the address of the gateway, else one that is free.
    """
    inside, street, left = ["link set lo up"], ["link set lo up"], []
    gates = _gates(routes)
    own = {each.ip for _, each in _interfaces(addresses)}
    made: List[str] = []
    for name, address in _interfaces(addresses):
        if not _NAME.fullmatch(name):
            left.append("the interface %r is left out: an unusual name" % name[:40])
            continue
        flags = " nodad" if address.version == 6 else ""
        if name != "lo" and name not in made:
            inside.append(
                "link add name %s type veth peer name p%d netns %s" % (name, len(made), STREET)
            )
            inside.append("link set dev %s up" % name)
            street.append("link set dev p%d up" % len(made))
            made.append(name)
        inside.append("address add %s dev %s%s" % (address, name, flags))
        if name == "lo":
            continue
        peer = "p%d" % made.index(name)
        looker = _looker(address, gates.get((name, address.version), set()), own)
        if looker is None:
            left.append("%s cannot be looked at from outside: its network is full" % address)
            continue
        full = address.max_prefixlen
        street.append("address replace %s/%d dev %s%s" % (looker, full, peer, flags))
        street.append("route replace %s/%d dev %s src %s" % (address.ip, full, peer, looker))
        inside.append("route replace %s/%d dev %s" % (looker, full, name))
    return Network(tuple(inside), tuple(street), tuple(dict.fromkeys(left)))


def _interfaces(addresses: object) -> List[Tuple[str, Address]]:
    """Name and address of each; what is of the host or the link alone (fe80::, 127.0.0.1, ::1)
    comes by itself.
    """
    found: List[Tuple[str, Address]] = []
    for interface in _rows(addresses):
        for each in _rows(interface.get("addr_info")):
            try:
                address = ipaddress.ip_interface("%s/%s" % (each["local"], each["prefixlen"]))
            except (KeyError, ValueError):
                continue
            if not ((address.ip.is_link_local and address.version == 6) or address.ip.is_loopback):
                found.append((str(interface.get("ifname", "")), address))
    return found


def _rows(data: object) -> List[Dict[str, Any]]:
    """The objects of a list that was JSON; none where it is no list."""
    return [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []


def _gates(routes: Sequence[object]) -> Dict[Tuple[str, int], Set[Address]]:
    """The gateways of each interface and family."""
    found: Dict[Tuple[str, int], Set[Address]] = {}
    for table in routes:
        for route in _rows(table):
            try:
                gate = ipaddress.ip_address(str(route["gateway"]))
            except (KeyError, ValueError):
                continue
            found.setdefault((str(route.get("dev", "")), gate.version), set()).add(gate)
    return found


def _looker(address: Address, gates: Set[Address], own: Set[Address]) -> Optional[Address]:
    """An address of the same network that is not the host's; None where there is none."""
    for gate in sorted(gates):
        if gate in address.network and gate not in own:
            return gate
    first = int(address.network.network_address)
    size = address.network.num_addresses
    # The ends of an IPv4 network are no host's.
    edges = {0, size - 1} if address.version == 4 and size > 2 else {0} if size > 2 else set()
    for number in range(min(size, len(own) + 4)):
        candidate = type(address.ip)(first + number)
        if number not in edges and candidate not in own:
            return candidate
    return None
