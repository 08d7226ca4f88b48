"""From facts and options to a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mailseal import starters
from mailseal.facts.scope import digest
from mailseal.model.host import HostFacts
from mailseal.model.look import Endpoint
from mailseal.model.plan import STAGED, ClaimKind, Plan, Scope
from mailseal.plan import admit, gateway, native, retire, steered, wrap
from mailseal.plan.base import (
    AlreadySealed,
    Cannot,
    Options,
    Request,
    Steps,
    claims,
    neighbours,
    served,
)
from mailseal.plan.seen import Seen, lines, noise
from mailseal.starters.base import Start

_STRATEGIES: dict[str, Callable[[Request], Steps]] = {
    "wrap": admit.steps,
    "retire": retire.steps,
    "native": native.steps,
    "gateway": gateway.steps,
}


_NOT_SMTP = {
    "wrap": "SMTP is not put behind stunnel: to the MTA every client would be this host itself, "
    "which it trusts to relay, so anybody could send mail to anybody (an open relay). The MTA "
    "enforces TLS itself: --strategy native. TLS in front on another host is no better where the "
    "MTA trusts that host",
    "retire": "SMTP is not turned off: this host would take no mail any more. The MTA can refuse "
    "logins outside TLS: --strategy native",
    "gateway": "SMTP is not put behind a gateway: to the MTA every client would be the gateway, "
    "and where it trusts that host or its network, anybody could send mail to anybody (an open "
    "relay). The MTA enforces TLS itself: --strategy native",
}
"""Why strategies are not for SMTP, and what to do."""


def make(
    facts: HostFacts, port: int, protocol: str, options: Options, seen: Seen | None = None
) -> Plan:
    """The plan for the service on a port of the host that `facts` describe. `seen` are the logins
    there; None: nobody was asked about them.

    Raises Cannot where there is nothing to fix, or no way that is safe.
    """
    because = ""
    if not options.strategy:
        chosen, because = _choose(facts, port, protocol)
        options = replace(options, strategy=chosen)
    if options.strategy not in _STRATEGIES:
        known = ", ".join(_STRATEGIES)
        raise Cannot("there is no strategy %r; there are: %s" % (options.strategy, known))
    if options.excepted and facts.init != "systemd":
        raise Cannot("exceptions end by a timer of systemd, which does not run this host")
    if options.excepted and options.strategy == "retire":
        raise Cannot("a service that is turned off has no exceptions: leave --except out")
    if protocol == "smtp" and options.strategy in _NOT_SMTP:
        raise Cannot(_NOT_SMTP[options.strategy])
    if (options.strategy == "gateway") != bool(options.backend):
        raise Cannot("--strategy gateway and --backend go together")
    start = gateway.start(facts, port) if options.backend else _start(facts, port, options)
    addresses = served(facts, start.listeners)
    if not addresses:
        raise Cannot("no address of this host is known at which port %d is served" % port)
    before = claims((ClaimKind.CLEARTEXT_SERVED,), addresses, port, {"name": options.name})
    everybody = options.strategy == "retire"
    steps = _STRATEGIES[options.strategy](Request(facts, start, port, protocol, options))
    stage = options.stage if options.strategy in STAGED else "enforce"
    networks = [each.network for each in options.excepted]
    loud = noise(seen, everybody, networks) if seen and stage == "enforce" else ""
    if loud:
        raise Cannot("it is not quiet, which was required: " + loud)
    scope = Scope(
        tuple(sorted({*start.files, *start.off.files, *steps.paths})),
        tuple(dict.fromkeys((port, *steps.ports))),
    )
    where = Endpoint(addresses[0], port)
    return Plan(
        strategy=options.strategy,
        stage=stage,
        host=facts.host,
        machine=facts.machine,
        endpoint=where,
        protocol=protocol,
        made=facts.taken,
        facts_digest=digest(facts, scope),
        scope=scope,
        headline=(
            *steps.headline,
            *((because,) if because else ()),
            *(lines(seen, everybody, networks, steps.excepts) if seen else ()),
            *((_UNUSED,) if seen and seen.unused and not everybody and protocol != "smtp" else ()),
        ),
        gap=steps.gap,
        risks=steps.risks,
        ops=steps.ops,
        claims=steps.claims + neighbours(facts, where, scope.ports, steps.ops),
        before=before if steps.before is None else steps.before,
        draft=_draft(facts),
        excepted=options.excepted,
        declared=steps.declared,
    )


_UNUSED = "Where nobody needs it, turning it off is the shorter way: --strategy retire."


def _start(facts: HostFacts, port: int, options: Options) -> Start:
    """How the service of this host is started. Raises Cannot."""
    sealed = steered.start(facts, port) if options.strategy == "wrap" else None
    if sealed and options.stage == "enforce":
        return sealed
    _refuse_again(facts, port, options)
    start = starters.find(facts, port)
    if start is None:
        raise Cannot(_no_start(facts, port))
    if start.problems:
        why = "; ".join(start.problems)
        raise Cannot("the service is started by %s, but: %s" % (start.starter, why))
    return start


def _choose(facts: HostFacts, port: int, protocol: str) -> tuple[str, str]:
    """The strategy for who names none, and why that one."""
    if protocol == "pop2":
        return "wrap", "Strategy wrap, because POP2 has no TLS of its own."
    daemon = native.daemon_at(facts, port)
    if daemon is None:
        return "wrap", "Strategy wrap, because no TLS of the service itself is known here."
    words = "Strategy native, because %s can enforce TLS itself and has a certificate."
    return "native", words % daemon.title


def affected(facts: HostFacts, port: int, protocol: str) -> tuple[int, ...]:
    """The ports where logins may end with the one that a plan is made for, that one first."""
    needed = native.asked(facts, port, protocol)
    return (port, *(each for each in needed.ports if each != port)) if needed else (port,)


def _refuse_again(facts: HostFacts, port: int, options: Options) -> None:
    """Raises AlreadySealed where the wish is fulfilled, Cannot where a change of ours is in the
    way of it.
    """
    ours = wrap.sealed_already(facts, port)
    offered = wrap.offered_already(facts, port)
    if options.strategy != "wrap" and (ours or offered):
        raise Cannot("%s: undo that first (mailseal rollback)" % (ours or offered))
    if ours:
        raise AlreadySealed(ours)
    if offered and options.stage == "offer":
        raise AlreadySealed(offered)


def _no_start(facts: HostFacts, port: int) -> str:
    there = [listener for listener in facts.listeners if listener.port == port]
    if not there:
        return "nothing listens on port %d of %s" % (port, facts.host)
    who = ", ".join(sorted({each.process or "an unseen process" for each in there}))
    words = (
        "port %d is served by %s, and neither inetd, xinetd, a systemd unit nor an init script "
        "known here starts it"
    )
    hint = "" if facts.privileged else "; as root more can be read"
    return words % (port, who) + hint


def _draft(facts: HostFacts) -> tuple[str, ...]:
    # Paths alone: a firewall or a tool that could not be asked changes no step of a plan.
    unread = sorted(item for item in facts.unread.items() if item[0].startswith("/"))
    lines: list[str] = ["%s (%s)" % (what, why) for what, why in unread]
    if not facts.privileged:
        lines.append("which process owns each listening socket (the facts were taken without root)")
    return tuple(lines)
