"""What `mailseal watch` is asked to do: targets, policy, who is told, where what is kept.

Strategy: all that can be wrong with it is found before the first round.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailseal.model.policy import SealPolicy
from mailseal.model.watching import AlertRules, Notice
from mailseal.policy import seal
from mailseal.policy.alerts import parse, plain
from mailseal.policy.keys import LIMIT, BadPolicy
from mailseal.report import records
from mailseal.watch.alerts import sentence
from mailseal.watch.figures import rules
from mailseal.watch.keep import path_of
from mailseal.watch.schedule import Pace
from mailseal.watch.units import unit
from mailseal.workflow import BadInput, logs, policies, scan

__all__ = [
    "Clocks",
    "Pace",
    "Request",
    "path_of",
    "policy_of",
    "printed",
    "rules",
    "rules_of",
    "unit",
]


@dataclass(frozen=True)
class Request:
    """What to watch, and who is told. `scan` is what each round looks at, `logs` what is followed.
    `store` is that of `recorder`, None for no store at all. `state` is a path; `metrics` a loopback
    address and a port, `textfile` a path. `once`: one round, and the end.
    """

    scan: scan.Request
    policy: SealPolicy
    rules: AlertRules
    pace: Pace
    state: str
    store: tuple[str | None, Mapping[str, str]] | None = None
    logs: logs.Request | None = None
    metrics: tuple[str, int] | None = None
    textfile: str = ""
    once: bool = False
    host: str = field(default_factory=lambda: os.uname().nodename)


@dataclass(frozen=True)
class Clocks:
    """Seconds: `wall` since the epoch, `steady` from any beginning, never set, suspended machines
    included. `sleep` waits.
    """

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


def rules_of(path: str | None) -> AlertRules:
    """Who is told, from a file; without one everything is printed. Raises BadInput."""
    if path is None:
        return plain()
    try:
        with open(path, "rb") as file:
            return parse(file.read(LIMIT + 1), path)
    except OSError as error:
        raise BadInput(f"the alert rules {path} cannot be read: {error.strerror}") from None
    except BadPolicy as error:
        raise BadInput(f"the alert rules {error}") from None


def policy_of(path: str | None) -> SealPolicy:
    """What is asked, from a file; without one that of this folder, else every rule. Raises
    BadInput.
    """
    if path is None and not os.path.exists(policies.DEFAULT):
        return seal.parse(b"", "every rule", policies.KNOWN)
    return policies.load(path or policies.DEFAULT)


def printed(form: str) -> Callable[[Notice], str]:
    """How a notice is printed: as `text` or `ndjson`."""
    return records.line if form == "ndjson" else lambda each: f"{each.at} {sentence(each)}"
