"""Strategy `wrap` at stage enforce with some networks excepted, where what starts the service knows
no list of networks: stunnel serves the port, and who comes from the networks is taken past it.

Strategy: everything that enforcing takes, and `terminators.relay` behind it. What is promised of
the port counts for clients outside the networks. From then on only the list changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mailseal.configs import stunnel as stunnel_config
from mailseal.model.host import HostFacts
from mailseal.model.ops import MakeDirectory, UnitAction
from mailseal.model.plan import Claim, ClaimKind
from mailseal.plan import excepted, wrap
from mailseal.plan.base import AlreadySealed, Cannot, Request, Steps, claims, loopback, served
from mailseal.starters.base import Change, Start, content, listeners_at
from mailseal.terminators import relay, stunnel


def start(facts: HostFacts, port: int) -> Start | None:
    """What stands at a port that is sealed so already; None where it is not."""
    unit = stunnel.instance(str(port))
    nothing = Change((), unit, "", "", ())
    found = Start("mailseal", unit, listeners_at(facts, port), (), nothing)
    return found if _there(facts, port) else None


def _there(facts: HostFacts, port: int) -> bool:
    ours = stunnel.instance(str(port))
    listed = facts.file(relay.names(port).list) is not None
    return listed and any(each.unit == ours for each in listeners_at(facts, port))


def _problem(facts: HostFacts, port: int) -> str:
    """Why no network can be excepted, and what to do first; empty where one can."""
    side, path = relay.names(port).port, relay.names(port).list
    taken = listeners_at(facts, side)
    if facts.file(path) is not None:
        return "%s is there, though port %d is not sealed: take it away first" % (path, port)
    if not facts.packages.get(relay.PACKAGE):
        words = (
            "its starter knows no list of networks, and there is no nft to take them past stunnel"
        )
        return words + ": install the package %s" % relay.PACKAGE
    if taken:
        who = taken[0].process or "an unseen process"
        return "port %d, which is needed on loopback, is taken by %s" % (side, who)
    return ""


def steps(request: Request) -> Steps:
    """Those of strategy wrap, and the way past it. Raises Cannot, AlreadySealed."""
    facts, port, excepting = request.facts, request.port, request.options.excepted
    if _there(facts, port):
        return _change(request)
    problem = _problem(facts, port)
    if not excepting:
        return replace(wrap.steps(request), excepts=not problem)
    if problem:
        raise Cannot("no network can be excepted: " + problem)
    made, addresses = wrap.steps(request), _addresses(request)
    placed = _placed(request, addresses)
    side = relay.names(port).port
    return replace(
        made,
        headline=(*made.headline, *excepted.headline(excepting, {port: addresses}, False)),
        risks=(*made.risks, _LOCAL % (side, port)),
        ops=(
            relay.check(port),
            *made.ops,
            # The directory is there by now.
            *(op for op in placed.first if not isinstance(op, MakeDirectory)),
            *relay.begin(port, addresses),
            *placed.last,
        ),
        claims=_promised(request, made.claims),
        paths=(*made.paths, *placed.paths),
        ports=(*made.ports, side),
        excepts=True,
    )


_LOCAL = (
    "Users of this host itself can log in without TLS on loopback port %d while the exceptions are "
    "in place. Nobody else reaches it: the networks are taken there by nftables when they connect "
    "to port %d, and without its rules they meet TLS as all others do. No log has the addresses of "
    "these clients: mailseal wire tells who is left."
)


def _change(request: Request) -> Steps:
    wrap.check(request)
    facts, port, excepting = request.facts, request.port, request.options.excepted
    addresses = _addresses(request)
    placed, unit = _placed(request, addresses), relay.names(port).steering
    if not placed.first:
        raise AlreadySealed("port %d of %s excepts just these already" % (port, facts.host))
    path = stunnel.config_path(str(port))
    document = stunnel_config.parse(content(facts, path) or b"")
    if not document.services:
        raise Cannot("%s has no service: mailseal rollback, then plan again" % path)
    options = stunnel_config.effective(document, document.services[0])
    shown = options["cert"][-1].value.text
    # It is the one that was there before: that it is the same counts, not whom it convinces.
    named = {"protocol": request.protocol, "name": request.name}
    expected = {**named, "certificate": shown, "pinned": "yes"}
    kinds = (ClaimKind.CLEARTEXT_REFUSED, ClaimKind.SERVICE_IN_TLS)
    sealed = _promised(request, claims(kinds, addresses, port, expected))
    old = " ".join(relay.listed(content(facts, relay.names(port).list) or b""))
    was = {**expected, **({"networks": old} if old else {})}
    return Steps(
        headline=excepted.headline(excepting, {port: addresses}, True),
        gap="none: nothing is restarted, and sessions that are open go on",
        risks=(),
        ops=(
            UnitAction(unit, "", "reload"),
            *placed.first,
            UnitAction(unit, "reload", ""),
            *placed.last,
        ),
        claims=sealed,
        paths=(*placed.paths, path, shown),
        ports=(relay.names(port).port,),
        before=claims((ClaimKind.SERVICE_IN_TLS,), addresses, port, was),
        excepts=True,
    )


def _addresses(request: Request) -> list[str]:
    return [a for a in served(request.facts, request.start.listeners) if not loopback(a)]


def _placed(request: Request, addresses: Sequence[str]) -> excepted.Placed:
    port, excepting = request.port, request.options.excepted
    excepted.check_families(port, addresses, excepting)
    files, door = relay.files(port, addresses), relay.door(port, addresses)
    return excepted.place(request.facts, port, door, excepting, files)


def _promised(request: Request, sealed: Sequence[Claim]) -> tuple[Claim, ...]:
    """The claims, those of the port itself for clients outside the networks alone."""
    networks = " ".join(each.network for each in request.options.excepted)
    found: list[Claim] = []
    for claim in sealed:
        at = claim.endpoint
        if at.port != request.port or loopback(at.address) or not networks:
            found.append(claim)
        elif claim.kind is ClaimKind.CLEARTEXT_REFUSED:
            alike = {name: claim.expected.get(name, "") for name in ("name", "authority")}
            found += excepted.promised(request.options.excepted, [claim], alike)
        else:
            found.append(replace(claim, expected={**claim.expected, "networks": networks}))
    return tuple(found)
