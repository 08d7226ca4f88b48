"""Strategy `retire`: the service is turned off. POP2 is historic since 1988; where nobody logs in
any more this is the shortest way to close the finding. SMTP is not turned off: mail would stop.
"""

from __future__ import annotations

from mailseal.model.ops import Listening
from mailseal.model.plan import ClaimKind
from mailseal.plan import opening
from mailseal.plan.base import Cannot, Request, Steps, address_list, claims, loopback, served

_ELSEWHERE = "Show its users the way to POP3 or IMAP inside TLS (ports 995, 993)."
_INSTEAD = {
    "managesieve": "Filters of users stay as they are; nobody changes them over the network.",
}


def steps(request: Request) -> Steps:
    """The starter's `off`, and every address closed. Raises Cannot."""
    start = request.start
    if start.tied:
        raise Cannot("; ".join(start.tied))
    addresses = served(request.facts, start.listeners)
    shown = address_list([a for a in addresses if not loopback(a)] or addresses, request.port)
    gone = [Listening(listener.address, listener.port, False) for listener in start.listeners]
    back = [Listening(listener.address, listener.port, True) for listener in start.listeners]
    return Steps(
        headline=(
            "EVERY EXISTING CLIENT OF %s STOPS WORKING." % shown,
            "%s is turned off. %s"
            % (request.protocol.upper(), _INSTEAD.get(request.protocol, _ELSEWHERE)),
        ),
        gap="for good: nothing answers on port %d afterwards" % request.port,
        risks=opening.not_needed(request.facts, request.port),
        ops=start.off.ops(gone, back),
        claims=claims((ClaimKind.CLOSED,), addresses, request.port, {}),
        paths=(),
        ports=(),
    )
