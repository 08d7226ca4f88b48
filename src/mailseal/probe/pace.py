"""How fast, and who is next: rates for all, for a host and for a network, and a waiting line.

Strategy: each rate is a spacing of moments (GCRA, ITU-T I.371): one number a bucket, the moment at
which its next connection is due, less a little that may come early. In no second does it let more
through than the rate says. A bucket that is due already is as good as new, so it is forgotten: what
is kept depends on what is under way, not on how much was. The waiting line holds what is not
permitted yet, by network and host, so that one slow network does not stop the others. Clocks are
handed in.
"""

from __future__ import annotations

import collections
import heapq
import ipaddress
import math
from dataclasses import dataclass
from typing import Deque, Dict, Generic, List, Optional, Tuple, TypeVar, Union

from mailseal.model.look import Endpoint

T = TypeVar("T")

_KEPT = 4096
"""Buckets that are kept before the first search for those that are due."""
_SOON = 1e-4
"""Seconds of which nobody is made to wait less: a shorter wait is a rounding error."""


@dataclass(frozen=True)
class Rates:
    """Connections a second, in all, to one host, and to one network (IPv4 /24, IPv6 /64), and hosts
    looked at on so many ports at a time. 0: without limit.

    The host's stays below what superservers take for an attack (inetd: 256 a minute and service;
    xinetd: 50 a second) and is spread over its ports.
    """

    total: float = 500.0
    host: float = 20.0
    network: float = 100.0
    at_a_time: int = 4

    def shared(self, among: int) -> "Rates":
        """For one of several processes, each of which has networks of its own."""
        return Rates(self.total / among, self.host, self.network, self.at_a_time)


UNPACED = Rates(0, 0, 0, 0)


class Spacing:
    """One rate for many buckets, by key. `early` is the part of a second's connections that may
    come at once; the rest of the second is slower for it.
    """

    def __init__(self, rate: float, early: float) -> None:
        burst = max(1.0, rate * early)
        self._step = 1.0 / (rate - burst + 1.0 if rate > 1.0 else rate) if rate else 0.0
        self._tolerance = (burst - 1.0) * self._step
        self._due: Dict[str, float] = {}
        self._sweep = _KEPT

    def wait(self, key: str, now: float) -> float:
        """Seconds until a connection is permitted; 0.0: now."""
        due = self._due.get(key)
        if due is None:
            return 0.0
        left = due - self._tolerance - now
        return max(left, _SOON) if left > 0.0 else 0.0

    def take(self, key: str, now: float) -> None:
        """Counts a connection."""
        if not self._step:
            return
        self._due[key] = max(self._due.get(key, now), now) + self._step
        if len(self._due) > self._sweep:
            self._due = {each: due for each, due in self._due.items() if due > now}
            self._sweep = max(_KEPT, 2 * len(self._due))


def network_of(address: str) -> str:
    """The /24 or /64 an address lies in, as a key."""
    if ":" not in address:
        return address.rpartition(".")[0]
    return "%x" % (int(ipaddress.IPv6Address(address.partition("%")[0])) >> 64)


class Pace:
    """Permits connections."""

    def __init__(self, rates: Rates) -> None:
        self.total = Spacing(rates.total, 0.05)
        self._host = Spacing(rates.host, 0.5)
        self._network = Spacing(rates.network, 0.25)

    def wait(self, address: str, network: str, now: float) -> float:
        """Seconds until the host and its network permit a connection, whatever the total says."""
        return max(self._network.wait(network, now), self._host.wait(address, now))

    def network_wait(self, network: str, now: float) -> float:
        """The same of a network alone."""
        return self._network.wait(network, now)

    def take(self, address: str, network: str, now: float) -> None:
        """Counts a connection."""
        self.total.take("", now)
        self._host.take(address, now)
        self._network.take(network, now)

    def permit(self, endpoint: Endpoint, now: float) -> float:
        """Takes a connection where that is permitted (0.0), else says how long to wait."""
        address = endpoint.address
        network = network_of(address)
        wait = max(self.total.wait("", now), self.wait(address, network, now))
        if not wait:
            self.take(address, network, now)
        return wait


class _Network(Generic[T]):
    """Who waits in one network; `hosts` take turns. `when` is the moment it is to be asked again,
    None where only the end of a look can change anything.
    """

    __slots__ = ("hosts", "lines", "when")

    def __init__(self) -> None:
        self.hosts: Deque[str] = collections.deque()
        self.lines: Dict[str, Deque[Tuple[Endpoint, T]]] = {}
        self.when: Optional[float] = None


class Line(Generic[T]):
    """Who waits for permission; `len` of them. Each is `add`ed with its endpoint, given by `next`
    when it may go, and reported `done` once its look is over.
    """

    def __init__(self, pace: Pace, at_a_time: int) -> None:
        self._pace = pace
        self._most = at_a_time
        self._networks: Dict[str, _Network[T]] = {}
        self._heap: List[Tuple[float, str]] = []
        self._active: Dict[str, int] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, endpoint: Endpoint, item: T, now: float) -> None:
        """Joins the line."""
        key, host = network_of(endpoint.address), endpoint.address
        network = self._networks.get(key)
        if network is None:
            network = self._networks[key] = _Network()
        if host not in network.lines:
            network.lines[host] = collections.deque()
            network.hosts.append(host)
            self._schedule(key, network, now)
        network.lines[host].append((endpoint, item))
        self._size += 1

    def done(self, endpoint: Endpoint, now: float) -> None:
        """A look is over: its host may have the next."""
        host = endpoint.address
        left = self._active.get(host, 0) - 1
        if left > 0:
            self._active[host] = left
        else:
            self._active.pop(host, None)
        key = network_of(host)
        network = self._networks.get(key)
        if network is not None:
            self._schedule(key, network, now)

    def next(self, now: float) -> Union[T, float]:
        """Who may go now, or else the seconds until somebody may (inf: once a look has ended)."""
        wait = self._pace.total.wait("", now)
        if wait:
            return wait
        while self._heap and self._heap[0][0] <= now:
            when, key = heapq.heappop(self._heap)
            network = self._networks.get(key)
            if network is None or network.when != when:
                continue  # It was put off, or asked sooner, since.
            network.when = None
            found = self._of(key, network, now)
            if found is not None:
                return found[0]
        return self._heap[0][0] - now if self._heap else math.inf

    def _schedule(self, key: str, network: _Network[T], when: float) -> None:
        if network.when is None or when < network.when:
            network.when = when
            heapq.heappush(self._heap, (when, key))

    def _of(self, key: str, network: _Network[T], now: float) -> Optional[Tuple[T]]:
        """The next of one network. Where there is none, the network is put off."""
        soonest = math.inf
        blocked = self._pace.network_wait(key, now)
        if blocked:
            self._schedule(key, network, now + blocked)
            return None
        for _ in range(len(network.hosts)):
            host = network.hosts[0]
            network.hosts.rotate(-1)
            if self._most and self._active.get(host, 0) >= self._most:
                continue
            wait = self._pace.wait(host, key, now)
            if wait:
                soonest = min(soonest, now + wait)
                continue
            return (self._go(key, network, host, now),)
        if soonest < math.inf:
            self._schedule(key, network, soonest)
        return None

    def _go(self, key: str, network: _Network[T], host: str, now: float) -> T:
        line = network.lines[host]
        _, item = line.popleft()
        self._size -= 1
        self._pace.take(host, key, now)
        self._active[host] = self._active.get(host, 0) + 1
        if not line:
            del network.lines[host]
            network.hosts.remove(host)
        if network.hosts:
            self._schedule(key, network, now)
        else:
            del self._networks[key]
        return item
