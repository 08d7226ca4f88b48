"""What may be contacted: the scope, outside which nothing is, and what is excluded inside it.

Strategy: networks become sorted, disjoint ranges of numbers, so that a network of a million
addresses is cut to what is permitted without looking at each, and one address is found by
bisection. Exclusion wins. A name in the scope permits whatever address it leads to; a name that is
excluded is asked for by the caller, who adds its addresses.
"""

from __future__ import annotations

import bisect
import ipaddress
import re
from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

Range = Tuple[int, int]
"""First and last number, both within."""

_NAME = re.compile(r"(\*\.)?(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\Z")

OUTSIDE = "outside the scope"
EXCLUDED = "excluded"


class BadRule(ValueError):
    """The words are no address, network or name. `str()` says what would be right."""


class Ranges:
    """Addresses of one version as disjoint ranges. Empty at first."""

    def __init__(self) -> None:
        self._first: List[int] = []
        self._last: List[int] = []

    def add(self, first: int, last: int) -> None:
        """Adds a range; what it touches becomes one with it."""
        low = bisect.bisect_left(self._last, first - 1)
        high = bisect.bisect_right(self._first, last + 1)
        if low < high:
            first, last = min(first, self._first[low]), max(last, self._last[high - 1])
        self._first[low:high] = [first]
        self._last[low:high] = [last]

    def __contains__(self, number: int) -> bool:
        place = bisect.bisect_left(self._last, number)
        return place < len(self._first) and self._first[place] <= number

    def within(self, first: int, last: int) -> List[Range]:
        """What of a range is in here."""
        found = []
        for place in range(bisect.bisect_left(self._last, first), len(self._first)):
            if self._first[place] > last:
                break
            found.append((max(first, self._first[place]), min(last, self._last[place])))
        return found

    def without(self, first: int, last: int) -> List[Range]:
        """What of a range is not."""
        left = []
        for low, high in self.within(first, last):
            if first < low:
                left.append((first, low - 1))
            first = high + 1
        if first <= last:
            left.append((first, last))
        return left


class Rules:
    """Addresses, networks and names. `*.example.org` stands for whatever is below it."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._ranges: Dict[int, Ranges] = {4: Ranges(), 6: Ranges()}
        self.names: Set[str] = set()
        for word in words:
            self.add(word)

    def add(self, word: str) -> None:
        """Takes one rule. Raises BadRule."""
        try:
            network = ipaddress.ip_network(word.partition("%")[0], strict=False)
        except ValueError:
            name = word.lower().rstrip(".")
            if not _NAME.match(name) or re.fullmatch(r"[\d.]+", name):
                raise BadRule("%r is no address, network (a.b.c.d/n) or name" % word) from None
            self.names.add(name)
            return
        first = int(network.network_address)
        self._ranges[network.version].add(first, int(network.broadcast_address))

    def ranges(self, version: int) -> Ranges:
        """The addresses of IP version 4 or 6."""
        return self._ranges[version]

    def names_it(self, name: str) -> bool:
        """Whether a name is here, or below one that is here with `*.`."""
        name = name.lower().rstrip(".")
        if not name or not self.names:
            return False
        labels = name.split(".")
        above = ("*." + ".".join(labels[at:]) for at in range(1, len(labels)))
        return name in self.names or any(each in self.names for each in above)

    def has(self, address: str) -> bool:
        """Whether an address is in one of the networks. A zone (`%eth0`) does not count."""
        parsed = ipaddress.ip_address(address.partition("%")[0])
        return int(parsed) in self._ranges[parsed.version]


@dataclass(frozen=True)
class Permit:
    """`scope` None: everything that is not excluded."""

    scope: Optional[Rules] = None
    excluded: Optional[Rules] = None

    def refusal(self, address: str, names: Sequence[str] = ()) -> str:
        """Why an address is not to be contacted, OUTSIDE or EXCLUDED; empty where it is. `names`
        are those that led to it.
        """
        scope, excluded = self.scope, self.excluded
        if excluded is not None and (
            excluded.has(address) or any(excluded.names_it(name) for name in names)
        ):
            return EXCLUDED
        if scope is not None and not (
            scope.has(address) or any(scope.names_it(name) for name in names)
        ):
            return OUTSIDE
        return ""

    def name_excluded(self, name: str) -> bool:
        """Whether a name is not even to be asked for."""
        return self.excluded is not None and self.excluded.names_it(name)

    def cut(self, version: int, first: int, last: int) -> Tuple[List[Range], int, int]:
        """The parts of a range that may be contacted, and how many addresses are outside the scope
        and how many excluded.
        """
        whole = last - first + 1
        parts = [(first, last)]
        if self.scope is not None:
            parts = self.scope.ranges(version).within(first, last)
        inside = _size(parts)
        if self.excluded is not None:
            ranges = self.excluded.ranges(version)
            parts = [left for part in parts for left in ranges.without(*part)]
        return parts, whole - inside, inside - _size(parts)


def _size(parts: Sequence[Range]) -> int:
    return sum(last - first + 1 for first, last in parts)
