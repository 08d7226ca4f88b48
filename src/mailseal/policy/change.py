"""The policy of change control: TOML in, `ChangePolicy` out.

Strategy: a table of keys, each with its reader and what holds where it is left out. What could
never be met is refused here, before somebody waits for it.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from mailseal.model.change import DAYS, ChangePolicy, Window

LIMIT = 65536
"""Octets of a policy file, at most."""


class BadPolicy(ValueError):
    """The text is no policy. `str()` says where and why."""


def parse(text: bytes, source: str) -> ChangePolicy:
    """A policy from the bytes of its file; `source` says which file that is. Raises BadPolicy."""
    try:
        return _policy(text, source)
    except RecursionError:
        raise BadPolicy("%s: nested too deep" % source) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, BadPolicy) as error:
        raise BadPolicy("%s: %s" % (source, error)) from None


def _policy(text: bytes, source: str) -> ChangePolicy:
    if len(text) > LIMIT:
        raise BadPolicy("longer than %d octets" % LIMIT)
    values = _read(_KEYS, tomllib.loads(text.decode("utf-8")), "")
    made = ChangePolicy(source=source, sha256=hashlib.sha256(text).hexdigest(), **values)
    for impossible, words in (
        (
            made.approvers and made.approvals > len(made.approvers),
            "approvals = %d, and approvers names only %d" % (made.approvals, len(made.approvers)),
        ),
        (
            made.expires_hours and made.notice_hours >= made.expires_hours,
            "an approval would expire (expires-hours) before it counts (notice-hours)",
        ),
        (
            not made.approvals and (made.approvers or made.notice_hours or made.ticket),
            "approvals = 0 leaves nothing for approvers, notice-hours and ticket to say",
        ),
    ):
        if impossible:
            raise BadPolicy(words)
    return made


def _read(keys: Mapping[str, _Key], table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values of a table by the names of their fields."""
    unknown = sorted(table.keys() - keys.keys())
    if unknown:
        known = ", ".join(keys)
        raise BadPolicy("%sunknown key %r; known are %s" % (where, unknown[0], known))
    values = {}
    for name, (field, read, default) in keys.items():
        try:
            values[field] = read(table[name]) if name in table else default
        except ValueError as error:
            raise BadPolicy("%s%s: %s" % (where, name, error)) from None
        if values[field] is None:
            raise BadPolicy("%s%s is missing" % (where, name))
    return values


_Key = tuple[str, Callable[[Any], Any], Any]
"""Name of the field, its reader (raises ValueError), and what holds where it is left out; None
where it may not be.
"""


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 100:
        raise ValueError("a number from 0 to 100 is wanted")
    return value


def _hours(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 87600:
        raise ValueError("hours from 0 to 87600 are wanted")
    return float(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("true or false is wanted")
    return value


def _accounts(value: Any) -> tuple[str, ...]:
    if not _texts(value) or not all(each and each.isprintable() for each in value):
        raise ValueError("a list of names of accounts is wanted, at least one")
    return tuple(dict.fromkeys(value))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is str for each in value)


def _zone(value: Any) -> str:
    import zoneinfo

    if type(value) is str and value.isprintable():
        try:
            return value if value == "UTC" else zoneinfo.ZoneInfo(value).key
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise ValueError("a time zone as Europe/Berlin is wanted, not %r" % (value,))


def _windows(value: Any) -> tuple[Window, ...]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("write each window under a line [[window]]")
    if not value:
        raise ValueError("an empty list would let nobody in")
    return tuple(
        _window(each, "window %d, " % number) for number, each in enumerate(value, start=1)
    )


def _window(table: Mapping[str, Any], where: str) -> Window:
    made = Window(**_read(_WINDOW_KEYS, table, where))
    if made.start == made.end or made.start == 1440:
        raise BadPolicy("%sfrom and to: write a whole day as 00:00 to 24:00" % where)
    return made


def _days(value: Any) -> tuple[int, ...]:
    if not _texts(value) or not set(value) <= set(DAYS):
        raise ValueError("a list of %s is wanted" % ", ".join(DAYS))
    return tuple(sorted({DAYS.index(day) for day in value}))


def _minute(value: Any) -> int:
    found = re.fullmatch(r"([01][0-9]|2[0-4]):([0-5][0-9])", value) if type(value) is str else None
    minute = 60 * int(found[1]) + int(found[2]) if found else 1441
    if minute > 1440:
        raise ValueError("a time as 22:00 is wanted, 24:00 at the latest")
    return minute


_WINDOW_KEYS: dict[str, _Key] = {
    "days": ("days", _days, tuple(range(7))),
    "from": ("start", _minute, None),
    "to": ("end", _minute, None),
}

_KEYS: dict[str, _Key] = {
    "approvals": ("approvals", _count, 1),
    "approvers": ("approvers", _accounts, ()),
    "approver-is-not-applier": ("apart", _flag, True),
    "ticket": ("ticket", _flag, False),
    "notice-hours": ("notice_hours", _hours, 0.0),
    "expires-hours": ("expires_hours", _hours, 0.0),
    "zone": ("zone", _zone, "UTC"),
    "window": ("windows", _windows, ()),
}
