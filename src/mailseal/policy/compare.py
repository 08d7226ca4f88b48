"""What is known now, held against a policy: Deviations, with what became of them since before.

Strategy: every rule that is asked is broken, kept or untold. What makes of that new, unchanged,
fixed, exempt and the rest is one function for endpoints and files alike. Untold is a deviation of
its own, and what was broken before is fixed only where somebody looked for it again. Endpoints pass
one by one, so that nothing grows with their number.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from mailseal.model.finding import Severity
from mailseal.model.lint import Linted
from mailseal.model.look import Endpoint
from mailseal.model.policy import (
    BROKEN,
    UNDECIDED,
    Deviation,
    Exemption,
    Posture,
    SealPolicy,
    State,
    deviation_id,
)
from mailseal.policy.answers import Asking
from mailseal.policy.places import Index
from mailseal.policy.seal import asks

Baseline = Callable[[Endpoint | str], Iterable[Deviation]]
"""What deviated before at an endpoint or in a file (by its path)."""

DAY = 86400.0
"""Seconds."""
EVIDENCE = 3
"""Lines of evidence in a text."""
SEVERITIES = tuple(Severity)
"""Least to most severe."""


def nothing_before(where: Endpoint | str) -> Iterable[Deviation]:
    """The baseline of who has none: whatever deviates is new."""
    return ()


def remembered(before: Iterable[Deviation]) -> Baseline:
    """A baseline of what was told before."""
    there: dict[Endpoint | str, list[Deviation]] = {}
    for each in before:
        there.setdefault(each.path or each.endpoint or each.name, []).append(each)
    return lambda where: there.get(where, ())


def compare(
    policy: SealPolicy, known: Iterable[Posture], baseline: Baseline, now: str
) -> Iterator[Deviation]:
    """What deviates at each endpoint, the most severe first. `now` is a moment."""
    ask = Asking(policy)
    exceptions = Index((each.targets, each.site, each) for each in policy.exceptions)
    for posture in known:
        asked = ask.of(posture)
        broken, kept = ask.answers(asked, posture, now)
        before = [each for each in baseline(posture.endpoint) if asks(asked, each.rule)]
        if broken or before:
            excused = exceptions.at(posture.endpoint, posture.name)
            yield from _told(broken, kept, before, excused, now)


def as_of(policy: SealPolicy, known: Callable[[Endpoint], Posture | None], then: str) -> Baseline:
    """The baseline of what was known of each endpoint at a moment."""
    ask = Asking(policy)

    def before(where: Endpoint | str) -> Iterable[Deviation]:
        posture = known(where) if isinstance(where, Endpoint) else None
        if posture is None:
            return ()
        return ask.answers(ask.of(posture), posture, then)[0]

    return before


def compare_files(
    policy: SealPolicy, known: Iterable[Linted], baseline: Baseline, now: str
) -> Iterator[Deviation]:
    """What deviates in each file, the most severe first. `now` is a moment."""
    least = SEVERITIES.index(policy.lint_severity)
    for each_file in known:
        # As patterns and baselines write it, however it was named.
        linted = replace(each_file, path=posixpath.normpath(each_file.path))
        broken = list(_faults(linted, least))
        before = list(baseline(linted.path))
        # Of a file that was not wholly understood, what is not found says nothing.
        kept = set() if linted.unread else {each.rule for each in before}
        excused = [
            each
            for each in policy.exceptions
            if any(fnmatch.fnmatchcase(linted.path, pattern) for pattern in each.files)
        ]
        yield from _told(broken, kept, before, excused, now)


def unknown(name: str, reason: str) -> Deviation:
    """What was asked for, and of which no endpoint is known."""
    return Deviation(
        id=deviation_id(UNDECIDED, name),
        rule=UNDECIDED,
        state=State.UNDECIDED,
        severity=Severity.INFO,
        endpoint=None,
        text=reason,
        advice="Look at it: `mailseal scan %s`, or take it out of the policy's targets." % name,
        name=name,
    )


def _told(
    broken: Iterable[Deviation],
    kept: Collection[str],
    before: Iterable[Deviation],
    excused: Sequence[Exemption],
    now: str,
) -> Iterator[Deviation]:
    """The states: `broken` come as new or undecided, `kept` are rules."""
    past = {each.id: each for each in before if each.state in BROKEN and each.rule != UNDECIDED}
    for each in sorted(broken, key=lambda one: -SEVERITIES.index(one.severity)):
        was = past.pop(each.id, None)
        known = State.UNCHANGED if was and each.state is State.NEW else each.state
        yield _excused(replace(each, state=known), excused, now)
    for was in past.values():
        if was.rule in kept:
            yield replace(was, state=State.FIXED, exemption=_exemption(was.rule, excused))
        else:
            words = was.text.removeprefix(_NOT_AGAIN)
            gone = replace(was, state=State.UNDECIDED, text=_NOT_AGAIN + words)
            yield _excused(gone, excused, now)


_NOT_AGAIN = "could not be looked for again; before: "


def _excused(each: Deviation, excused: Sequence[Exemption], now: str) -> Deviation:
    exemption = _exemption(each.rule, excused)
    if exemption is None:
        return replace(each, exemption=None)
    if now[:10] <= exemption.until:
        return replace(each, state=State.EXEMPT, exemption=exemption)
    over = each.state if each.state is State.UNDECIDED else State.EXPIRED
    return replace(each, state=over, exemption=exemption)


def _exemption(rule: str, excused: Sequence[Exemption]) -> Exemption | None:
    """Of those that fit, the one that holds longest."""
    return max(
        (each for each in excused if rule in each.rules),
        key=lambda each: each.until,
        default=None,
    )


# -- files -----------------------------------------------------------------------------------------


def _faults(linted: Linted, least: int) -> Iterator[Deviation]:
    seen: dict[str, int] = {}
    for fault in linted.faults:
        if SEVERITIES.index(fault.severity) < least:
            continue
        # Lines move when others are added above: what is said stays.
        place_ = "%s %s" % (linted.path, fault.said)
        seen[place_] = seen.get(place_, 0) + 1
        yield Deviation(
            id=deviation_id(fault.rule, "%s %d" % (place_, seen[place_])),
            rule=fault.rule,
            state=State.NEW,
            severity=fault.severity,
            endpoint=None,
            text="%s: %s" % (fault.title, fault.said),
            advice=fault.fix,
            path=linted.path,
            line=fault.line,
        )
    if linted.unread:
        yield Deviation(
            id=deviation_id(UNDECIDED, linted.path),
            rule=UNDECIDED,
            state=State.UNDECIDED,
            severity=Severity.INFO,
            endpoint=None,
            text="not understood: %s" % linted.unread,
            advice="Look at what stands there; no rule could.",
            path=linted.path,
        )
