"""What `mailseal rehearse` does: the transaction of `apply`, on a throwaway copy of the host.

Strategy: the copy is one more host, so it is changed by the same workflow, the same agent and the
same executor as a host at the other end of ssh, and looked at from outside it. What holds is
confirmed there and rolled back, so that both ways are seen. Approvals and windows are not asked
for: nothing real is changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailseal.apply.executor import Refused
from mailseal.model.ops import InstallPackage
from mailseal.model.plan import Plan, Receipt, RunState
from mailseal.workflow.copies import copied
from mailseal.workflow.hosts import Host, Tell
from mailseal.workflow.seal import HOLD_SECONDS, Sealed, Talk, Unsettled, apply


@dataclass(frozen=True)
class Rehearsal:
    """What came of it: `applied` is what `apply` would give, `back` the receipt of the rollback
    (None where there was nothing to roll back), `gaps` what the copy lacked.
    """

    applied: Sealed
    back: Receipt | None
    gaps: tuple[str, ...]


def rehearse(made: Plan, payload: bytes, target: str | None, tell: Tell) -> Rehearsal:
    """Rehearses a plan's exact payload on the host of a target (`ssh://...`; None: this one).
    Raises Refused, also where no copy can be made, BadInput for a target that is none, and
    HostUnreachable where the host is, or the copy is lost on the way.
    """
    wanted = [op.name for op in made.ops if isinstance(op, InstallPackage)]
    tell("making a copy of this host" if target is None else "making a copy of " + target)
    with copied(target, wanted, made.host, tell) as (host, gaps):
        return both_ways(host, made, payload, tell, gaps)


def both_ways(
    host: Host, made: Plan, payload: bytes, tell: Tell, gaps: tuple[str, ...]
) -> Rehearsal:
    """Applies the plan to the copy `host`, and rolls back what held. Raises Refused."""
    talk = Talk(lambda shown: None, lambda question: True, tell, accept_unproven=True)
    try:
        applied = apply(host, made, payload, talk, HOLD_SECONDS)
    except Refused as refused:
        words = "the copy, which is the host as it is after a boot, refuses the plan:"
        raise Refused([words, *refused.problems, *gaps]) from None
    except Unsettled as error:
        raise Refused(["the copy was lost on the way: %s" % error.__context__]) from None
    back = None
    if applied.receipt is not None and applied.receipt.state is RunState.COMMITTED:
        tell("rolling back")
        back = host.rollback(applied.receipt.run, False, tell)
    return Rehearsal(applied, back, gaps)
