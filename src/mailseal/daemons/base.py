"""What a daemon's record is: how it shows itself, what its own words mean, and where it misleads.

Strategy: plain values. A record knows words that `protocols.answers` must leave undecided because
another daemon would mean something else by them. It is asked by `assess` alone, after the look.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from re import Pattern
from typing import NamedTuple

from mailseal.model.look import Outcome, Vantage


class Reading(NamedTuple):
    """The daemon's answer to a login command, where `pattern` is found in it: not what the words
    say to everybody (`general`), but `outcome`, because of `why`. `protocols` are those where it
    says so; `source` is where that is known from. `unlisted`: only of a mechanism that the server
    does not list.
    """

    protocols: tuple[str, ...]
    pattern: Pattern[str]
    general: Outcome
    outcome: Outcome
    why: str
    source: str
    unlisted: bool = False


class Sign(NamedTuple):
    """A text of the server's that shows who it is; the group `version` shows which."""

    protocols: tuple[str, ...]
    pattern: Pattern[str]


@dataclass(frozen=True)
class Daemon:
    """`signs` are looked for in the banner, then `words` in the transcript: what tells releases
    apart that do not name themselves, pattern to version. `traps` say how far a look from a vantage
    can be believed.
    """

    name: str
    signs: tuple[Sign, ...]
    words: tuple[tuple[Pattern[str], str], ...] = ()
    readings: tuple[Reading, ...] = ()
    traps: Mapping[Vantage, str] = field(default_factory=dict)


class Product(NamedTuple):
    """Who answers. `version` is empty where it does not show."""

    daemon: Daemon
    version: str

    def __str__(self) -> str:
        return (self.daemon.name + " " + self.version).strip()


def text(pattern: str) -> Pattern[str]:
    """A pattern over text, in any case of letters."""
    return re.compile(pattern, re.IGNORECASE)
