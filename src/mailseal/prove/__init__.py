"""Checks claims: pass, fail or unknown, each with its evidence and its vantage.

One file a kind of claim. The looks are handed in, by vantage, and taken side by side: a port that
wants TLS is silent to a cleartext client until the time limit, and a host has many addresses. This
room decides what a look proves and what it does not: from a throwaway namespace on the host itself
(`veth`) what answers there can be proven wrong, never a seal proven; and that nothing answers there
says nothing, because the real client's packets meet other firewall rules.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from mailseal.model.look import Endpoint, Observation, Reach, Vantage
from mailseal.model.moment import Clock, rfc3339
from mailseal.model.plan import Claim, ClaimKind, Proof, Result
from mailseal.probe.look import Observe, Question
from mailseal.prove import (
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

_Look = Tuple[Vantage, Question]

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
) -> Prove:
    """Gives the function that proves claims with the looks that can be had from here. `read` gives
    the files of the host that the claims are about; `system` is that host, None from elsewhere.
    `ask` words the look for a claim; `more` are kinds of claim that a look decides besides.
    `sources` tell where the looks come from, by vantage.
    """
    kinds = {**_SEEN, **(more or {})}

    def prove(claims: Sequence[Claim]) -> Tuple[Proof, ...]:
        wanted = {key: _look(key.claim, lookers, ask) for key in map(_Key, claims)}
        looks = list(dict.fromkeys(look for look in wanted.values() if look is not None))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            seen = dict(zip(looks, pool.map(lambda look: lookers[look[0]](look[1]), looks)))
        return tuple(_proof(key.claim, look, seen) for key, look in wanted.items())

    def _proof(claim: Claim, look: Optional[_Look], seen: Mapping[_Look, Observation]) -> Proof:
        lines: List[str] = []
        if claim.kind in _READ:
            result, said = _read(claim)
        elif look is None:
            result, said = Result.UNKNOWN, ("no look from %s here" % claim.vantage.value,)
        else:
            result, said = kinds[claim.kind](claim, seen[look], read)
            lines.append("seen from %s" % look[0].value)
            reached = seen[look].reach is Reach.OPEN
            source = sources[look[0]](claim.endpoint) if look[0] in sources else ""
            elsewhere = beside(claim, source)
            if elsewhere:
                result, said = Result.UNKNOWN, (elsewhere,)
            elif look[0] is not claim.vantage and not (reached and result is Result.FAIL):
                result = Result.UNKNOWN
                lines.append("it takes a look from another host to prove it")
        return Proof(claim, result, (*lines, *said), rfc3339(now()))

    def _read(claim: Claim) -> Evidence:
        if system is not None:
            return _READ[claim.kind](claim, system)
        return Evidence(Result.UNKNOWN, ("only the host itself can tell",))

    return prove


class _Key:
    """A claim as a key: by identity, since its expectations are a mapping."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim


def _look(
    claim: Claim, lookers: Mapping[Vantage, Observe], ask: Callable[[Claim], Question]
) -> Optional[_Look]:
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
