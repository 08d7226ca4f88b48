"""Moments in time as the records write them: RFC 3339, UTC, milliseconds."""

from __future__ import annotations

import datetime
from typing import Callable

Clock = Callable[[], float]
"""Gives seconds since the epoch. Injected wherever a room needs the time, so tests own it."""


def rfc3339(seconds: float) -> str:
    """`2026-01-31T12:00:00.000Z` of seconds since the epoch."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (moment.microsecond // 1000)


def seconds(moment: str) -> float:
    """The reverse. Raises ValueError for another form."""
    if not moment.endswith("Z"):
        raise ValueError("%r is not UTC" % moment)
    parsed = datetime.datetime.strptime(moment[:-1] + "+0000", "%Y-%m-%dT%H:%M:%S.%f%z")
    return parsed.timestamp()
