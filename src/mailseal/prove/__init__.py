"""Checks claims: pass, fail or unknown, each with its evidence and its vantage.

One file a kind of claim. The looks are handed in, by vantage, and taken side by side: a port that
wants TLS is silent to a cleartext client until the time limit, and a host has many addresses. This
room decides what a look proves and what it does not: from a throwaway namespace on the host itself
(`veth`) what answers there can be proven wrong, never a seal proven; and that nothing answers there
says nothing, because the real client's packets meet other firewall rules. A look that a busy
service hung up on is taken again (`again`).
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import Callable, Dict, Mapping, Optional, Sequence, Tuple

from mailseal.model.look import Endpoint, Observation, Reach, Vantage
from mailseal.model.moment import Clock, rfc3339
from mailseal.model.plan import Claim, ClaimKind, Proof, Result
from mailseal.probe.look import Observe, Question
from mailseal.prove import (
    again,
    backend_answers,
    backend_guarded,
    cleartext_refused,
    cleartext_served,
    closed,
    injection_ignored,
    login_rejected,
    login_works,
    neighbours_kept,
    relay_refused,
    service_in_tls,
    tls_alone,
    tls_ciphers,
    tls_versions,
)
from mailseal.prove.again import Asked, Look, Said
from mailseal.prove.base import Evidence, Read, beside, question
from mailseal.system.base import System

Seen = Mapping[ClaimKind, Callable[[Claim, Observation, Read], Evidence]]

_SEEN: Seen = {
    ClaimKind.CLEARTEXT_REFUSED: cleartext_refused.check,
    ClaimKind.SERVICE_IN_TLS: service_in_tls.check,
    ClaimKind.CLEARTEXT_SERVED: cleartext_served.check,
    ClaimKind.CLOSED: closed.check,
    ClaimKind.TLS_ALONE: tls_alone.check,
    ClaimKind.TLS_VERSIONS: tls_versions.check,
    ClaimKind.TLS_CIPHERS: tls_ciphers.check,
    ClaimKind.BACKEND_ANSWERS: backend_answers.check,
    ClaimKind.LOGIN_REJECTED: login_rejected.check,
    ClaimKind.LOGIN_WORKS: login_works.check,
    ClaimKind.INJECTION_IGNORED: injection_ignored.check,
    ClaimKind.RELAY_REFUSED: relay_refused.check,
}
"""Claims that a look decides."""

_READ: Dict[ClaimKind, Callable[[Claim, System], Evidence]] = {
    ClaimKind.BACKEND_GUARDED: backend_guarded.check,
    ClaimKind.NEIGHBOURS_KEPT: neighbours_kept.check,
}
"""Claims that the host itself decides."""

Prove = Callable[[Sequence[Claim]], Tuple[Proof, ...]]

_AT_ONCE = 16

Source = Callable[[Endpoint], str]
"""The address that a look at an endpoint comes from; empty where that is not known."""


def prover(
    lookers: Mapping[Vantage, Observe],
    read: Read,
    system: Optional[System],
    now: Clock = time.time,
    ask: Callable[[Claim], Question] = question,
    more: Optional[Seen] = None,
    sources: Mapping[Vantage, Source] = MappingProxyType({}),
    sleep: Callable[[float], None] = time.sleep,
) -> Prove:
    """Gives the function that proves claims with the looks that can be had from here. `read` gives
    the files of the host that the claims are about; `system` is that host, None from elsewhere.
    `ask` words the look for a claim; `more` are kinds of claim that a look decides besides.
    `sources` tell where the looks come from, by vantage; `sleep` waits between two looks.
    """
    kinds = {**_SEEN, **(more or {})}

    def prove(claims: Sequence[Claim]) -> Tuple[Proof, ...]:
        looks = [_look(claim, lookers, ask) for claim in claims]
        asked = [look and Asked(claim, look) for claim, look in zip(claims, looks)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:

            def judge(some: Sequence[Asked]) -> Dict[Asked, Said]:
                wanted = list(dict.fromkeys(each.look for each in some))
                taken = pool.map(lambda look: lookers[look[0]](look[1]), wanted)
                seen = dict(zip(wanted, taken))
                return {each: _said(each, seen[each.look]) for each in some}

            said = again.settle([each for each in asked if each], judge, sleep)
        return tuple(
            _proof(claim, said[each] if each else _unseen(claim))
            for claim, each in zip(claims, asked)
        )

    def _said(each: Asked, seen: Observation) -> Said:
        claim, vantage = each.claim, each.look[0]
        result, said = kinds[claim.kind](claim, seen, read)
        lines = ["seen from %s" % vantage.value]
        reached = seen.reach is Reach.OPEN
        source = sources[vantage](claim.endpoint) if vantage in sources else ""
        elsewhere = beside(claim, source)
        if elsewhere:
            result, said = Result.UNKNOWN, (elsewhere,)
        elif vantage is not claim.vantage and not (reached and result is Result.FAIL):
            result = Result.UNKNOWN
            lines.append("it takes a look from another host to prove it")
        return Said(seen, Evidence(result, (*lines, *said)))

    def _proof(claim: Claim, said: Evidence) -> Proof:
        return Proof(claim, said.result, said.lines, rfc3339(now()))

    def _unseen(claim: Claim) -> Evidence:
        if claim.kind not in _READ:
            return Evidence(Result.UNKNOWN, ("no look from %s here" % claim.vantage.value,))
        if system is not None:
            return _READ[claim.kind](claim, system)
        return Evidence(Result.UNKNOWN, ("only the host itself can tell",))

    return prove


def _look(
    claim: Claim, lookers: Mapping[Vantage, Observe], ask: Callable[[Claim], Question]
) -> Optional[Look]:
    """The look for a claim: from its vantage, or from `veth` in place of `remote`, which may still
    disprove it.
    """
    if claim.kind in _READ:
        return None
    near = (claim.vantage, Vantage.VETH) if claim.vantage is Vantage.REMOTE else (claim.vantage,)
    for vantage in near:
        if vantage in lookers:
            return vantage, replace(ask(claim), vantage=vantage)
    return None
