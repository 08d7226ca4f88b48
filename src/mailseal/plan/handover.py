"""How a port changes hands in stage enforce without a client that is refused.

Between the old listener and stunnel's nobody listens; stunnel does not either while it reloads (the
listener of stage offer). That is all the gap that there is: the port where TLS is served besides is
new, and sessions that are open are not touched by a reload. So a second stunnel takes the new
connections of just these ports meanwhile (`terminators.second`), and the same on the way back.

A daemon that has to go on listening itself, in a network of its own, is restarted for it, and a
socket unit that moves is stopped: there is no backend meanwhile that a second stunnel could show.
The short gap stays, as it does where there is no nftables, and the plan tells it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailseal.model.ops import Listening, Op, Steer
from mailseal.plan import lost
from mailseal.plan.base import Request
from mailseal.plan.front import Front
from mailseal.terminators import second, stunnel

SECONDS = 30.0
"""In which sessions can end by themselves, before what serves them is stopped."""

_GAP = (
    "none: nftables leads new connections to a second stunnel while the port changes hands, there "
    "and back; sessions that are in what is stopped then have %d seconds to end"
)


@dataclass(frozen=True)
class Handover:
    """The ops before the old listener goes and after the new one is there; the gap in words."""

    begin: tuple[Op, ...]
    end: tuple[Op, ...]
    gap: str


def plan(
    request: Request,
    front: Front,
    connect: str,
    routes: Sequence[tuple[str, int]],
    ports: Sequence[int],
    gap: str,
) -> Handover:
    """Around what changes at `routes`: addresses and ports. `ports` are those of the first stunnel,
    `gap` is what there is without this.
    """
    facts, start, package = request.facts, request.start, stunnel.package(request.facts.manager)
    able = facts.packages.get("nftables") and package is stunnel.DEBIAN
    able = able and facts.init == "systemd"
    backend = request.server and start.moved is None
    if request.options.handover != "auto" or not able or not backend:
        return Handover((), (), gap)
    rules = lost.rules(request)
    listens = second.hosts([address for address, _ in routes])
    begin = Steer(
        name=front.name,
        routes=tuple(Listening(address, port, True) for address, port in routes),
        configuration=second.configuration(
            *(request.protocol, listens, connect, front.certificate, front.key),
            rules,
        ),
        socket=second.socket(listens),
        service=second.service(package.program, front.name),
        group=stunnel.GROUP,
        # Whom the rules of hosts_access(5) let in cannot be seen from here; the trial has shown
        # that the options work.
        protocol="" if rules.name else request.protocol,
        server=request.name,
        authority=front.authority,
        do="begin",
        undo="end",
        without=gap,
        drains=() if start.off.forward == "reload" else (request.port,),
        seconds=SECONDS,
    )
    end = replace(begin, do="end", undo="begin", drains=tuple(ports))
    return Handover((begin,), (end,), _GAP % SECONDS)
