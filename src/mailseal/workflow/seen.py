"""Which endpoints were there before: a set of a million in some 16 MB.

Strategy: an endpoint becomes one number, kept in a flat array with open addressing (a Python set
takes eight times as much). IPv4 addresses and ports fit whole. What does not fit (IPv6, a name in
the question) is hashed to 63 bits with Python's key of this process: that two of a million are
taken for one happens once in 18 million scans.
"""

from __future__ import annotations

from array import array

from mailseal.model.look import Endpoint

_MIX = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1

REMEMBERED = 1 << 16
"""Endpoints of one scan that are known again at any time; of later ones, the last half as many."""


def key(endpoint: Endpoint | None, name: str = "") -> int:
    """An endpoint that is asked for by a name (or not) as a number; without an endpoint, the name
    alone.
    """
    if endpoint is not None and not name and ":" not in endpoint.address:
        a, b, c, d = endpoint.address.split(".")
        return 1 << 63 | int(a) << 40 | int(b) << 32 | int(c) << 24 | int(d) << 16 | endpoint.port
    place = endpoint and (endpoint.address, endpoint.port)
    return (hash((place, name)) & (1 << 63) - 1) or 1


class Keys:
    """A set of numbers from 1 to 2**64 - 1."""

    def __init__(self) -> None:
        self._bits = 10
        self._slots = array("Q", (0,)) * (1 << self._bits)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def __contains__(self, number: int) -> bool:
        return self._slots[self._place(number)] == number

    def add(self, number: int) -> bool:
        """Takes a number in. False where it was there."""
        place = self._place(number)
        if self._slots[place] == number:
            return False
        self._slots[place] = number
        self._used += 1
        if self._used * 4 > 3 << self._bits:
            self._grow()
        return True

    def _place(self, number: int) -> int:
        """Where it is, or the empty slot where it would be."""
        slots, mask = self._slots, (1 << self._bits) - 1
        place = (number * _MIX & _WORD) >> 64 - self._bits
        while slots[place] not in (0, number):
            place = place + 1 & mask
        return place

    def _grow(self) -> None:
        old = self._slots
        self._bits += 1
        self._slots = array("Q", (0,)) * (1 << self._bits)
        for number in old:
            if number:
                self._slots[self._place(number)] = number


class Recent:
    """The first numbers, `remembered` of them, and at least half as many of the last: what comes
    twice farther apart is new again.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._most = remembered
        self._first, self._older, self._newer = Keys(), Keys(), Keys()

    def add(self, number: int) -> bool:
        """Takes a number in. False where it was there, as far as that is remembered."""
        if number in self._first or number in self._newer:
            return False
        known = number in self._older
        if not known and len(self._first) < self._most:
            return self._first.add(number)
        # One that comes again is a last one again.
        if len(self._newer) >= self._most // 2:
            self._older, self._newer = self._newer, Keys()
        self._newer.add(number)
        return not known
