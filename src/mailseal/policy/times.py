"""Readers of time for policy files: hours, a zone, windows of the week.

Strategy: as `keys` wants them. What could never be, or always is, is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from mailseal.model.change import DAYS, Window
from mailseal.policy.keys import BadPolicy, Key, read, tables, texts


def hours(value: Any) -> float:
    """Hours, at most ten years."""
    if type(value) not in (int, float) or not 0 <= value <= 87600:
        raise ValueError("hours from 0 to 87600 are wanted")
    return float(value)


def zone(value: Any) -> str:
    """A name of the tz database."""
    import zoneinfo

    if type(value) is str and value.isprintable():
        try:
            return value if value == "UTC" else zoneinfo.ZoneInfo(value).key
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise ValueError("a time zone as Europe/Berlin is wanted, not %r" % (value,))


def windows(name: str) -> Callable[[Any], tuple[Window, ...]]:
    """Windows under lines `[[name]]`, at least one."""

    def reader(value: Any) -> tuple[Window, ...]:
        found = tables(value, name)
        if not found:
            raise ValueError("an empty list is no time at all")
        return tuple(_window(each, where) for where, each in found)

    return reader


def _window(table: Mapping[str, Any], where: str) -> Window:
    made = Window(**read(_WINDOW_KEYS, table, where))
    if made.start == made.end or made.start == 1440:
        raise BadPolicy("%sfrom and to: write a whole day as 00:00 to 24:00" % where)
    return made


def _days(value: Any) -> tuple[int, ...]:
    if not texts(value) or not set(value) <= set(DAYS):
        raise ValueError("a list of %s is wanted" % ", ".join(DAYS))
    return tuple(sorted({DAYS.index(day) for day in value}))


def _minute(value: Any) -> int:
    found = re.fullmatch(r"([01][0-9]|2[0-4]):([0-5][0-9])", value) if type(value) is str else None
    minute = 60 * int(found[1]) + int(found[2]) if found else 1441
    if minute > 1440:
        raise ValueError("a time as 22:00 is wanted, 24:00 at the latest")
    return minute


_WINDOW_KEYS = {
    "days": Key("days", _days, tuple(range(7))),
    "from": Key("start", _minute, None),
    "to": Key("end", _minute, None),
}
