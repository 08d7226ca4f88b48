"""Strategy `native`: the daemon's own enforcement of TLS before login.

For daemons that speak STARTTLS and have a certificate. The record in `daemons/` says which file and
setting have effect for the endpoint alone; here that becomes steps: change the file, let the
daemon's own tools check it and tell the value in effect, then reload (or restart what cannot). The
certificate is the one that is there, so it is the same one that counts, and not who trusts it.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailseal import daemons
from mailseal.daemons.base import Daemon, Effect, Enforcement
from mailseal.daemons.behind import behind
from mailseal.model.host import HostFacts
from mailseal.model.ops import Listening, Op, UnitAction
from mailseal.model.plan import Claim, ClaimKind
from mailseal.plan import aside, excepted
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
from mailseal.starters.base import edit, listeners_at


def daemon_at(facts: HostFacts, port: int) -> Daemon | None:
    """The daemon on a port, where it is one that can enforce TLS itself."""
    found = [daemons.of(each.executable) for each in listeners_at(facts, port)]
    daemon = found[0] if found else None
    alone = all(each is daemon for each in found)
    return daemon if daemon and daemon.native and alone else None


def asked(
    facts: HostFacts, port: int, protocol: str, excepting: bool = False
) -> Enforcement | None:
    """What it takes at a port; None where no daemon there can do it. `excepting`: with room for
    exceptions.
    """
    daemon = daemon_at(facts, port)
    if daemon is None or daemon.native is None:
        return None
    units = {each.unit for each in listeners_at(facts, port)}
    if not units <= {*daemon.native.units}:
        words = "%s on port %d is run by %s, and not by its usual unit: its files are not known"
        return Enforcement((words % (daemon.title, port, ", ".join(sorted(units))),))
    if excepting and daemon.native.excepting is None:
        words = "%s excepts no network: %s; %s"
        way = _way(facts, port, protocol)
        return Enforcement((words % (daemon.title, daemon.native.no_door, way),))
    enforce = daemon.native.excepting if excepting else daemon.native.enforce
    assert enforce is not None
    return enforce(facts, port, protocol)


def _way(facts: HostFacts, port: int, protocol: str) -> str:
    """What else there is for who wants networks excepted."""
    executable = listeners_at(facts, port)[0].executable
    if protocol == "smtp" or behind(facts, executable, protocol).enforce_refused:
        return "leave --except out, or wait until the clients of these networks speak TLS"
    return "--strategy wrap takes them past stunnel"


def steps(request: Request) -> Steps:
    """The steps. Raises Cannot, AlreadySealed."""
    facts, port = request.facts, request.port
    exceptions = request.options.excepted
    needed = asked(facts, port, request.protocol, bool(exceptions))
    daemon = daemon_at(facts, port)
    if request.options.stage != "enforce":
        raise Cannot("native has no stage offer: the daemon offers TLS already")
    if request.options.given:
        raise Cannot("native keeps the daemon's certificate: leave --cert and --key out")
    native = daemon.native if daemon else None
    if needed is None or daemon is None or native is None:
        known = ", ".join(each.title for each in daemons.DAEMONS if each.native)
        raise Cannot("port %d is served by none of %s: native knows these" % (port, known))
    if needed.problems:
        raise Cannot("; ".join(needed.problems))
    way, placed = aside.way(request, needed, _reached(facts, port)), excepted.NONE
    door = aside.door(request, needed)
    if door:
        placed = excepted.place(facts, port, door, exceptions, way.files)
    if needed.already and not placed.first:
        raise AlreadySealed(needed.already)
    reached = {each: _reached(facts, each) for each in needed.ports}
    if not any(reached.values()):
        words = "port %d is served on loopback alone: no password crosses the network there"
        raise Cannot(words % port)
    # Of a host that enforces already only the exceptions change, and TLS is there before and after.
    before = (ClaimKind.CLEARTEXT_SERVED, _name(request))
    if needed.already:
        before = (ClaimKind.SERVICE_IN_TLS, _served(request, needed))
    return Steps(
        headline=(
            *(() if needed.already else _headline(request, daemon, reached)),
            *excepted.headline(exceptions, reached, bool(needed.already)),
            *needed.told,
        ),
        gap=native.effect.gap % daemon.title,
        risks=(*needed.risks, *way.risks),
        ops=_ops(request, needed, native.effect, placed, way),
        claims=_claims(request, needed, reached) + way.claims,
        paths=(*needed.paths, *placed.paths, *way.paths),
        ports=(*needed.ports, *way.ports),
        excepts=native.excepting is not None,
        before=tuple(
            claim
            for each, addresses in reached.items()
            for claim in claims(before[:1], addresses, each, before[1])
        ),
    )


def _name(request: Request) -> dict[str, str]:
    return {"name": request.options.name}


def _reached(facts: HostFacts, port: int) -> Sequence[str]:
    """The addresses where a password would cross the network. Daemons take loopback for safe."""
    return [each for each in served(facts, listeners_at(facts, port)) if not loopback(each)]


def _served(request: Request, needed: Enforcement) -> dict[str, str]:
    """What a look at the service inside TLS is held against."""
    return {
        **_name(request),
        "protocol": request.protocol,
        "certificate": needed.certificate,
        "pinned": "yes",
    }


def _headline(
    request: Request, daemon: Daemon, reached: dict[int, Sequence[str]]
) -> tuple[str, ...]:
    where = "; ".join(address_list(each, port) for port, each in reached.items() if each)
    return (
        "EVERY CLIENT THAT LOGS IN WITHOUT TLS AT %s STOPS WORKING." % where,
        "%s itself refuses them. Clients that use STARTTLS go on as before, with the certificate "
        "that it has." % daemon.title,
    )


def _ops(
    request: Request,
    needed: Enforcement,
    effect: Effect,
    placed: excepted.Placed,
    way: aside.Way,
) -> tuple[Op, ...]:
    unit = request.start.unit
    # Where they are new ones, whoever looks sooner is answered by the old daemon, or by nobody.
    sockets = tuple(
        Listening(each.address, each.port, True, anew=True)
        for each in request.facts.listeners
        if each.unit == unit and effect.anew
    )
    edits: list[Op] = []
    for path, splices in needed.splices:
        fact = request.facts.file(path)
        assert fact is not None
        assert fact.content is not None
        edits.append(edit(path, fact.content, splices))
    # On the way back the files come first and the reload after them.
    return (
        *way.check,
        *way.undone,
        UnitAction(unit, "", effect.word, after_undo=(*sockets, *way.gone)),
        *edits,
        *placed.first,
        *needed.checks,
        *way.opens,
        UnitAction(unit, effect.word, "", after_do=(*sockets, *way.listening)),
        *needed.after,
        *way.begin,
        *placed.last,
    )


def _claims(
    request: Request, needed: Enforcement, reached: dict[int, Sequence[str]]
) -> tuple[Claim, ...]:
    expected = _served(request, needed)
    found: list[Claim] = []
    for port, addresses in reached.items():
        refused = claims((ClaimKind.CLEARTEXT_REFUSED,), addresses, port, expected)
        found += excepted.promised(request.options.excepted, refused, _name(request))
        found += claims((ClaimKind.SERVICE_IN_TLS,), addresses, port, expected)
    return tuple(found)
