"""Deviations from a policy for people and programs: lines, records, and one line for monitoring.

Strategy: a writer is told of each deviation as it comes, and of the sum at the end, so that nothing
is held but what the one line for monitoring names. The forms for pipelines have files of their own
beside this one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mailseal.model import codec
from mailseal.model.finding import Severity
from mailseal.model.policy import BROKEN, FAILING, Deviation, SealPolicy, State
from mailseal.report import records
from mailseal.report.layout import labelled
from mailseal.report.style import harmless
from mailseal.report.writer import Run

_COLOURS = {State.NEW: "red", State.UNCHANGED: "red", State.EXPIRED: "red", State.FIXED: "green"}
_WIDTH = max(len(each.value) for each in State)
NAMED = 3
"""Deviations that the line for monitoring names."""


@dataclass(frozen=True)
class Check:
    """A whole check as one document. `mailseal` is the program's version, `policy` its file and
    `policy_sha256` over that. What is known at the end alone comes last.
    """

    mailseal: str
    policy: str
    policy_sha256: str
    deviations: tuple[Deviation, ...]
    endpoints: int
    files: int
    counts: Mapping[str, int]


class Sum:
    """What was checked, and what came of it so far."""

    def __init__(self, policy: SealPolicy) -> None:
        self.policy = policy
        self.endpoints = 0
        self.files = 0
        self.states: Counter[State] = Counter()

    def add(self, each: Deviation) -> None:
        """Takes a deviation into account."""
        self.states[each.state] += 1

    @property
    def failing(self) -> int:
        """Deviations that nothing excuses."""
        return sum(self.states[state] for state in FAILING)

    @property
    def undecided(self) -> bool:
        """Whether something could not be told, or there was nothing to check."""
        return self.states[State.UNDECIDED] > 0 or not (self.endpoints or self.files)

    def counts(self) -> dict[str, int]:
        """Deviations by state, all of them, in the order of `State`."""
        return {state.value: self.states[state] for state in State}


class Writer(Protocol):
    """Deviations in one form. It is made with the sum, which grows while they come."""

    def add(self, each: Deviation) -> None:
        """Writes one."""

    def end(self, code: int) -> None:
        """Writes what comes after the last. `code` is what the program will exit with."""


def summary(total: Sum) -> str:
    """How much there was, and what deviates."""
    checked = [_many(total.endpoints, "endpoint"), _many(total.files, "file")]
    looked = " and ".join(each for each in checked if not each.startswith("0 "))
    found = [f"{count} {state}" for state, count in total.counts().items() if count]
    if not looked:
        return "nothing was checked: nothing is known"
    return f"{looked} checked: {', '.join(found) or 'nothing deviates'}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def where(each: Deviation) -> str:
    """The place, with the name it was asked for by and its site where that is not the usual one."""
    words = each.place
    if each.endpoint is not None and each.name not in ("", each.endpoint.address):
        words += f" ({each.name})"
    if each.endpoint is not None and each.endpoint.site != "default":
        words += f" in {each.endpoint.site}"
    return words


def excuse(each: Deviation) -> str:
    """What its exception says, empty where it has none."""
    made = each.exemption
    if made is None:
        return ""
    if each.state is State.FIXED:
        return f"its exception until {made.until} ({made.owner}) can go"
    verb = "let pass until" if each.state is State.EXEMPT else "was let pass until"
    return f"{verb} {made.until}: {made.reason} ({made.owner})"


class Lines:
    """A few lines a deviation."""

    def __init__(self, run: Run, total: Sum) -> None:
        self._run = run
        self._total = total

    def add(self, each: Deviation) -> None:
        style = self._run.style
        state = style.paint(each.state.value.ljust(_WIDTH), _COLOURS.get(each.state, "yellow"))
        head = harmless(f"{where(each)}  {each.rule}")
        self._run.line(f"{state}  {each.severity.value:8}  {head}  {each.id}")
        todo = each.advice if each.state not in (State.FIXED, State.EXEMPT) else ""
        for label, words in (("seen", each.text), ("exception", excuse(each)), ("do", todo)):
            for line in labelled(label, filter(None, [words])):
                self._run.line(line)

    def end(self, code: int) -> None:
        self._run.line(summary(self._total))


class Records:
    """NDJSON: each deviation as it comes. What `--baseline` reads."""

    def __init__(self, run: Run, total: Sum) -> None:
        self._line = run.line

    def add(self, each: Deviation) -> None:
        self._line(records.line(each))

    def end(self, code: int) -> None:
        pass


class Document:
    """One record of type `Check`."""

    def __init__(self, run: Run, total: Sum) -> None:
        self._line = run.line
        self._total = total
        head = {
            "type": Check.__name__,
            "version": codec.VERSION,
            "mailseal": run.version,
            "policy": total.policy.source,
            "policy_sha256": total.policy.sha256,
        }
        members = [records.member(name, value) + "," for name, value in head.items()]
        self._deviations = records.Array(run.line, ["{", *members, '"deviations": ['])

    def add(self, each: Deviation) -> None:
        self._deviations.add(codec.encode(each))

    def end(self, code: int) -> None:
        self._deviations.end()
        total = self._total
        for line in (
            "],",
            records.member("endpoints", total.endpoints) + ",",
            records.member("files", total.files) + ",",
            records.member("counts", total.counts()),
            "}",
        ):
            self._line(line)


OK, WARNING, CRITICAL, UNKNOWN = range(4)
"""What plugins of Nagios and Icinga exit with (Nagios Plugins Development Guidelines, 2.4)."""
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_SEVERE = (Severity.HIGH, Severity.CRITICAL)


class Monitoring:
    """One line with performance data. `code` is the plugin's exit code when all is told."""

    def __init__(self, run: Run, total: Sum) -> None:
        self._line = run.line
        self._total = total
        self._named: list[str] = []
        self._severe = False
        self.code = UNKNOWN

    def add(self, each: Deviation) -> None:
        if each.state in FAILING:
            self._severe |= each.severity in _SEVERE
            if len(self._named) < NAMED:
                self._named.append(f"{where(each)} {each.rule} ({each.state.value})")

    def end(self, code: int) -> None:
        if self._total.failing:
            self.code = CRITICAL if self._severe else WARNING
        else:
            self.code = UNKNOWN if self._total.undecided else OK
        more = self._total.failing - len(self._named)
        told = [summary(self._total), *self._named, *([f"and {more} more"] if more else [])]
        data = {"failing": f"{self._total.failing};0", "endpoints": self._total.endpoints}
        data |= {state.value: self._total.states[state] for state in (*BROKEN[:2], State.UNDECIDED)}
        pairs = " ".join(f"{name}={value}" for name, value in data.items())
        self._line(f"{plugin(self.code, '; '.join(told))} | {pairs}")


def plugin(code: int, words: str) -> str:
    """The text of a plugin's line: `|` would begin the performance data."""
    return f"MAILSEAL {_WORDS[code]} - {harmless(words).replace('|', '/')}"
