"""What an endpoint answers to a policy: which rules it breaks, which it keeps, which are untold.

Strategy: a policy is made ready once, each question of it is one function. Findings are the
answers of the rooms before; what policies alone ask is asked here of the posture.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mailseal.model.finding import Severity, Verdict
from mailseal.model.moment import seconds
from mailseal.model.policy import (
    CERTIFICATE_DAYS,
    LEAST_VERSION,
    SERVICE_GONE,
    TLS_VERSION,
    UNDECIDED,
    Deviation,
    LeastVersion,
    Posture,
    Requirements,
    SealPolicy,
    State,
    TlsPosture,
    deviation_id,
)
from mailseal.policy.places import Index
from mailseal.policy.seal import VERSIONS, asks

DAY = 86400.0
"""Seconds."""
EVIDENCE = 3
"""Lines of evidence in a text."""


class Asking:
    """A policy that is asked endpoint by endpoint."""

    def __init__(self, policy: SealPolicy) -> None:
        self._policy = policy
        self._sections = Index((each.targets, each.site, each.asked) for each in policy.sections)
        self._services = Index([(policy.services, "", True)])

    def of(self, posture: Posture) -> Requirements:
        """What is asked of an endpoint."""
        found = self._sections.at(posture.endpoint, posture.name)
        return found[0] if found else self._policy.asked

    def answers(
        self, asked: Requirements, posture: Posture, now: str
    ) -> tuple[list[Deviation], set[str]]:
        """What is broken (as new) or untold (as undecided), and the rules that are kept."""
        must_answer = self._services.at(posture.endpoint, posture.name)
        broken = list(_findings(asked, posture))
        kept = set(posture.kept)
        for answer in (
            _undecided(posture, self._policy.look_days, now),
            _gone(posture) if must_answer else None,
            _tls_version(posture.tls, asked.tls_min_version),
            _certificate(posture.tls, asked.certificate_days, now),
            _version(posture, asked.least_versions),
        ):
            if answer is not None and answer.text:
                broken.append(_deviation(answer, posture))
            elif answer is not None:
                kept.add(answer.rule)
        return broken, kept


def _findings(asked: Requirements, posture: Posture) -> Iterator[Deviation]:
    for finding in posture.findings:
        # Which TLS version is too old, the policy says, and not the rule.
        if finding.rule != TLS_VERSION and asks(asked, finding.rule):
            said = "; ".join(finding.evidence[:EVIDENCE])
            yield Deviation(
                id=finding.id,
                rule=finding.rule,
                state=State.NEW,
                severity=finding.severity,
                endpoint=posture.endpoint,
                text="%s: %s" % (finding.title, said) if said else finding.title,
                advice=finding.advice,
                name=posture.name,
            )


class _Answer(NamedTuple):
    """A rule that is broken, or (without `severity`) of which it could not be told; without `text`
    it is kept.
    """

    rule: str
    severity: Severity | None
    text: str
    advice: str


def _deviation(answer: _Answer, posture: Posture) -> Deviation:
    at = posture.endpoint
    return Deviation(
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


def _gone(posture: Posture) -> _Answer | None:
    judged = posture.assessment
    if judged is None or judged.verdict is Verdict.INCONCLUSIVE:
        return None
    words = "the policy names it as a service, and: " + "; ".join(judged.reasons[:EVIDENCE])
    advice = "Start it, or take {endpoint} out of the policy's services. " + _LOOK
    there = judged.verdict is not Verdict.ABSENT
    return _Answer(SERVICE_GONE, Severity.MEDIUM, "" if there else words, advice)


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
