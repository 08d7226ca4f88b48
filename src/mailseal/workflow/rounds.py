"""One round of `watch`: looks, held against the policy and against what was there before.

Strategy: a `Round` takes results one by one and is asked at the end what is the matter. It
concludes nothing where the network was lost: what was the matter still is, and what was not is not
told from there. What was seen before and does not answer now is a trouble also where the policy
names no service that must be there; so is what could not be told round after round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace

from mailseal.model.finding import Severity, Verdict
from mailseal.model.look import Endpoint, Reach
from mailseal.model.policy import (
    FAILING,
    SERVICE_GONE,
    Deviation,
    Posture,
    SealPolicy,
    State,
    deviation_id,
)
from mailseal.model.watching import Served, Trouble
from mailseal.policy.compare import compare, remembered, unknown
from mailseal.report.result import ScanResult
from mailseal.workflow.postures import of_result

BLIND = "watch-blind"
"""The rule of a watch that cannot look."""
SERVICES = 65536
"""Services that are remembered."""
PATIENCE = 3
"""Rounds in a row in which something could not be told, until that is a trouble itself."""
REASON = 300
"""Characters of a reason."""


@dataclass(frozen=True)
class Standing:
    """What is known between two rounds. `broken` are the deviations that nobody saw mended, by id;
    `served` the services that were seen; `untold` counts the rounds in a row in which something
    could not be told.
    """

    broken: Mapping[str, Deviation] = field(default_factory=dict)
    served: Mapping[Endpoint, Served] = field(default_factory=dict)
    untold: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of a round. `states` counts the deviations; `looked` are the places that were
    looked at, of those that somebody was told of. `undecided` are ids of what could not be told.
    `complete`: every name had an address. `lost` says why there was nothing to look through; then
    nothing is concluded.
    """

    standing: Standing
    troubles: tuple[Trouble, ...]
    undecided: frozenset[str]
    looked: frozenset[str]
    complete: bool
    states: Mapping[State, int]
    lost: str = ""


def place_of(at: Endpoint | str) -> str:
    """An endpoint for people, with its site where that is not the usual one."""
    if isinstance(at, str) or at.site == "default":
        return str(at)
    return f"{at} in {at.site}"


class Round:
    """Takes the results of one round. `told` are the places of what somebody was told of."""

    def __init__(
        self, policy: SealPolicy, before: Standing, now: str, told: Set[str] = frozenset()
    ) -> None:
        self._policy = policy
        self._before = before
        self._now = now
        self._told = told
        self._baseline = remembered(before.broken.values())
        self._served = dict(before.served)
        self._found: list[Deviation] = []
        self._looked: set[str] = set()
        self._here: set[Endpoint] = set()
        self._complete = True
        self._silence = _Silence()

    def take(self, results: Iterable[ScanResult]) -> None:
        """The looks. Raises what reading them raises."""
        self._found += compare(self._policy, self._postures(results), self._baseline, self._now)

    def _postures(self, results: Iterable[ScanResult]) -> Iterator[Posture]:
        for result in results:
            known = self._served.get(result.endpoint) if result.endpoint else None
            self._silence.add(result, known is not None and not known.gone)
            posture = of_result(result)
            self._looked.update({result.asked} & self._told)
            if posture is None:
                self._complete = False
                self._found.append(unknown(result.asked, result.reason))
                continue
            at = posture.endpoint
            self._looked.update({place_of(at)} & self._told)
            if known or len(self._served) < SERVICES:
                self._see(result, posture, known)
            if at in self._served or self._baseline(at):
                self._here.add(at)
            yield posture

    def _see(self, result: ScanResult, posture: Posture, known: Served | None) -> None:
        """Keeps a service in mind, or that it is gone."""
        at = posture.endpoint
        if result.verdict in (Verdict.EXPOSED, Verdict.REFUSED):
            self._served[at] = Served(
                address=at.address,
                port=at.port,
                site=at.site,
                protocol=(result.assessment and result.assessment.protocol) or "",
                name=posture.name,
                verdict=result.verdict.value,
                last=posture.seen,
                expires=posture.tls.ends if posture.tls else "",
            )
        elif known:
            gone = known.gone
            if result.verdict is Verdict.ABSENT and not _unroutable(result):
                gone = "; ".join(result.reasons)[:REASON] or "it does not answer"
            self._served[at] = replace(
                known, verdict=result.verdict.value, last=posture.seen or known.last, gone=gone
            )

    def end(self) -> Outcome:
        """What came of it."""
        before = self._before
        states = Counter(each.state for each in self._found)
        if self._silence.lost:
            nothing = frozenset[str]()
            return Outcome(before, (), nothing, nothing, False, states, self._silence.reason)
        # What is not among the targets any more is not known any more.
        served = {at: each for at, each in self._served.items() if self._stays(at)}
        broken = {id: each for id, each in before.broken.items() if self._stays(each.endpoint)}
        troubles = dict[str, Trouble]()
        untold = dict[str, int]()
        for each in self._found:
            if each.state is State.FIXED:
                broken.pop(each.id, None)
            elif each.state is State.UNDECIDED:
                untold[each.id] = before.untold.get(each.id, 0) + 1
                if untold[each.id] >= PATIENCE:
                    troubles[each.id] = _trouble(each)
            else:
                broken[each.id] = each
                if each.state in FAILING:
                    troubles[each.id] = _trouble(each)
        for at, service in served.items():
            id = deviation_id(SERVICE_GONE, at)
            # Where the policy names the service it has the last word, and may except it.
            if service.gone and id not in broken:
                words = f"{service.protocol or 'a service'} was served here, and now: "
                troubles[id] = Trouble(
                    id, SERVICE_GONE, place_of(at), Severity.MEDIUM, words + service.gone
                )
        return Outcome(
            standing=Standing(broken, served, untold),
            troubles=tuple(troubles.values()),
            undecided=frozenset(untold),
            looked=frozenset(self._looked),
            complete=self._complete,
            states=states,
        )

    def _stays(self, at: Endpoint | None) -> bool:
        return not self._complete or at in self._here


class _Silence:
    """Whether there was no network to look through: nothing came back from anywhere, and that is
    not how it is every day.
    """

    def __init__(self) -> None:
        self._reached = False
        self._missed = False
        self._usual = False
        self.reason = ""

    def add(self, result: ScanResult, served: bool) -> None:
        """A result; `served`: a service was there the last time."""
        reaches = {look.reach for look in result.observations}
        self._reached |= bool(reaches - {Reach.FILTERED, Reach.UNROUTABLE})
        self._missed |= served
        self._usual |= not served and Reach.FILTERED in reaches
        self.reason = self.reason or f"{result.asked}: {'; '.join(result.reasons)}"[:REASON]

    @property
    def lost(self) -> bool:
        """Where nothing but filtered ports was ever there, silence is how it is."""
        return bool(self.reason) and not self._reached and (self._missed or not self._usual)


def _unroutable(result: ScanResult) -> bool:
    return any(look.reach is Reach.UNROUTABLE for look in result.observations)


def _trouble(each: Deviation) -> Trouble:
    place = each.place if each.endpoint is None else place_of(each.endpoint)
    return Trouble(each.id, each.rule, place, each.severity, each.text)
