"""Strategy `wrap` with some networks excepted. Where the starter can, the port stays in cleartext,
and it lets in the networks and the host itself alone: that is stunnel, which offers TLS beside the
port already. Elsewhere `plan.steered` says how.

When nobody is excepted any more, nobody is let in from outside, and TLS stays where it is offered.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailseal.model.ops import UnitAction
from mailseal.model.plan import ClaimKind
from mailseal.plan import excepted, steered, wrap
from mailseal.plan.base import (
    AlreadySealed,
    Cannot,
    Request,
    Steps,
    address_list,
    claims,
    loopback,
    served,
)
from mailseal.starters.base import Admission


def steps(request: Request) -> Steps:
    """Those of strategy wrap. Raises Cannot, AlreadySealed."""
    admission = request.start.admission
    if request.options.stage != "enforce":
        return wrap.steps(request)
    if admission is None:
        return steered.steps(request)
    if request.options.excepted or not admission.edit:
        wrap.check(request)
        return _except(request, admission)
    return wrap.steps(request)


def _except(request: Request, admission: Admission) -> Steps:
    start, port, excepting = request.start, request.port, request.options.excepted
    offered = wrap.offering(request.facts, port)
    problems = _no_exception(request, admission, offered)
    if problems:
        raise Cannot("no network can be excepted: " + "; ".join(problems))
    door = admission.door
    placed = excepted.place(request.facts, port, door, excepting)
    if not placed.first:
        raise AlreadySealed("port %d of %s excepts just these already" % (port, request.facts.host))
    there = not admission.edit
    addresses = [a for a in served(request.facts, start.listeners) if not loopback(a)]
    name = {"name": request.name}
    refused = claims((ClaimKind.CLEARTEXT_REFUSED,), addresses, port, name)
    promised, where = excepted.promised(excepting, refused, name), []
    for terminator in offered:
        # It is the one that was there before: that it is the same counts, not whom it convinces.
        shown = {"certificate": terminator.value("cert"), "pinned": "yes"}
        expected = {**name, "protocol": request.protocol, **shown}
        for listener in terminator.listeners:
            kinds = (ClaimKind.SERVICE_IN_TLS,)
            promised += claims(kinds, [listener.address], listener.port, expected)
            where.append(listener.port)
    unit = door.reloaded
    back = (UnitAction(unit, "", "reload"),) if unit else ()
    forward = (UnitAction(unit, "reload", ""),) if unit else ()
    return Steps(
        headline=(
            *(() if there else (_outside(addresses, port, where),)),
            *excepted.headline(excepting, {port: addresses}, there),
        ),
        gap="none: %s is not restarted, and sessions that are open go on" % start.starter,
        risks=(),
        ops=(*back, *admission.edit, *placed.first, *forward, *placed.last),
        claims=promised,
        paths=(*placed.paths, *wrap.offered_paths(request)),
        ports=tuple(dict.fromkeys(where)),
        before=tuple(each for each in promised if each.kind is ClaimKind.SERVICE_IN_TLS)
        if there
        else None,
        excepts=True,
    )


def _outside(addresses: Sequence[str], port: int, offered: Sequence[int]) -> str:
    words = (
        "EVERY CLEARTEXT CLIENT OF %s STOPS WORKING, but for those named below; TLS is on port %s."
    )
    ports = ", ".join(str(each) for each in dict.fromkeys(offered))
    return words % (address_list(addresses, port), ports)


def _no_exception(
    request: Request, admission: Admission, offered: Sequence[wrap.Offering]
) -> tuple[str, ...]:
    """Why, and what to do first; empty where networks can be excepted."""
    if not offered:
        words = "it leaves port %d in cleartext, so TLS has to be on another: --stage offer first"
        return (words % request.port,)
    asked = [each.unit for each in offered if each.guarded]
    if asked and admission.door.hosts:
        return ("%s asks hosts.allow by the name of the service as well" % asked[0],)
    if not loopback(wrap.answers_at(request).rpartition(":")[0]):
        return ("%s does not serve loopback, from where TLS is offered" % request.start.starter,)
    return admission.problems
