"""What is known now, held against a policy: Deviations, with what became of them since before.

Strategy: every rule that is asked is broken, kept or untold. What makes of that new, unchanged,
fixed, exempt and the rest is one function for endpoints and files alike. Untold is a deviation of
its own, and what was broken before is fixed only where somebody looked for it again. Endpoints pass
one by one, so that nothing grows with their number.
"""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from mailseal.model.finding import Severity, Verdict
from mailseal.model.lint import Linted
from mailseal.model.look import Endpoint
from mailseal.model.moment import seconds
from mailseal.model.policy import (
    BROKEN,
    CERTIFICATE_DAYS,
    LEAST_VERSION,
    TLS_VERSION,
    UNDECIDED,
    Deviation,
    Exemption,
    LeastVersion,
    Posture,
    Requirements,
    SealPolicy,
    State,
    TlsPosture,
    deviation_id,
)
from mailseal.policy.places import Place, address, place
from mailseal.policy.seal import VERSIONS, asks

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
    asked_of = _asked(policy)
    exceptions = [(_Scope(each.targets, each.site), each) for each in policy.exceptions]
    for posture in known:
        asked = asked_of(posture)
        kept: set[str] = set()
        broken = list(_answers(asked, policy.look_days, posture, now, kept))
        before = [each for each in baseline(posture.endpoint) if asks(asked, each.rule)]
        if broken or before:
            excused = [each for scope, each in exceptions if scope.has(posture)]
            yield from _told(broken, kept, before, excused, now)


def as_of(policy: SealPolicy, known: Callable[[Endpoint], Posture | None], then: str) -> Baseline:
    """The baseline of what was known of each endpoint at a moment."""
    asked_of = _asked(policy)

    def before(where: Endpoint | str) -> Iterable[Deviation]:
        posture = known(where) if isinstance(where, Endpoint) else None
        if posture is None:
            return ()
        return _answers(asked_of(posture), policy.look_days, posture, then, set())

    return before


def compare_files(
    policy: SealPolicy, known: Iterable[Linted], baseline: Baseline, now: str
) -> Iterator[Deviation]:
    """What deviates in each file, the most severe first. `now` is a moment."""
    least = SEVERITIES.index(policy.lint_severity)
    for linted in known:
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


class _Scope:
    """Where a section or an exception holds."""

    def __init__(self, targets: Sequence[str], site: str) -> None:
        self._places: tuple[Place, ...] = tuple(map(place, targets))
        self._site = site

    def has(self, posture: Posture) -> bool:
        at = posture.endpoint
        return self._site in ("", at.site) and any(
            each.has(address(at), at.port, posture.name) for each in self._places
        )


def _asked(policy: SealPolicy) -> Callable[[Posture], Requirements]:
    """What is asked of an endpoint."""
    sections = [(_Scope(each.targets, each.site), each.asked) for each in policy.sections]

    def asked_of(posture: Posture) -> Requirements:
        return next((own for scope, own in sections if scope.has(posture)), policy.asked)

    return asked_of


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


# -- endpoints -------------------------------------------------------------------------------------


class _Answer(NamedTuple):
    """A rule that is broken, or (without `severity`) of which it could not be told."""

    rule: str
    severity: Severity | None
    text: str
    advice: str


def _answers(
    asked: Requirements, look_days: int, posture: Posture, now: str, kept: set[str]
) -> Iterator[Deviation]:
    """What is broken and untold; the rules that are kept are added to `kept`."""
    at = posture.endpoint
    for finding in posture.findings:
        if finding.rule != TLS_VERSION and asks(asked, finding.rule):
            said = "; ".join(finding.evidence[:EVIDENCE])
            yield Deviation(
                id=finding.id,
                rule=finding.rule,
                state=State.NEW,
                severity=finding.severity,
                endpoint=at,
                text="%s: %s" % (finding.title, said) if said else finding.title,
                advice=finding.advice,
                name=posture.name,
            )
    kept.update(posture.kept)
    own = (
        _undecided(posture, look_days, now),
        _tls_version(posture.tls, asked.tls_min_version),
        _certificate(posture.tls, asked.certificate_days, now),
        _version(posture, asked.least_versions),
    )
    for answer in own:
        if answer is None:
            continue
        if not answer.text:
            kept.add(answer.rule)
            continue
        yield Deviation(
            id=deviation_id(answer.rule, at),
            rule=answer.rule,
            state=State.NEW if answer.severity else State.UNDECIDED,
            severity=answer.severity or Severity.INFO,
            endpoint=at,
            text=answer.text,
            advice=answer.advice.format(endpoint=at),
            name=posture.name,
        )


_LOOK = "Look again: `mailseal scan {endpoint}`."
_NOBODY = "nobody looked at it"


def _undecided(posture: Posture, look_days: int, now: str) -> _Answer | None:
    """Of an endpoint as a whole. Where something is exposed, that is told and enough."""
    judged = posture.assessment
    if judged is None:
        return _Answer(UNDECIDED, None, _NOBODY, _LOOK)
    if judged.verdict is Verdict.INCONCLUSIVE:
        return _Answer(UNDECIDED, None, "; ".join(judged.reasons[:EVIDENCE]) or _NOBODY, _LOOK)
    days = (seconds(now) - seconds(posture.seen)) / DAY
    if judged.verdict is not Verdict.EXPOSED and days > look_days:
        words = "last looked at on %s, more than %d days ago" % (posture.seen[:10], look_days)
        return _Answer(UNDECIDED, None, words, _LOOK)
    return None


def _tls_version(tls: TlsPosture | None, least: str) -> _Answer | None:
    if tls is None or not least:
        return None
    older = ["TLSv" + each.removesuffix(".0") for each in VERSIONS[: VERSIONS.index(least)]]
    accepted = [each for each in ("SSLv3", *older) if each in tls.accepted]
    untold = [each for each in older if each not in (*tls.accepted, *tls.rejected)]
    advice = "Let {endpoint} accept TLS %s and newer alone. " % least + _LOOK
    if accepted:
        words = "%s accepted, and %s is the oldest allowed" % (_are(accepted), "TLS " + least)
        return _Answer(TLS_VERSION, Severity.MEDIUM, words, advice)
    words = "not known whether %s accepted" % _are(untold) if untold else ""
    return _Answer(TLS_VERSION, None, words, _LOOK)


def _are(words: Sequence[str]) -> str:
    return "%s %s" % (" and ".join(words), "is" if len(words) == 1 else "are")


def _certificate(tls: TlsPosture | None, days: int, now: str) -> _Answer | None:
    if tls is None or not days:
        return None
    if not tls.ends:
        return _Answer(CERTIFICATE_DAYS, None, "its certificate cannot be read", _LOOK)
    left = (seconds(tls.ends) - seconds(now)) / DAY
    advice = "Renew the certificate of {endpoint}, and have it loaded. " + _LOOK
    if left < 0:
        words = "the certificate ended on %s" % tls.ends[:10]
        return _Answer(CERTIFICATE_DAYS, Severity.HIGH, words, advice)
    words = "the certificate ends on %s, in %d days; %d are wanted" % (tls.ends[:10], left, days)
    return _Answer(CERTIFICATE_DAYS, Severity.MEDIUM, words if left < days else "", advice)


def _version(posture: Posture, least: Sequence[LeastVersion]) -> _Answer | None:
    product = posture.assessment.product if posture.assessment else ""
    for each in least:
        name, version = product[: len(each.product)], product[len(each.product) :].strip()
        if name.casefold() != each.product:
            continue
        shown, wanted = _numbers(version), _numbers(each.version)
        if shown == wanted[: len(shown)] != wanted:
            words = "it shows itself as %s alone; %s is the oldest allowed" % (
                product,
                each.version,
            )
            return _Answer(LEAST_VERSION, None, words, _LOOK)
        words = "%s; %s is the oldest allowed" % (product, each.version)
        advice = "Update %s at {endpoint}, or raise what its packager supports. " % name + _LOOK
        return _Answer(LEAST_VERSION, Severity.MEDIUM, words if shown < wanted else "", advice)
    return None


def _numbers(version: str) -> list[int]:
    """What can be compared of a version: its leading numbers."""
    found: list[int] = []
    for piece in version.split("."):
        digits = "".join(itertools.takewhile(str.isdigit, piece))
        if not digits:
            break
        found.append(int(digits[:9]))
        if digits != piece:
            break
    return found


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
