"""When to look: an interval with jitter, back-off while the network is lost, one round at a time.

Strategy: a machine that is told when a round begins and ends, and says how long to wait. Intervals
are measured by a clock that nobody sets (`steady`, seconds from any beginning); the wall clock
serves for stamps and, after a restart, for when the last round was. It is set by people and by NTP,
so `Stamps` gives moments out of it that never run backwards: a look that seems older than the one
before would count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailseal.model.moment import Clock

SET_BACK = 86400.0
"""Seconds. A wall clock that was set back by more is followed: it was wrong before."""
LOST_FIRST = 30.0
"""Seconds until it is tried again after the network was lost; doubled each time."""
REST = 0.1
"""Part of the interval that is left between two rounds, however long one takes."""


@dataclass(frozen=True)
class Pace:
    """`interval` in seconds. `jitter`, from 0 to 1, is by what part of it a round may come earlier:
    never later, so that what changes is told within one interval.
    """

    interval: float
    jitter: float = 0.1


class Schedule:
    """`chance` gives numbers from 0 to 1. `since` is how many seconds ago by the wall clock the
    last round before a restart began; None where there was none.
    """

    def __init__(
        self, pace: Pace, steady: Clock, chance: Callable[[], float], since: float | None = None
    ) -> None:
        self._pace = pace
        self._steady = steady
        self._chance = chance
        self._began = steady()
        self._lost = 0
        # A clock that was set back since says "in the future": then nothing is known.
        waits = pace.interval - since if since is not None and since >= 0 else 0.0
        self._due = self._began + max(0.0, waits)

    def left(self) -> float:
        """Seconds until the next round; 0 when it is time."""
        return max(0.0, self._due - self._steady())

    @property
    def lost(self) -> int:
        """Rounds in a row that found no network."""
        return self._lost

    def begin(self) -> None:
        """A round begins."""
        self._began = self._steady()

    def end(self, lost: bool = False) -> None:
        """It has ended; `lost`: there was no network to look through."""
        pace = self._pace
        whole = pace.interval
        if lost:
            # The exponent is bounded: a number of a thousand rounds would be none.
            whole = min(whole, LOST_FIRST * 2.0 ** min(self._lost, 30))
        self._lost = self._lost + 1 if lost else 0
        due = self._began + whole * (1 - pace.jitter * self._chance())
        self._due = max(due, self._steady() + REST * whole)


class Stamps:
    """Moments for stamps, in seconds since the epoch: those of the wall clock, but never before one
    that was given before. Where the wall clock is set back, they go on by the steady clock until
    it has caught up.
    """

    def __init__(self, wall: Clock, steady: Clock, before: float = 0.0) -> None:
        self._wall = wall
        self._steady = steady
        self._last = before if before - wall() <= SET_BACK else 0.0
        self._at = steady()

    def __call__(self) -> float:
        passed = self._steady() - self._at
        self._at += passed
        wall = self._wall()
        on = self._last + passed
        self._last = wall if wall >= on or on - wall > SET_BACK else on
        return self._last

    @property
    def ahead(self) -> float:
        """Seconds by which the newest stamp is ahead of the wall clock."""
        return max(0.0, self._last - self._wall())
