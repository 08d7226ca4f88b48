"""The mail services beside the one that was changed still listen, each at its address."""

from __future__ import annotations

from mailseal.model.look import Endpoint
from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence
from mailseal.system.base import System


def check(claim: Claim, system: System) -> Evidence:
    """`expected`: `listening`, the addresses with their ports, parted by blanks."""
    # A socket may be bound to a zone (`fe80::1%eth0`); an Endpoint writes either the same way.
    there = {str(Endpoint(each.address, each.port)) for each in system.listeners()}
    wanted = claim.expected["listening"].split()
    gone = [each for each in wanted if each not in there]
    if gone:
        return Evidence(Result.FAIL, ("nothing listens at %s any more" % ", ".join(gone),))
    return Evidence(Result.PASS, ("%d other sockets of mail services listen" % len(wanted),))
