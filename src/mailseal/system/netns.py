"""A throwaway network namespace on the host, to look at its services as from outside (veth).

Strategy: a veth pair joins the namespace to the host; it reaches the host's own addresses through
it and nothing beyond. On the host one interface comes and goes, and no setting changes: local
delivery needs no forwarding. The names carry the process that made them, so whatever a killed run
left is found by name (`sweep`). A link network is taken from a range of which the host uses no
part; duplicate address detection is skipped (`nodad`), since nobody else is on the link.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import secrets
from typing import Iterator, List, Optional, Sequence, Set, Tuple

from mailseal.system.base import System

# Shared address space (RFC 6598), link-local (RFC 3927), benchmarking (RFC 2544).
POOLS = tuple(map(ipaddress.IPv4Network, ("100.64.0.0/10", "169.254.0.0/16", "198.18.0.0/15")))
SECONDS = 10.0

_NAME = re.compile(r"mailseal-(?P<pid>[0-9]+)-[0-9a-f]{4}")
# At most 15 characters; a process id has at most seven.
_DEVICE = re.compile(r"ms(?P<pid>[0-9]+)[0-9a-f]{4}[hn]")


class ThrowawayNamespace:
    """Within the `with`, programs started behind `exec_prefix` are in the namespace.

    `gaps` says what could not be set up (IPv6 switched off). Raises OSError, with nothing left
    behind, where it cannot be made: no root, no iproute2.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        tag = secrets.token_hex(2)
        self.name = "mailseal-%d-%s" % (os.getpid(), tag)
        self._devices = tuple("ms%d%s%s" % (os.getpid(), tag, end) for end in "hn")
        self.exec_prefix: Tuple[str, ...] = ("ip", "netns", "exec", self.name)
        self.ipv4 = ""
        self.ipv6 = ""
        """The namespace's own addresses: what the host's services see as the client."""
        self.gaps: Tuple[str, ...] = ()

    def __enter__(self) -> "ThrowawayNamespace":
        if self._system.uid() != 0:
            raise PermissionError("a network namespace needs root: run this as root")
        try:
            self._build()
        except BaseException:
            _remove(self._system, self.name, self._devices[0])
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        problem = _remove(self._system, self.name, self._devices[0])
        if problem and exception[0] is None:
            raise OSError("could not remove the network namespace: %s" % problem)

    def _build(self) -> None:
        host, inner = self._devices
        self._ip("netns", "add", self.name)
        self._ip("link", "add", host, "type", "veth", "peer", "name", inner, "netns", self.name)
        self._ip("link", "set", host, "up")
        self._ip("-n", self.name, "link", "set", "lo", "up")
        self._ip("-n", self.name, "link", "set", inner, "up")
        gate, own = self._link_network()
        self._join("-4", gate, own, "30")
        self.ipv4 = own
        # RFC 4193: forty random bits.
        bits = secrets.token_hex(5)
        prefix = "fd%s:%s:%s::" % (bits[:2], bits[2:6], bits[6:])
        gate, own = (str(ipaddress.ip_address(prefix + number)) for number in "12")
        try:
            self._join("-6", gate, own, "64", "nodad")
            self.ipv6 = own
        except OSError as error:
            self.gaps = ("no IPv6 in the network namespace: %s" % error,)

    def _join(self, family: str, gate: str, own: str, length: str, *flags: str) -> None:
        """Addresses on both ends, and the host's end as the way out."""
        host, inner = self._devices
        self._ip(family, "address", "add", gate + "/" + length, "dev", host, *flags)
        within = ("-n", self.name, family)
        self._ip(*within, "address", "add", own + "/" + length, "dev", inner, *flags)
        self._ip(*within, "route", "add", "default", "via", gate)

    def _link_network(self) -> Tuple[str, str]:
        """The two addresses of a /30 that nothing on the host overlaps."""
        used = list(_used(self._json("-4", "address"), self._json("-4", "route", "table", "all")))
        for pool in POOLS:
            if not any(pool.overlaps(network) for network in used):
                choice = secrets.randbelow(2 ** (30 - pool.prefixlen)) * 4
                return str(pool[choice + 1]), str(pool[choice + 2])
        raise OSError("no free range for a link network: the host uses all of ours")

    def _json(self, family: str, *words: str) -> object:
        verb = (words[0], "show", *words[1:])
        return json.loads(self._ip("-j", family, *verb) or b"[]")

    def _ip(self, *words: str) -> bytes:
        done = self._system.run(["ip", *words], timeout=SECONDS)
        if not done.ok:
            raise OSError("%s (needs root and iproute2)" % done.words())
        return done.out


def sweep(system: System) -> Tuple[str, ...]:
    """Removes the namespaces and interfaces of processes that are no more; their names."""
    removed: List[str] = []
    for name in _dead(system, _NAME, system.listdir("/run/netns")):
        system.run(["ip", "netns", "delete", name], timeout=SECONDS)
        removed.append(name)
    for device in _dead(system, _DEVICE, _interfaces(system)):
        system.run(["ip", "link", "delete", device], timeout=SECONDS)
        removed.append(device)
    return tuple(removed)


def _dead(system: System, pattern: "re.Pattern[str]", names: Sequence[str]) -> Iterator[str]:
    for name in names:
        match = pattern.fullmatch(name)
        if match and system.stat("/proc/" + match.group("pid")) is None:
            yield name


def _remove(system: System, name: str, device: str) -> str:
    """Removes what there is of the two; what was said against it, else empty. The interface first:
    a program that is still in the namespace keeps it alive, without a name and with its link.
    """
    problems = []
    for there, argv in (
        (device in _interfaces(system), ["ip", "link", "delete", device]),
        (name in system.listdir("/run/netns"), ["ip", "netns", "delete", name]),
    ):
        if there:
            done = system.run(argv, timeout=SECONDS)
            problems += [] if done.ok else [done.words()]
    return "; ".join(problems)


def _interfaces(system: System) -> Tuple[str, ...]:
    """The names of the interfaces here. Not from /sys, which in a container may be another's."""
    done = system.run(["ip", "-j", "link", "show"], timeout=SECONDS)
    found = json.loads(done.out) if done.ok and done.out else []
    return tuple(str(each.get("ifname", "")) for each in found)


def _used(addresses: object, routes: object) -> Iterator[ipaddress.IPv4Network]:
    """The networks of `ip -j address` and `ip -j route`, the default route left out."""
    seen: Set[str] = set()
    for interface in addresses if isinstance(addresses, list) else ():
        for each in interface.get("addr_info", ()):
            seen.add("%s/%s" % (each.get("local"), each.get("prefixlen")))
    for route in routes if isinstance(routes, list) else ():
        seen.add(str(route.get("dst")))
    for text in sorted(seen):
        network = _network(text)
        if network is not None and network.prefixlen:
            yield network


def _network(text: str) -> Optional[ipaddress.IPv4Network]:
    try:
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return None
