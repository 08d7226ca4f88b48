"""What `mailseal verify` does: the proof, from here.

Of an endpoint: no login in cleartext, and the service inside TLS, at every address of the name. Of
a plan: its own claims.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from mailseal import agent
from mailseal.model.look import Observation, Vantage
from mailseal.model.plan import Claim, ClaimKind, Plan, Proof, Result
from mailseal.probe import blocking
from mailseal.probe.canary import own as is_own
from mailseal.probe.look import Question
from mailseal.probe.targets import SCHEMES, BadTarget, Unresolved, parse, resolve
from mailseal.protocols.recognise import PORTS
from mailseal.prove import prover

KINDS = (ClaimKind.CLEARTEXT_REFUSED, ClaimKind.SERVICE_IN_TLS)


def claims_of(
    words: str, protocol: str, authority: str, name: str
) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    """The claims of a sealed service at every address of a target; and why a name has none. A look
    at an address of this host's own is `self`, and proves less. An empty protocol is the usual one
    of the port. Raises BadTarget.
    """
    claims: list[Claim] = []
    lost: list[str] = []
    for found in resolve([parse(words, (SCHEMES["pop2"],))]):
        if isinstance(found, Unresolved):
            lost.append("%s: %s" % (found.name, found.reason))
            continue
        vantage = Vantage.SELF if is_own(found.endpoint.address) else Vantage.REMOTE
        served = protocol or PORTS.get(found.endpoint.port, "")
        if not served:
            raise BadTarget(
                "which protocol port %d serves is not known: give --protocol" % found.endpoint.port
            )
        expected = {"protocol": served, "name": name or found.name, "authority": authority}
        claims += [Claim(kind, found.endpoint, vantage, expected) for kind in KINDS]
    return tuple(claims), tuple(lost)


def claims_of_plan(made: Plan, authority: str) -> tuple[Claim, ...]:
    """A plan's claims that a look can decide from another host; `authority`, where given, takes
    the place of the path on the mail host.
    """
    return tuple(
        Claim(
            claim.kind,
            claim.endpoint,
            claim.vantage,
            {**claim.expected, "authority": authority or _if_here(claim)},
        )
        for claim in made.claims
        if claim.vantage is Vantage.REMOTE
    )


def _if_here(claim: Claim) -> str:
    path = claim.expected.get("authority", "")
    return path if os.path.exists(path) else ""


def verify(claims: Sequence[Claim]) -> tuple[Proof, ...]:
    """Looks from here."""
    lookers = {Vantage.REMOTE: _from_afar, Vantage.SELF: blocking.observe}
    return prover(lookers, _no_file, None)(claims)


def _from_afar(question: Question) -> Observation:
    """A look that is worth something only from another host."""
    if is_own(question.endpoint.address):
        return agent.blind(question, "this is the host itself: run `mailseal verify` on another")
    return blocking.observe(question)


def _no_file(path: str) -> bytes:
    raise FileNotFoundError(path)


def exit_code(proofs: Sequence[Proof]) -> int:
    """1 where a claim fails, 3 where one could not be told (or there is none), else 0."""
    results = {proof.result for proof in proofs}
    if Result.FAIL in results:
        return 1
    return 3 if Result.UNKNOWN in results or not results else 0
