"""The services beside the one that was changed still listen, each at its address."""

from __future__ import annotations

from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence
from mailseal.system.base import System, silent


def check(claim: Claim, system: System) -> Evidence:
    """`expected`: `listening`, the addresses with their ports, parted by blanks."""
    wanted = claim.expected["listening"].split()
    gone = silent(system, wanted)
    if gone:
        return Evidence(Result.FAIL, ("nothing listens at %s any more" % ", ".join(gone),))
    return Evidence(Result.PASS, ("%d other sockets listen" % len(wanted),))
