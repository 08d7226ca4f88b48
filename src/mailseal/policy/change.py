"""The policy of change control: TOML in, `ChangePolicy` out.

Strategy: a table of keys, each with its reader and what holds where it is left out. What could
never be met is refused here, before somebody waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mailseal.model.change import DAYS, ChangePolicy, Window
from mailseal.policy.keys import (
    LIMIT,
    BadPolicy,
    Key,
    flag,
    number,
    parsed,
    possible,
    read,
    tables,
    texts,
)

__all__ = ["LIMIT", "BadPolicy", "parse"]


def parse(text: bytes, source: str) -> ChangePolicy:
    """A policy from the bytes of its file; `source` says which file that is. Raises BadPolicy."""
    return parsed(text, source, _KEYS, _policy)


def _policy(values: dict[str, Any]) -> ChangePolicy:
    made = ChangePolicy(**values)
    possible(
        (
            (
                made.approvers and made.approvals > len(made.approvers),
                "approvals = %d, and approvers names only %d"
                % (made.approvals, len(made.approvers)),
            ),
            (
                made.expires_hours and made.notice_hours >= made.expires_hours,
                "an approval would expire (expires-hours) before it counts (notice-hours)",
            ),
            (
                not made.approvals and (made.approvers or made.notice_hours or made.ticket),
                "approvals = 0 leaves nothing for approvers, notice-hours and ticket to say",
            ),
        )
    )
    return made


def _hours(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 87600:
        raise ValueError("hours from 0 to 87600 are wanted")
    return float(value)


def _accounts(value: Any) -> tuple[str, ...]:
    if not texts(value) or not all(each and each.isprintable() for each in value):
        raise ValueError("a list of names of accounts is wanted, at least one")
    return tuple(dict.fromkeys(value))


def _zone(value: Any) -> str:
    import zoneinfo

    if type(value) is str and value.isprintable():
        try:
            return value if value == "UTC" else zoneinfo.ZoneInfo(value).key
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise ValueError("a time zone as Europe/Berlin is wanted, not %r" % (value,))


def _windows(value: Any) -> tuple[Window, ...]:
    found = tables(value, "window")
    if not found:
        raise ValueError("an empty list would let nobody in")
    return tuple(_window(each, where) for where, each in found)


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

_KEYS = {
    "approvals": Key("approvals", number(100), 1),
    "approvers": Key("approvers", _accounts, ()),
    "approver-is-not-applier": Key("apart", flag, True),
    "ticket": Key("ticket", flag, False),
    "notice-hours": Key("notice_hours", _hours, 0.0),
    "expires-hours": Key("expires_hours", _hours, 0.0),
    "zone": Key("zone", _zone, "UTC"),
    "window": Key("windows", _windows, ()),
}
