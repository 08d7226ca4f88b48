"""The policy of change control: TOML in, `ChangePolicy` out.

Strategy: a table of keys, each with its reader and what holds where it is left out. What could
never be met is refused here, before somebody waits for it.
"""

from __future__ import annotations

from typing import Any

from mailseal.model.change import ChangePolicy
from mailseal.policy.keys import (
    LIMIT,
    BadPolicy,
    Key,
    flag,
    number,
    parsed,
    possible,
    texts,
)
from mailseal.policy.times import hours, windows, zone

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


def _accounts(value: Any) -> tuple[str, ...]:
    if not texts(value) or not all(each and each.isprintable() for each in value):
        raise ValueError("a list of names of accounts is wanted, at least one")
    return tuple(dict.fromkeys(value))


_KEYS = {
    "approvals": Key("approvals", number(100), 1),
    "approvers": Key("approvers", _accounts, ()),
    "approver-is-not-applier": Key("apart", flag, True),
    "ticket": Key("ticket", flag, False),
    "notice-hours": Key("notice_hours", hours, 0.0),
    "expires-hours": Key("expires_hours", hours, 0.0),
    "zone": Key("zone", zone, "UTC"),
    "window": Key("windows", windows("window"), ()),
}
