"""Strategy `gateway`: TLS in front on another host, for a backend that is too old to touch.

Nothing is installed or changed on the backend. stunnel stands on the gateway, at a port that
nothing has there yet; so there is no service to look for, and a rollback leaves the port closed.
The second leg, from the gateway to the backend, is TLS too, or the operator declares it trusted:
the words stand in the plan and in the receipt.

That only the gateway reaches the backend is for the backend's firewall or the network to do. Stage
`offer` leaves the backend as it is; stage `enforce` promises that nobody else reaches it, and is
undone where somebody does. The way from one to the other is a change of the firewall alone, so
`enforce` after `offer` has nothing left to do but to prove it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from mailseal.configs import stunnel as config
from mailseal.firewalls import only
from mailseal.model.host import HostFacts, Listener
from mailseal.model.look import Vantage
from mailseal.model.plan import Claim, ClaimKind
from mailseal.plan import wrap
from mailseal.plan.base import (
    AlreadySealed,
    Backend,
    Cannot,
    Request,
    Steps,
    address_list,
    claims,
    link_local,
    loopback,
    served,
)
from mailseal.plan.front import enable, expected_of, prepare, renewal_told, rests_on, trial
from mailseal.starters.base import Change, Start, listeners_at
from mailseal.terminators import inits, stunnel
from mailseal.terminators.stunnel import Leg

_SEALED = (ClaimKind.CLEARTEXT_REFUSED, ClaimKind.SERVICE_IN_TLS)
_NOBODY = Change((), "", "", "", ())


def start(facts: HostFacts, port: int) -> Start:
    """What the port of a gateway has in place of a service: our own terminator, or the addresses
    where one can stand. Raises Cannot where somebody has the port.
    """
    here = listeners_at(facts, port)
    if here and not wrap.sealed_already(facts, port):
        who = here[0].process or "an unseen process"
        raise Cannot(
            "port %d of the gateway is taken by %s: choose another with --port" % (port, who)
        )
    wild = tuple(Listener(each, port, 0, "", "", "") for each in ("0.0.0.0", "::"))
    return Start("nothing", "", here or wild, (), _NOBODY)


def steps(request: Request) -> Steps:
    """The steps of either stage. Raises Cannot."""
    backend = request.options.backend
    assert backend is not None
    if request.facts.init != "systemd":
        raise Cannot("this host is not run by systemd, and stunnel's unit needs it: take another")
    if request.options.excepted:
        raise Cannot(
            "a gateway excepts nobody: leave --except out, and stop at stage offer while the "
            "backend's firewall lets others in as well"
        )
    wrap.check(request)
    _check(request, backend)
    standing = request.start.listeners[0].unit
    made = _standing(request, backend, standing) if standing else _front(request, backend)
    if request.options.stage == "offer":
        return made
    return _enforced(request, backend, made)


def _check(request: Request, backend: Backend) -> None:
    local = {fact.address for fact in request.facts.addresses}
    for place in backend.places:
        if place.address in local or loopback(place.address):
            raise Cannot(
                "%s is the gateway itself: a service of this host is sealed with --strategy wrap"
                % place
            )
        address = ipaddress.ip_address(place.address)
        if address.is_unspecified or address.is_multicast or link_local(place.address):
            raise Cannot("%s is no address of a backend on another host" % place)
    if not _sources(request, backend):
        raise Cannot("the gateway has no address of the family of %s" % backend.places[0])


# -- what stands at the gateway --------------------------------------------------------------------


def _front(request: Request, backend: Backend) -> Steps:
    addresses = [a for a in served(request.facts, request.start.listeners) if not loopback(a)]
    front = wrap.front_of(request, request.port)
    beside, told = wrap.tls_beside(request)
    ports = (request.port, *beside)
    accepts = [(address, port) for port in ports for address in addresses]
    words = [stunnel.accept(address, port) for address, port in accepts]
    connect = _connect(backend)
    ops = (
        *prepare(request, front, words, connect),
        *inits.of(request.facts).reread,
        trial(request, front, connect),
        *enable(request, front, accepts),
    )
    promised: tuple[Claim, ...] = ()
    before: tuple[Claim, ...] = ()
    for port in ports:
        promised += claims(_SEALED, addresses, port, expected_of(request, front))
        before += claims((ClaimKind.CLOSED,), addresses, port, {})
    shown = ", ".join(address_list(addresses, port) for port in ports)
    return Steps(
        headline=(
            "TLS is offered on %s, for the backend %s. Nothing is changed on the backend."
            % (shown, backend.places[0]),
            "Nobody is cut off: the backend goes on serving cleartext to everybody who reaches it. "
            "The finding there stays open until stage enforce.",
        ),
        gap="none: nothing that runs is touched",
        risks=(*_risks(request, backend), renewal_told(request), *told),
        ops=ops,
        claims=promised,
        paths=rests_on(request, front),
        ports=beside,
        before=before,
        declared=_declared(backend),
    )


def _standing(request: Request, backend: Backend, unit: str) -> Steps:
    """Our own terminator serves the port already. Raises Cannot where another backend is behind it,
    AlreadySealed where that is all that is asked for.
    """
    facts = request.facts
    path = stunnel.config_path(unit[len("mailseal@") : -len(".service")])
    fact = facts.file(path)
    document = config.parse((fact.content if fact else None) or b"")
    connect = _connect(backend)
    wanted = connect.options() if isinstance(connect, Leg) else (("connect", connect),)
    options = [[(o.key.text, o.value.text) for o in each.options] for each in document.services]
    # Exactly so: cleartext to the same place is another way than TLS.
    if not any([each for each in one if each[0] != "accept"] == [*wanted] for one in options):
        raise Cannot(
            "port %d is served by %s already, in front of something else or by another way: undo "
            "that first (mailseal rollback)" % (request.port, unit)
        )
    if request.options.stage == "offer":
        raise AlreadySealed("port %d is served by %s already" % (request.port, unit))
    shown = config.effective(document, document.services[0])["cert"][-1].value.text
    given = request.options.given
    private = stunnel.DIRECTORY + "/ca.crt" if facts.file(stunnel.DIRECTORY + "/ca.crt") else ""
    expected = {
        "protocol": request.protocol,
        "name": request.name,
        "certificate": shown,
        "authority": given.authority if given else private,
    }
    ours = [each for each in facts.listeners if each.unit == unit]
    promised = tuple(
        claim for each in ours for claim in claims(_SEALED, [each.address], each.port, expected)
    )
    return Steps(
        headline=("TLS is served by %s already; nothing is changed on the gateway." % unit,),
        gap="none on the gateway",
        risks=_risks(request, backend),
        ops=(),
        claims=promised,
        paths=(path, shown),
        ports=tuple({each.port for each in ours} - {request.port}),
        before=promised,
        declared=_declared(backend),
    )


def _connect(backend: Backend) -> str | Leg:
    place = backend.places[0]
    connect = stunnel.accept(place.address, place.port)
    return Leg(connect, backend.name, backend.authority) if backend.name else connect


# -- stage enforce ---------------------------------------------------------------------------------


def _enforced(request: Request, backend: Backend, made: Steps) -> Steps:
    """The same, and the promise that nobody but the gateway reaches the backend."""
    places = ", ".join(map(str, backend.places))
    closed = tuple(Claim(ClaimKind.CLOSED, place, Vantage.REMOTE, {}) for place in backend.places)
    return replace(
        made,
        headline=(
            "ONLY THE GATEWAY MAY REACH %s: WHOEVER ELSE STILL DOES IS TO BE SHUT OUT." % places,
            "Close the backend first, by one of the lines below: this changes the gateway alone, "
            "and is undone where the backend still answers anybody else.",
            *(line for line in made.headline if not line.startswith("Nobody is cut off")),
        ),
        claims=made.claims + closed,
    )


# -- words -----------------------------------------------------------------------------------------


def _declared(backend: Backend) -> tuple[str, ...]:
    words = "the way from the gateway to %s carries cleartext and is trusted: %s"
    return (words % (backend.places[0], backend.trust),) if backend.trust else ()


def _sources(request: Request, backend: Backend) -> list[str]:
    """The addresses from which the gateway may come to the backend."""
    six = ":" in backend.places[0].address
    return [
        fact.address
        for fact in request.facts.addresses
        if (":" in fact.address) == six and not (loopback(fact.address) or link_local(fact.address))
    ]


def _risks(request: Request, backend: Backend) -> tuple[str, ...]:
    sources = _sources(request, backend)
    ports = tuple(dict.fromkeys(place.port for place in backend.places))
    risks = [
        "To the backend every client comes from %s: its log, hosts.allow, fail2ban and limits per "
        "client (Courier's MAXPERIP, Dovecot's mail_max_userip_connections) see the gateway alone. "
        "The gateway's log has the client (journalctl -u 'mailseal@*')." % " or ".join(sources)
    ]
    if backend.trust:
        risks.append(
            "Whoever can listen between the gateway and %s reads every password there."
            % backend.places[0]
        )
    risks.append(
        "That the backend is closed is seen from where mailseal runs, and at %s alone: name every "
        "address and port of it with --backend." % ", ".join(map(str, backend.places))
    )
    risks.append("An address that the gateway gets later is not served: plan again then.")
    lines = only.lines(sources, ports)
    return (
        *risks,
        *("To close the backend, with %s: %s" % (name, each.close) for name, each in lines),
        *("To open the backend again, with %s: %s" % (name, each.open) for name, each in lines),
    )
