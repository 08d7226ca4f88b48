"""Change control: who acts, what was approved, what a policy asks, and the record of changes.

Strategy: values alone. An approval names the plan by the hash of its exact bytes. A line of the
record carries the hash of the line before it, so that a changed or removed line shows.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Optional, Tuple

from mailseal.model.look import Endpoint
from mailseal.model.moment import seconds


@dataclass(frozen=True)
class Actor:
    """Who runs mailseal: the account and its number, behind sudo(8) of who called it, and the host
    on which that is an account.
    """

    account: str
    uid: int
    host: str

    def __str__(self) -> str:
        return "%s (uid %d) on %s" % (self.account, self.uid, self.host)


@dataclass(frozen=True)
class Approval:
    """Somebody's yes to one plan. `plan_sha`: SHA-256 of its exact bytes. `actor` is what the
    system says of who approved, `by` the name that was given. `at` and `until` are moments; `until`
    is empty where the approval has no end of its own. A record, not a signature.
    """

    plan_sha: str
    actor: Actor
    by: str
    ticket: str
    at: str
    until: str

    def __post_init__(self) -> None:
        """Raises ValueError where a moment is none."""
        seconds(self.at)
        if self.until:
            seconds(self.until)


DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class Window:
    """When changes may begin: on `days` (0 is Monday) from `start` to `end`, in minutes of the day.
    An `end` before `start` is of the day after.
    """

    days: Tuple[int, ...]
    start: int
    end: int

    def holds(self, local: datetime) -> bool:
        """Whether a moment of its zone lies in it."""
        minute, today = 60 * local.hour + local.minute, local.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        evening = today in self.days and minute >= self.start
        return evening or ((today - 1) % 7 in self.days and minute < self.end)


@dataclass(frozen=True)
class ChangePolicy:
    """What a plan needs before it is applied. `source` and `sha256` say which file asks for it.

    `approvals` are wanted of as many accounts, of `approvers` alone where there are any, and of
    others than who applies where `apart`; with a ticket where `ticket`; not younger than
    `notice_hours`, not older than `expires_hours` (0: of any age). The change begins in one of the
    `windows` of `zone` (a name of the tz database), or at any time where there is none.
    """

    source: str
    sha256: str
    approvals: int
    approvers: Tuple[str, ...]
    apart: bool
    ticket: bool
    notice_hours: float
    expires_hours: float
    zone: str
    windows: Tuple[Window, ...]


@dataclass(frozen=True)
class Control:
    """What goes with a plan to be judged: its approvals, and every policy that was found."""

    approvals: Tuple[Approval, ...] = ()
    policies: Tuple[ChangePolicy, ...] = ()


@dataclass(frozen=True)
class PolicyText:
    """The file of a host's policy; None where there is none."""

    text: Optional[bytes]


class ChangeEvent(str, enum.Enum):
    """What became of a change. One that failed before it was done is rolled back, never applied."""

    APPLIED = "applied"
    CONFIRMED = "confirmed"
    ROLLED_BACK = "rolled-back"
    UNDO_FAILED = "undo-failed"


@dataclass(frozen=True)
class ChangeLine:
    """A line of the record. `entry` is the number of the record in the run's journal that it tells
    of, `at` that record's moment, `written` the moment of this line. `actor` is None where nobody
    asked: a change undid itself. `before`: SHA-256 of the line before, empty in the first.
    """

    event: ChangeEvent
    run: str
    entry: int
    at: str
    host: str
    endpoint: Endpoint
    strategy: str
    stage: str
    plan_sha: str
    actor: Optional[Actor]
    reason: str
    approvals: Tuple[Approval, ...]
    written: str = ""
    before: str = ""


@dataclass(frozen=True)
class ChangeHistory:
    """The record of a host. `problems` say where it is broken, or does not fit the journals; `head`
    is the hash of its last line.
    """

    lines: Tuple[ChangeLine, ...]
    problems: Tuple[str, ...]
    head: str
