"""Receivers, troubles and notices for the tests of this folder."""

from __future__ import annotations

from typing import Any

from mailseal.model.finding import Severity
from mailseal.model.watching import Event, Notice, Printed, Receiver, Trouble, Way

HOSTILE = "\x1b[31m\r\nBcc: eve@example.net\n.\r\n<0>" + chr(0x202E) + "\x00 \udcff ü"
"""What a server may say to do harm to whoever passes it on."""


def receiver(way: Way | None = None, **fields: Any) -> Receiver:
    made: dict[str, Any] = {
        "name": "desk",
        "way": way or Printed(),
        "severity": Severity.INFO,
        "rules": (),
        "reminder_hours": 0.0,
        "quiet": (),
        "zone": "UTC",
        "limit": 2.0,
    }
    return Receiver(**{**made, **fields})


def trouble(id: str = "a1", **fields: Any) -> Trouble:
    made: dict[str, Any] = {
        "rule": "pop2-cleartext-login",
        "where": "192.0.2.7:109",
        "severity": Severity.HIGH,
        "text": "POP2 takes a login in cleartext",
    }
    return Trouble(id, **{**made, **fields})


def notice(**fields: Any) -> Notice:
    made: dict[str, Any] = {
        "id": "00112233",
        "event": Event.DRIFT,
        "trouble": "a1",
        "rule": "pop2-cleartext-login",
        "where": "192.0.2.7:109",
        "severity": Severity.HIGH,
        "text": "POP2 takes a login in cleartext",
        "since": "2026-01-31T12:00:00.000Z",
        "at": "2026-01-31T12:00:00.000Z",
        "host": "monitor",
    }
    return Notice(**{**made, **fields})
