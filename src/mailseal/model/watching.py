"""Watching: what is not as it should be, what is told of it and to whom, and what is remembered.

Strategy: values alone. A Trouble has the id of the rule and the place it stands for, so it is the
same from round to round. Each receiver has a Ledger of its own: what it was told, and what it is
still to be told. All that must outlive a restart is one WatchState, which is written whole.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import ClassVar, Mapping, Optional, Tuple, Union

from mailseal.model.change import Window
from mailseal.model.finding import Severity
from mailseal.model.policy import Deviation


@dataclass(frozen=True)
class Trouble:
    """Something that is not as it should be. `where` is an endpoint, or what else it is about."""

    id: str
    rule: str
    where: str
    severity: Severity
    text: str


class Event(str, enum.Enum):
    DRIFT = "drift"
    """It was as it should be, or nobody knew, and is not any more."""
    REMINDER = "reminder"
    """It still is not."""
    RECOVERY = "recovery"
    """It is as it should be again."""


@dataclass(frozen=True)
class Notice:
    """What a receiver is told. `id` is the same whenever the same notice is sent again; `trouble`
    is that of drift, reminder and recovery alike. `since` is when the drift was seen first, `at`
    when this was: RFC 3339 UTC. `text` and `where` are one printable line each, and bounded.
    """

    id: str
    event: Event
    trouble: str
    rule: str
    where: str
    severity: Severity
    text: str
    since: str
    at: str
    host: str
    """The machine that watches."""

    RECORD: ClassVar[str] = "Notice"


@dataclass(frozen=True)
class Told:
    """What a receiver knows of one trouble: since when it is there, and when it was told last."""

    trouble: Trouble
    since: str
    last: str


@dataclass(frozen=True)
class Ledger:
    """`told` is by the trouble's id; `waiting` are notices that were not delivered yet."""

    told: Mapping[str, Told]
    waiting: Tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Served:
    """A service that was seen. `expires` is the moment when its certificate ends, empty where it
    showed none; `gone` says why it does not answer any more, empty where it does.
    """

    address: str
    port: int
    site: str
    protocol: str
    name: str
    verdict: str
    last: str
    expires: str = ""
    gone: str = ""


@dataclass(frozen=True)
class WatchState:
    """What a restart must not forget. `began` is when the newest whole round began (empty: there
    was none), `read` up to when the logs were read; `ledgers` are by the receiver's name.
    """

    began: str = ""
    read: str = ""
    ledgers: Mapping[str, Ledger] = field(default_factory=dict)
    served: Tuple[Served, ...] = ()
    broken: Tuple[Deviation, ...] = ()


# ---- who is told -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Webhook:
    """A POST of the notice as JSON. `header` carries the first line of `secret_file`, where there
    is one. `authority` is a PEM file of CAs that are trusted too.
    """

    url: str
    header: str
    secret_file: str
    authority: str

    KIND: ClassVar[str] = "webhook"


@dataclass(frozen=True)
class Mail:
    """A message, handed to the program `sendmail` or, where `smtp` names a host and port, to that
    host; with STARTTLS (RFC 3207) and a trusted certificate where `starttls`.
    """

    to: Tuple[str, ...]
    sender: str
    sendmail: str
    smtp: Optional[Tuple[str, int]]
    starttls: bool
    authority: str

    KIND: ClassVar[str] = "mail"


@dataclass(frozen=True)
class Syslog:
    """A datagram to the socket of syslog(3), which journald listens on too. `facility` is its
    number (RFC 5424 6.2.1).
    """

    facility: int
    socket: str

    KIND: ClassVar[str] = "syslog"


@dataclass(frozen=True)
class Printed:
    """A line where the program's results go: stdout, and so the journal of a unit."""

    KIND: ClassVar[str] = "printed"


Way = Union[Webhook, Mail, Syslog, Printed]


@dataclass(frozen=True)
class Receiver:
    """Who is told of troubles of this severity or a worse one, and of these rules (empty: all), by
    which way; again after `reminder_hours` (0: never), and not within the `quiet` hours of `zone`.
    `limit` is how many seconds one delivery may take.
    """

    name: str
    way: Way
    severity: Severity
    rules: Tuple[str, ...]
    reminder_hours: float
    quiet: Tuple[Window, ...]
    zone: str
    limit: float


@dataclass(frozen=True)
class AlertRules:
    """Who is told of what. `failing_clients` is from how many clients on that fail to get into TLS
    at one service, between two rounds, it is a trouble (0: never).
    """

    receivers: Tuple[Receiver, ...] = ()
    failing_clients: int = 5
