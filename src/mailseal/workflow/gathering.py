"""Sightings of logins, added up: one Login a kind, with how often, when first and when last.

Strategy: a dictionary by kind, bounded: an attacker who guesses a new user name with each login
must not fill the memory. What does not fit is counted and said, not forgotten silently.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import Generic, TypeVar

from mailseal.model.login import Login, TlsFailure

KINDS = 200_000
"""Different logins that are kept: some 120 MB at most."""
FEW = 8
"""Names of software, and notes, that are kept of one."""

_Seen = TypeVar("_Seen", Login, TlsFailure)


class Gathering(Generic[_Seen]):
    """What was seen, by kind. `left_out` counts sightings of kinds that there was no room for."""

    def __init__(self, most: int = KINDS) -> None:
        self._most = most
        self._seen: dict[Hashable, _Seen] = {}
        self.left_out = 0

    def add(self, seen: _Seen) -> bool:
        """Adds one; False where there was no room."""
        kind = seen.kind
        known = self._seen.get(kind)
        if known is None:
            if len(self._seen) >= self._most:
                self.left_out += seen.count
                return False
            self._seen[kind] = seen
        else:
            self._seen[kind] = _both(known, seen)
        return True

    def __len__(self) -> int:
        return len(self._seen)

    def all(self) -> list[_Seen]:
        """Newest first."""
        return sorted(self._seen.values(), key=lambda seen: seen.last, reverse=True)


def _both(known: _Seen, seen: _Seen) -> _Seen:
    count = known.count + seen.count
    first, last = min(known.first, seen.first), max(known.last, seen.last)
    if isinstance(known, TlsFailure) or isinstance(seen, TlsFailure):
        return replace(known, count=count, first=first, last=last)
    return replace(
        known,
        count=count,
        first=first,
        last=last,
        complete=known.complete and seen.complete,
        software=_few(known.software, seen.software),
        notes=_few(known.notes, seen.notes),
    )


def _few(known: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *more)))[:FEW]
