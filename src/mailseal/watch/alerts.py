"""What to tell whom: drift, reminders and recovery, each once, however often it is looked.

Strategy: a pure step from what is known of a receiver (a Ledger) and what is the matter now to the
next Ledger. What was told and what is still to be delivered change together, so whoever keeps the
Ledger whole neither tells twice nor forgets. Only what is known to be over is a recovery: a trouble
that could not be looked at is as it was. Where a receiver has no room for more, or wants quiet, the
ledger stays behind the world, and catches up later.
"""

from __future__ import annotations

import datetime
import hashlib
import zoneinfo
from collections.abc import Collection, Mapping
from dataclasses import replace

from mailseal.model.finding import Severity
from mailseal.model.moment import rfc3339, seconds
from mailseal.model.watching import Event, Ledger, Notice, Receiver, Told, Trouble
from mailseal.report.result import SEVERITIES
from mailseal.report.style import harmless

ROOM = 1000
"""Notices that wait for one receiver; what comes then is told when there is room again."""
TEXT = 500
"""Characters of the text of a notice."""


def step(
    receiver: Receiver,
    ledger: Ledger,
    bad: Mapping[str, Trouble],
    undecided: Collection[str],
    now: float,
    host: str,
) -> Ledger:
    """The ledger after a round. `bad` is what is the matter, by id; `undecided` are ids of which it
    could not be told. `now`: seconds since the epoch; `host` is the machine that watches.
    """
    if quiet(receiver, now):
        return ledger
    told, waiting = dict(ledger.told), list(ledger.waiting)
    at = rfc3339(now)

    def notify(event: Event, known: Told) -> bool:
        if len(waiting) >= ROOM:
            return False
        waiting.append(_notice(event, known, at, host))
        return True

    for id, known in ledger.told.items():
        if id not in bad and id not in undecided and notify(Event.RECOVERY, known):
            del told[id]
    for id, trouble in sorted(bad.items(), key=lambda item: -_rank(item[1].severity)):
        before = told.get(id)
        if before is None:
            new = Told(trouble, at, at)
            if _wanted(receiver, trouble) and notify(Event.DRIFT, new):
                told[id] = new
            continue
        told[id] = replace(before, trouble=trouble)
        if _forgotten(receiver, before, now) and notify(Event.REMINDER, told[id]):
            told[id] = replace(told[id], last=at)
    return Ledger(told, tuple(waiting))


def quiet(receiver: Receiver, now: float) -> bool:
    """Whether the receiver wants to be left alone at this moment."""
    if not receiver.quiet:
        return False
    zone = datetime.UTC if receiver.zone == "UTC" else zoneinfo.ZoneInfo(receiver.zone)
    local = datetime.datetime.fromtimestamp(now, zone)
    return any(window.holds(local) for window in receiver.quiet)


def delivered(ledger: Ledger, notice: Notice) -> Ledger:
    """The ledger after a notice arrived."""
    return replace(ledger, waiting=tuple(each for each in ledger.waiting if each is not notice))


def sentence(notice: Notice) -> str:
    """The notice in one line, for people."""
    began = "" if notice.event is Event.DRIFT else f" (since {notice.since})"
    return (
        f"{notice.event.value}: {notice.rule} at {notice.where} [{notice.severity.value}]{began}: "
        f"{notice.text}"
    )


def _wanted(receiver: Receiver, trouble: Trouble) -> bool:
    severe = _rank(trouble.severity) >= _rank(receiver.severity)
    return severe and (not receiver.rules or trouble.rule in receiver.rules)


def _rank(severity: Severity) -> int:
    return SEVERITIES.index(severity)


def _forgotten(receiver: Receiver, known: Told, now: float) -> bool:
    hours = receiver.reminder_hours
    return hours > 0 and now - seconds(known.last) >= hours * 3600


def _notice(event: Event, known: Told, at: str, host: str) -> Notice:
    trouble = known.trouble
    moment = at if event is Event.REMINDER else known.since
    same = f"{event.value} {trouble.id} {moment} {host}".encode("utf-8", "backslashreplace")
    return Notice(
        id=hashlib.sha256(same).hexdigest()[:16],
        event=event,
        trouble=trouble.id,
        rule=trouble.rule,
        where=_line(trouble.where),
        severity=trouble.severity,
        text=_line(trouble.text),
        since=known.since,
        at=at,
        host=_line(host),
    )


def _line(text: str) -> str:
    """One line of text that does nothing to whoever shows it."""
    text = harmless(text)
    return text if len(text) <= TEXT else text[: TEXT - 3] + "..."
