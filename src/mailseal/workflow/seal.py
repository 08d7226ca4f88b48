"""What `mailseal seal` and `mailseal apply` do: show, ask, apply, prove, confirm.

A change is confirmed by a look from another host over a connection of its own, or by the operator.
Over SSH we are that other host. On the mail host itself we are not: a throwaway namespace can show
that something is wrong, never that all is well, so the operator confirms, or the dead-man undoes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailseal.apply.executor import Refused
from mailseal.model import codec
from mailseal.model.change import Control
from mailseal.model.look import Vantage
from mailseal.model.plan import Plan, Proof, Receipt, Result, RunState
from mailseal.workflow.hosts import Host, HostUnreachable, Tell

HOLD_SECONDS = 300.0

UNCONTROLLED = Control()
"""No approvals, and no policy that asks for any."""


class Unsettled(Exception):
    """The host was lost while a change was under way. `str()` says what becomes of it."""


@dataclass(frozen=True)
class Talk:
    """How the workflow speaks with the operator. `ask` gives True for yes; the text ends without a
    question mark's answer. `accept_unproven` keeps a change that no look from here could prove.
    """

    show: Callable[[Plan], None]
    ask: Callable[[str], bool]
    tell: Tell
    accept_unproven: bool = False


@dataclass(frozen=True)
class Sealed:
    """What came of it. `receipt` is None where the operator said no and nothing was changed.
    `proofs` are the looks from here, `sealed` whether they prove every claim.
    """

    receipt: Receipt | None
    proofs: tuple[Proof, ...]
    sealed: bool


def seal(
    host: Host, made: Plan, talk: Talk, hold: float = HOLD_SECONDS, given: Control = UNCONTROLLED
) -> Sealed:
    """Shows the plan, asks, and applies it; `given` are the policies that it must meet. Raises
    Refused, HostUnreachable.
    """
    talk.show(made)
    if not talk.ask("Apply this plan to %s" % made.host):
        return Sealed(None, (), False)
    return apply(host, made, codec.dumps(made).encode("ascii"), talk, hold, given)


def apply(
    host: Host,
    made: Plan,
    payload: bytes,
    talk: Talk,
    hold: float,
    given: Control = UNCONTROLLED,
) -> Sealed:
    """Applies a plan's exact payload and sees to it that it is confirmed or undone; `given` are its
    approvals, and the policies that it must meet. Raises Refused (nothing was changed), Unsettled.
    """
    try:
        receipt = host.apply(payload, hold, talk.tell, given)
    except HostUnreachable as error:
        words = "%s. What may have been changed on %s undoes itself; see `mailseal runs` there."
        raise Unsettled(words % (error, made.host)) from None
    if receipt.state is not RunState.HELD:
        return Sealed(receipt, receipt.proofs, False)
    try:
        return _confirm(host, made, receipt, talk)
    except HostUnreachable as error:
        words = "%s. The change on %s is undone at %s; see `mailseal runs` there."
        raise Unsettled(words % (error, made.host, receipt.deadline)) from None
    except Refused:
        # The dead-man was faster than we were.
        told = [each for each in host.receipts() if each.run == receipt.run]
        if not told or told[0].state is RunState.HELD:
            raise
        return Sealed(told[0], told[0].proofs, False)
    except BaseException:
        talk.tell("the change is not confirmed: it is undone at %s" % receipt.deadline)
        raise


def _confirm(host: Host, made: Plan, receipt: Receipt, talk: Talk) -> Sealed:
    if not host.remote:
        return _confirm_by_operator(host, receipt, talk)
    talk.tell("looking from here, over a fresh connection")
    claims = [claim for claim in made.claims if claim.vantage is Vantage.REMOTE]
    with host.prove_from_here() as prove:
        proofs = prove(claims)
    for proof in proofs:
        talk.tell(wording(proof))
    if any(proof.result is Result.FAIL for proof in proofs):
        talk.tell("undoing: a claim does not hold from here")
        return Sealed(host.rollback(receipt.run, False, talk.tell), proofs, False)
    unproven = [proof for proof in proofs if proof.result is not Result.PASS]
    if unproven and not talk.accept_unproven and not talk.ask(_unproven(unproven)):
        return Sealed(host.rollback(receipt.run, False, talk.tell), proofs, False)
    done = host.confirm(receipt.run, "a look from another host", proofs)
    return Sealed(done, proofs, not unproven)


def _confirm_by_operator(host: Host, receipt: Receipt, talk: Talk) -> Sealed:
    question = (
        "The host's own looks found nothing wrong. Look from another host now (`mailseal verify`), "
        "then keep the change (it is undone at %s otherwise)" % receipt.deadline
    )
    if talk.ask(question):
        return Sealed(host.confirm(receipt.run, "the operator", ()), receipt.proofs, False)
    talk.tell("undoing: the change was not confirmed")
    return Sealed(host.rollback(receipt.run, False, talk.tell), receipt.proofs, False)


def _unproven(proofs: Sequence[Proof]) -> str:
    lines = "; ".join(wording(proof) for proof in proofs)
    return "Not everything could be seen from here (%s). Keep the change all the same" % lines


def wording(proof: Proof) -> str:
    """A proof in one line."""
    claim = proof.claim
    evidence = "; ".join(proof.evidence)
    return "%s: %s at %s: %s" % (proof.result.value, claim.kind.value, claim.endpoint, evidence)
