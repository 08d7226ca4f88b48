"""A look that was hung up on is taken again: a busy daemon closes connections unheard, and says
nothing of itself by that.

Strategy: only what a claim came to is looked at, and only where its lines say that the service hung
up, or "not now". What was answered stays: a verdict is never asked for again. A later look counts
where the service answers it; a port that is closed or silent by then is no answer, and never makes
clean what could not be told. Who gets no connection at all is not asked again: the kernel has tried
several times by then (tcp_syn_retries, tcp(7)).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Dict, Mapping, NamedTuple, Sequence, Tuple

from mailseal.model.look import Observation, Reach, Vantage
from mailseal.model.plan import Claim, Result
from mailseal.probe import transport
from mailseal.probe.look import Question
from mailseal.protocols import answers
from mailseal.prove.base import Evidence, cleartext_logins

PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each further look: a crowd that is there one moment may be gone the next."""
PATIENCE = 60.0
"""Seconds after which no further look begins: nobody is served while a change that failed waits to
be undone, and the executor waits for no proof for ever.
"""

Look = Tuple[Vantage, Question]


@dataclass(frozen=True, eq=False)
class Asked:
    """A claim, and the look that is to decide it."""

    claim: Claim
    look: Look


class Said(NamedTuple):
    """What the look saw, and what that is for the claim."""

    seen: Observation
    evidence: Evidence


def settle(
    every: Sequence[Asked],
    judge: Callable[[Sequence[Asked]], Mapping[Asked, Said]],
    sleep: Callable[[float], None],
    clock: Callable[[], float] = time.monotonic,
) -> Dict[Asked, Evidence]:
    """What each came to. `judge` takes the looks and decides."""
    last = clock() + PATIENCE
    said = judge(every)
    found = {each: said[each].evidence for each in every}
    waiting = [each for each in every if _unheard(each, said[each])]
    times = 0
    while waiting and times < len(PAUSES) and clock() < last:
        sleep(PAUSES[times])
        times += 1
        said = judge(waiting)
        for each in tuple(waiting):
            if said[each].seen.reach is Reach.OPEN and not _unheard(each, said[each]):
                waiting.remove(each)
                found[each] = _told(said[each].evidence, _ANSWERED % times)
    for each in waiting if times else ():
        found[each] = _told(found[each], _UNANSWERED % times)
    return found


_ANSWERED = "the service had hung up; this is its answer when asked again (look %d after that)"
_UNANSWERED = "the service hung up; asked again (looks after that: %d) it gave no answer"


def _told(evidence: Evidence, words: str) -> Evidence:
    return Evidence(evidence.result, (*evidence.lines, words))


def _unheard(each: Asked, said: Said) -> bool:
    """Whether the look told nothing for this claim because the service hung up. A question with a
    real account is put once: the daemon may count what it takes for wrong passwords.
    """
    vantage, question = each.look
    result, lines = said.evidence
    if result is Result.PASS or question.account is not None:
        return False
    if said.seen.reach is not Reach.OPEN:
        return False
    if result is Result.FAIL and cleartext_logins(said.seen):
        return False
    if result is Result.UNKNOWN and vantage is not each.claim.vantage:
        return False  # it can only ever disprove
    return any(line.endswith(transport.HUNG_UP) or answers.NOT_NOW in line for line in lines)
