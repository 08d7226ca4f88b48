"""How it stands: what `mailseal report` tells of a store, as one value, and the words for it.

Strategy: everything that both forms (HTML, Markdown) say alike is made here, so that they cannot
disagree. Lists are bounded; counts never are, and what is not listed is said. What could not be
told is counted by itself and never as clean.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mailseal.model.change import ChangeHistory, ChangeLine
from mailseal.model.finding import Severity, Verdict
from mailseal.model.known import FindingHistory, Interval, KnownFinding, LookPeriod, Undecided
from mailseal.model.moment import rfc3339, seconds
from mailseal.model.policy import Exemption
from mailseal.report.assets import Ranked
from mailseal.report.change import approval
from mailseal.report.chart import Step, steps
from mailseal.report.logins import Logins
from mailseal.report.result import Reference

DETAILS = 100
"""Findings, open and fixed each, that are told with their evidence."""
ROWS = 2000
"""Further rows of a list."""
LINES = 24
"""Lines of a transcript that are shown."""


@dataclass(frozen=True)
class Listed:
    """Findings: the first ones with all that is known of their endpoint, more as a row each, and
    how many there are in all.
    """

    details: tuple[FindingHistory, ...]
    more: tuple[KnownFinding, ...]
    count: int

    @property
    def known(self) -> tuple[KnownFinding, ...]:
        """Those that are listed."""
        return (*(each.known for each in self.details), *self.more)

    @property
    def left(self) -> int:
        """Those that are not."""
        return self.count - len(self.details) - len(self.more)


@dataclass(frozen=True)
class People:
    """Who got in in cleartext: kinds of logins that are listed, newest first, and counts of all.
    `undecided` are kinds of logins of which could not be told whether they were in cleartext,
    `rejected` those in cleartext that did not get in, or of which that was not seen; `unplaced`
    users are at servers whose address no log tells.
    """

    listed: Logins
    kinds: int
    users: int
    rejected: int
    undecided: int
    unplaced: int


@dataclass(frozen=True)
class Status:
    """The whole. Moments are RFC 3339 UTC: it was `made` of what is known by then; what was fixed
    and who logged in is told from `since` on. `looked` are the first and the newest look, empty
    where there is none. `exposed` counts endpoints, `open_by` findings. `hidden` says what was
    redacted. `exceptions` are those of the policy, None where none was given; so are `changes`.
    """

    mailseal: str
    made: str
    since: str
    site: str
    endpoints: int
    exposed: int
    looked: tuple[str, str]
    open: Listed
    open_by: Mapping[Severity, int]
    fixed: Listed
    undecided: tuple[Undecided, ...]
    undecided_count: int
    intervals: tuple[Interval, ...]
    people: People
    software: Ranked
    references: tuple[Reference, ...]
    hidden: tuple[str, ...]
    exceptions: tuple[Exemption, ...] | None
    changes: ChangeHistory | None


class Tone(enum.StrEnum):
    """How a sentence is meant."""

    BAD = "bad"
    DOUBT = "doubt"
    GOOD = "good"


def headline(status: Status) -> tuple[Tone, str]:
    """The one sentence for who reads no further."""
    if status.exposed:
        take = "endpoint takes" if status.exposed == 1 else "endpoints take"
        return Tone.BAD, f"{status.exposed} {take} passwords in cleartext"
    if status.people.unplaced:
        who = plural(status.people.unplaced, "user")
        return Tone.BAD, f"{who} logged in in cleartext at servers whose address is not known"
    if not status.endpoints:
        return Tone.DOUBT, "Nothing is known: no endpoint was looked at or reported"
    if status.undecided_count:
        words = f"{status.undecided_count} of {plural(status.endpoints, 'endpoint')}"
        return Tone.DOUBT, f"Nothing exposed is known, but {words} could not be told"
    if status.open.count:
        words = "No known endpoint takes passwords in cleartext; other findings are open"
        return Tone.DOUBT, words
    return Tone.GOOD, "No known endpoint takes passwords in cleartext"


class Figure(NamedTuple):
    """A number with its name and what it counts."""

    name: str
    number: int
    what: str
    tone: Tone | None


def figures(status: Status) -> tuple[Figure, ...]:
    """The numbers at the top."""
    people = status.people
    doubtful = status.undecided_count + people.undecided
    unclear = plural(status.undecided_count, "endpoint")
    if people.undecided:
        unclear += f", {plural(people.undecided, 'kind')} of logins"
    period = f"in {age(status.since, status.made)}"

    def bad(number: int, tone: Tone = Tone.BAD) -> Tone | None:
        return tone if number else None

    return (
        Figure(
            "Exposed",
            status.exposed,
            f"endpoints, of {status.endpoints} known",
            bad(status.exposed),
        ),
        Figure("Open", status.open.count, severities(status) or "findings", None),
        Figure(
            "Fixed", status.fixed.count, f"findings {period}", bad(status.fixed.count, Tone.GOOD)
        ),
        Figure("Still in cleartext", people.users, f"users {period}", bad(people.users)),
        Figure("Could not tell", doubtful, unclear, bad(doubtful, Tone.DOUBT)),
    )


def severities(status: Status) -> str:
    """Open findings by severity: `2 high, 1 low`."""
    known = ((each, status.open_by.get(each, 0)) for each in reversed(Severity))
    return ", ".join(f"{number} {each.value}" for each, number in known if number)


def standing(known: KnownFinding) -> str:
    """Verdict and grade of a finding."""
    made = known.finding.assessment
    return made.verdict.value + (f", {made.grade.value}" if made.grade else "")


def place(known: KnownFinding) -> str:
    """Where."""
    endpoint = known.finding.endpoint
    return str(endpoint) if endpoint.site == "default" else f"{endpoint} in {endpoint.site}"


def users(known: KnownFinding) -> str:
    """Who uses it, as far as somebody looked."""
    if known.users is None:
        return "not known: nobody looked at who logs in here"
    return plural(known.users, "user") + " in cleartext"


def earlier(history: FindingHistory) -> tuple[str, ...]:
    """The times when it was there before."""
    return tuple(
        f"{day(each.first)} to {day(each.last)}"
        + (f", fixed {day(each.fixed)}" if each.fixed else "")
        for each in history.appearances[1:]
    )


def before_and_after(history: FindingHistory) -> tuple[LookPeriod | None, LookPeriod | None]:
    """The looks that saw a fixed finding last, and found it gone; None where the store has none."""
    known, looks = history.known, history.looks
    fixed = known.fixed or ""
    after = next((look for look in looks if look.first <= fixed <= look.last), None)
    earlier_ones = [look for look in looks if look is not after and look.first < fixed]
    seen = [look for look in earlier_ones if look.first <= known.last <= look.last]
    return next(iter([*seen, *earlier_ones]), None), after


def gone(history: FindingHistory) -> tuple[str, ...]:
    """What the look that found it gone came to."""
    fixed = history.known.fixed or ""
    for each in history.verdicts:
        if each.first <= fixed <= each.last and each.assessment.verdict in (
            Verdict.REFUSED,
            Verdict.ABSENT,
        ):
            return (each.assessment.verdict.value, *each.assessment.reasons)
    return ()


def transcript(look: LookPeriod) -> tuple[str, ...]:
    """What was said, and what could not be seen."""
    lines = [line for each in look.observations for line in each.transcript]
    left = len(lines) - LINES
    more = [f"... {left} more lines"] if left > 0 else []
    gaps = [f"not seen: {gap}" for each in look.observations for gap in each.gaps[:LINES]]
    return (*lines[:LINES], *more, *gaps)


# -- progress --------------------------------------------------------------------------------------


def series(status: Status) -> tuple[Step, ...]:
    """Open findings from `since`, or from when anything is known, until it was made: before that
    nobody looked, and nothing is not zero. Empty where there was never a finding, or where the
    moments of a damaged store are none.
    """
    first = min((each.first for each in status.intervals), default="")
    if not first:
        return ()
    known = min(filter(None, (first, status.looked[0])))
    try:
        return steps(status.intervals, max(known, status.since), status.made)
    except ValueError:
        return ()


def progress(status: Status, told: Sequence[Step]) -> str:
    """What the chart shows, in words."""
    begin, new, fixed = rfc3339(told[0].at), 0, 0
    for each in status.intervals:
        new += begin < each.first <= status.made
        fixed += begin < (each.fixed or "") <= status.made
    return (
        f"Open findings: {told[0].total} on {day(begin)}, {told[-1].total} on {day(status.made)}; "
        f"{new} appeared and {fixed} were fixed in between."
    )


# -- findings --------------------------------------------------------------------------------------

Facts = Iterator[tuple[str, Sequence[str]]]
"""Name and values, a line each; without a value, the name is left out."""
NOTHING_OPEN = "No finding is open."


def open_facts(history: FindingHistory, status: Status) -> Facts:
    """What is known of an open finding."""
    known, finding = history.known, history.known.finding
    lasts = age(known.first, status.made)
    yield "Cleartext", (standing(known),)
    yield "Open since", (minute(known.first) + (f" ({lasts})" if lasts else ""),)
    yield "Last seen", (f"{minute(known.last)}, from {', '.join(known.found_from)}",)
    yield "There before", earlier(history)
    yield "Used by", (users(known),)
    yield "Service", tuple(filter(None, (finding.assessment.product,)))
    yield "Evidence", finding.evidence
    yield "Contradicted", finding.assessment.conflicts
    reported = (f"{each.source}: {each.reported.title}" for each in history.reports)
    yield "Reported by", tuple(reported)
    yield "What to do", (finding.advice,)
    yield "Rule", (f"{finding.rule}, finding {finding.id}",)


def fixed_facts(history: FindingHistory) -> Facts:
    """What is known of a fixed finding."""
    known, finding = history.known, history.known.finding
    yield "Was", (f"{finding.severity.value}: {standing(known)}",)
    yield "Seen", (f"{minute(known.first)} to {minute(known.last)}",)
    yield "Found gone", (minute(known.fixed or ""),)
    yield "There before", earlier(history)
    yield "Evidence then", finding.evidence
    yield "Evidence now", gone(history)
    yield "Rule", (f"{finding.rule}, finding {finding.id}",)


def row(known: KnownFinding) -> tuple[str, ...]:
    """Severity, endpoint, finding, verdict, seen, fixed."""
    finding = known.finding
    span = f"{day(known.first)} to {day(known.last)}"
    where, fixed = place(known), day(known.fixed) or "open"
    return (finding.severity.value, where, finding.rule, standing(known), span, fixed)


def titles(status: Status) -> dict[str, str]:
    """Rule to title, of the findings that are listed."""
    known = (*status.open.known, *status.fixed.known)
    return {each.finding.rule: each.finding.title for each in known}


# -- doubts ----------------------------------------------------------------------------------------

UNDECIDED = ("Endpoint", "Asked for as", "Last look", "Why")


def doubts(status: Status) -> Iterator[str]:
    """Lines above the list."""
    count, listed = status.undecided_count, len(status.undecided)
    if not status.endpoints:
        yield "Nothing is known at all: no endpoint was looked at or reported."
    elif not count:
        yield "Of every known endpoint it could be told whether it takes logins in cleartext."
    else:
        words = f"Of {count} of {plural(status.endpoints, 'endpoint')} it could not be told whether"
        yield words + " logins in cleartext are taken. They are not counted as clean."
    if count > listed:
        yield f"The first {listed} of them are listed."
    if status.people.undecided:
        kinds = plural(status.people.undecided, "kind")
        yield f"Of {kinds} of logins it could not be told whether they were in cleartext."


def undecided_row(each: Undecided) -> tuple[str, ...]:
    """As UNDECIDED."""
    endpoint, verdict = each.endpoint, each.verdict
    where = str(endpoint) if endpoint.site == "default" else f"{endpoint} in {endpoint.site}"
    why = "only logins were seen there, which say nothing of cleartext"
    seen = "never"
    if verdict is not None:
        seen = f"{minute(verdict.last)}, from {verdict.source}"
        why = "; ".join(verdict.assessment.reasons) or "the verdict gives no reason"
    return (where, each.name or "-", seen, why)


# -- people ----------------------------------------------------------------------------------------

PEOPLE = ("User", "Client", "Service", "Mechanism", "Logins", "Last")


def people_words(status: Status) -> Iterator[str]:
    """Lines above the list."""
    people, since = status.people, day(status.since)
    if people.kinds:
        yield f"{plural(people.users, 'user')} logged in in cleartext since {since}."
    else:
        yield (
            f"No login in cleartext is recorded since {since}. Logins are known only where "
            "captures or logs were read."
        )
    if people.unplaced:
        users = plural(people.unplaced, "user")
        yield f"{users} of them at servers whose address no log tells."
    if people.rejected:
        kinds = plural(people.rejected, "kind")
        yield f"{kinds} of logins in cleartext did not get in, or it was not seen: not listed."
    if people.kinds > len(people.listed.logins):
        listed = len(people.listed.logins)
        yield f"The newest {listed} of {people.kinds} kinds of logins are listed."


def people_rows(status: Status) -> Iterator[tuple[str, ...]]:
    """As PEOPLE, newest first."""
    for each in status.people.listed.logins:
        login = each.login
        count = str(login.count) if login.complete else f"{login.count} or more"
        names = ("not seen" if login.user is None else login.user, login.client or "not known")
        yield (*names, login.service, login.mechanism or "not known", count, minute(login.last))


# -- changes ---------------------------------------------------------------------------------------

NO_EXCEPTIONS = "The policy lets nothing pass."
EXCEPTIONS = ("Until", "Where", "Rules", "Owner", "Reason")


def exception_rows(told: Status) -> Iterator[tuple[str, ...]]:
    """As EXCEPTIONS, the first to end first."""
    for each in sorted(told.exceptions or (), key=lambda one: one.until):
        over = " (over)" if each.until < day(told.made) else ""
        site = f" in {each.site}" if each.site else ""
        where = ", ".join((*each.targets, *each.files)) + site
        yield (each.until + over, where, ", ".join(each.rules), each.owner, each.reason)


CHANGES = ("When", "What", "Endpoint", "By", "Approved", "Plan", "Run")


def change_words(changes: ChangeHistory) -> Iterator[str]:
    """Whether the record is whole, as far as it shows by itself."""
    for problem in changes.problems:
        yield f"Broken: {problem}."
    if not changes.problems:
        count = plural(len(changes.lines), "line")
        yield f"{count}, each with the hash of the one before; the journals were not asked."
    yield f"The hash of the last line is {changes.head or 'none: there is no line'}."


def change_row(line: ChangeLine) -> tuple[str, ...]:
    """As CHANGES."""
    return (
        minute(line.at),
        " ".join(filter(None, (line.event.value, line.strategy, line.stage, line.reason))),
        f"{line.endpoint} on {line.host}",
        str(line.actor) if line.actor else "mailseal itself",
        "; ".join(map(approval, line.approvals)) or "-",
        line.plan_sha,
        line.run,
    )


# -- words -----------------------------------------------------------------------------------------


def about(status: Status) -> Iterator[str]:
    """What it rests on."""
    yield SOURCE
    first, last = status.looked
    if first:
        yield f"The first look that is known was on {day(first)}, the newest on {day(last)}."
    yield from status.hidden


def imprint(status: Status) -> str:
    """When, by what, of what time."""
    since = f"what was fixed and who logged in since {day(status.since)}"
    return f"Made {minute(status.made)} by mailseal {status.mailseal}; {since}."


def plural(number: int, what: str) -> str:
    """`1 user`, `2 users`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def day(moment: str | None) -> str:
    """2026-01-31 of a moment."""
    return (moment or "")[:10]


def minute(moment: str) -> str:
    """2026-01-31 12:00 UTC of a moment."""
    return moment[:16].replace("T", " ") + " UTC" if moment else "never"


def age(first: str, now: str) -> str:
    """How long something has been there, in days; empty where a moment is none."""
    try:
        days = int((seconds(now) - seconds(first)) // 86400)
    except ValueError:
        return ""
    return plural(max(days, 0), "day")


WORDS = (
    ("exposed", "The service takes logins in cleartext."),
    ("offered", "It greets as a service whose logins travel in cleartext."),
    ("accepted", "It processed a login command in cleartext, or asked for the password."),
    ("observed", "A login in cleartext was seen, on the wire or in a log."),
    ("proven", "An account logged in in cleartext."),
    ("configured", "Its configuration permits it."),
    ("reported", "Another tool says so; mailseal has not looked."),
    ("refused", "The service is there and takes no login in cleartext."),
    ("absent", "Nothing is there, or another service."),
    ("inconclusive", "Could not be told, with the reason. Never counted as clean."),
)
"""What the words of verdicts and grades mean."""
SOURCE = (
    "Made of the store alone; nothing was sent to any server for it. Moments are those of the "
    "looks, UTC. A finding is fixed at the moment of the look that found it gone."
)
