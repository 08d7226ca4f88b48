"""Strategy `wrap`: TLS in front on the same host. POP2's only way on the host itself, and that of
POP3 and IMAP daemons that know no TLS.

Stage `offer` puts TLS on another port beside the cleartext service. Stage `enforce` takes the
service off the network, hangs it on a socket that only stunnel can open, and lets stunnel serve
every address that was served before: at the port itself, which is then proven to speak nothing but
TLS, and at the port where clients of the protocol look for TLS, if nobody has it.

What the service loses by it is carried into stunnel (hosts_access(5)) or told (`plan.lost`). SMTP
is refused: to an MTA every client behind stunnel is the host itself, which may relay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailseal.configs import stunnel as stunnel_config
from mailseal.model.host import HostFacts, Listener
from mailseal.model.look import Endpoint, Vantage
from mailseal.model.ops import (
    CopyFile,
    IssueCertificate,
    Listening,
    Op,
    UnitAction,
)
from mailseal.model.plan import Claim, ClaimKind
from mailseal.plan import handover, lost, opening, renewed
from mailseal.plan.base import (
    Cannot,
    Request,
    Steps,
    address_list,
    claims,
    link_local,
    loopback,
    served,
)
from mailseal.plan.front import (
    Front,
    enable,
    expected_of,
    prepare,
    renewal_told,
    rests_on,
    trial,
)
from mailseal.starters.base import ACCESS, edit, listeners_at
from mailseal.terminators import elsewhere, inits, stunnel
from mailseal.terminators.renewal import Copied, Issued

_CUT = {
    "restart": "; sessions that are open then are cut, since the service is restarted",
    "stop": "; sessions that are open then may be cut, since the service is stopped",
    "start": "; sessions that are open then go on, unless their unit requires the socket unit",
}
_ALONE = (
    "%s gets a network of its own, so that nobody but stunnel reaches it: it can no longer open "
    "connections itself (DNS, LDAP, a database over TCP). Files and Unix sockets stay. Where "
    "logins need the network, log in through TLS before you confirm."
)
_NO_SOCKET = (
    "%s cannot hand the service to stunnel alone: on a host without systemd only openbsd-inetd, "
    "where it does not ask hosts.allow itself (-l), opens a Unix socket for it, and at a port of "
    "loopback everybody on this host would log in without TLS. Move the service there, or stop at "
    "--stage offer; `mailseal runbook %s TARGET` has the way by loopback; --strategy retire turns "
    "the service off"
)
_SIDE = 1109
_OFFERED_AT = {"pop3": 995, "imap": 993}
_BESIDE = {("pop3", 110): 995, ("imap", 143): 993}
"""Where clients look for TLS from the first octet (RFC 8314, 3.2 and 3.3). POP2 and ManageSieve
have no such port. Only what is at the usual port itself is also looked for there.
"""

_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*")
"""What a certificate can be for, besides addresses; also what openssl.cnf(5) takes literally."""


def sealed_already(facts: HostFacts, port: int) -> str:
    """What of ours serves this port, in words; empty where nothing does. Raises Cannot where
    somebody else does as well, at another address.
    """
    here = listeners_at(facts, port)
    ours = sorted({each.unit for each in here if each.unit.startswith("mailseal@")})
    others = sorted({each.process or "an unseen process" for each in here if each.unit not in ours})
    if not ours:
        return ""
    unit = ours[0]
    if others:
        raise Cannot(
            "port %d is served by %s and, at other addresses, by %s: undo the first (mailseal "
            "rollback), then seal again" % (port, unit, ", ".join(others))
        )
    return "port %d is served by %s already" % (port, unit)


def offered_already(facts: HostFacts, port: int) -> str:
    """What of ours offers TLS beside this port, in words; empty where nothing does."""
    units = ", ".join(each.unit for each in offering(facts, port))
    return "TLS is offered beside port %d by %s already" % (port, units) if units else ""


def steps(request: Request) -> Steps:
    """The steps of either stage. Raises Cannot."""
    check(request)
    if request.behind.refused:
        raise Cannot(request.behind.refused)
    if request.options.stage == "offer":
        return _offer(request)
    return _enforce(request)


def check(request: Request) -> None:
    """Raises Cannot where no stunnel of ours can stand on this host, or not as it is wished for."""
    facts, options, given = request.facts, request.options, request.options.given
    if options.stage not in ("offer", "enforce"):
        raise Cannot("there is no stage %r; there are: offer, enforce" % options.stage)
    try:
        inits.of(facts)
    except LookupError as error:
        raise Cannot(
            "%s, and stunnel has to be started by one of them: `mailseal runbook %s TARGET` has "
            "the steps by hand; --strategy retire turns the service off"
            % (error, elsewhere.named(facts.system))
        ) from None
    package = stunnel.package(facts.manager).name
    line = facts.tools.get(package, "")
    version = stunnel.version(line)
    if facts.packages.get(package) and (version is None or version < stunnel.OLDEST):
        raise Cannot("this stunnel is not known here: %r; install 5.50 or newer" % line)
    for path in (given.certificate, given.key, given.authority) if given else ():
        if path and not path.startswith("/"):
            raise Cannot("%r is not an absolute path: say where it lies on the host" % path)
    if given:
        renewed.check(facts, given)
    for name in (request.name, *options.also):
        if not _NAME.fullmatch(name):
            raise Cannot(
                "%r is no name for a certificate: give --name, the host name that clients use"
                % name
            )


def front_of(request: Request, port: int) -> Front:
    """The certificate: the given one, that of stage offer, or a new one (under the private CA that
    an earlier service of this host has, if any: the trial shows whether its names reach).
    """
    facts, options, name = request.facts, request.options, str(port)
    certificate = "%s/%s.crt" % (stunnel.DIRECTORY, name)
    key = "%s/%s.key" % (stunnel.DIRECTORY, name)
    given = options.given
    if given:
        copies = (
            CopyFile(given.certificate, certificate, "root", "root", 0o644),
            CopyFile(given.key, key, "root", stunnel.GROUP, 0o640),
        )
        source = Copied(given.certificate, given.key, given.authority)
        return Front(name, port, certificate, key, given.authority, copies, source)
    authority, offered = stunnel.DIRECTORY + "/ca.crt", offering(facts, request.port)
    if facts.file(authority) is not None and offered:
        shown, private = offered[0].value("cert"), offered[0].value("key")
        return Front(name, port, shown, private, authority, ())
    if offered:
        raise Cannot("stage offer was given a certificate: give it again with --cert and --key")
    addresses = [a for a in served(facts, request.start.listeners) if not loopback(a)]
    names = tuple(dict.fromkeys([request.name, *options.also, *addresses]))
    issue = IssueCertificate(stunnel.DIRECTORY, name, names, options.days, stunnel.GROUP)
    made = Issued(names, options.days)
    return Front(name, port, certificate, key, authority, (issue,), made)


# -- stage offer -----------------------------------------------------------------------------------


def _offer(request: Request) -> Steps:
    port = request.options.tls_port or _OFFERED_AT.get(request.protocol, _SIDE)
    taken = [each for each in request.facts.listeners if each.port == port]
    if taken:
        raise Cannot(
            "port %d is taken by %s: choose another with --tls-port"
            % (port, taken[0].process or "an unseen process")
        )
    addresses = served(request.facts, request.start.listeners)
    front = front_of(request, port)
    connect = answers_at(request)
    accepts = [(address, port) for address in addresses]
    words = [stunnel.accept(address, port) for address in addresses]
    opens = opening.opened(request.facts, addresses, request.port, (port,))
    ops = (
        *prepare(request, front, words, connect),
        *inits.of(request.facts).reread,
        trial(request, front, connect),
        *opens.ops,
        *enable(request, front, accepts),
    )
    expected = expected_of(request, front)
    return Steps(
        headline=(
            "Nobody is cut off: cleartext on port %d stays, TLS is offered beside it on %s."
            % (request.port, address_list(addresses, port)),
            "The finding stays open until stage enforce.",
        ),
        gap="none: the running service is not touched",
        risks=(*_risks(request), *opens.told),
        ops=ops,
        claims=claims((ClaimKind.SERVICE_IN_TLS,), addresses, port, expected)
        + claims((ClaimKind.CLEARTEXT_SERVED,), addresses, request.port, expected),
        paths=(*_paths(request, front), *opens.paths),
        ports=(port,),
    )


def answers_at(request: Request) -> str:
    """Where the service answers now, for stunnel's `connect`: on loopback if it can be had."""
    addresses = served(request.facts, request.start.listeners)
    return stunnel.accept(addresses[-1], request.port)


# -- stage enforce ---------------------------------------------------------------------------------


def _enforce(request: Request) -> Steps:
    start, server = request.start, request.server
    if request.behind.enforce_refused:
        raise Cannot(request.behind.enforce_refused)
    if start.tied:
        raise Cannot("; ".join(start.tied))
    if start.fixed and server is start.server:
        why = "; ".join(start.fixed)
        raise Cannot(
            "no terminator can stand before this service of %s: %s; --strategy retire turns it off"
            % (start.starter, why)
        )
    addresses = served(request.facts, start.listeners)
    front = front_of(request, request.port)
    beside, told = tls_beside(request)
    ports = (request.port, *beside)
    accepts = [(address, port) for port in ports for address in addresses]
    words = [stunnel.accept(address, port) for address, port in accepts]
    connect, backend, guard = _backend(request)
    old = [(listener.address, listener.port) for listener in start.listeners]
    gone = [Listening(address, port, False) for address, port in old]
    back = [Listening(address, port, True) for address, port in old]
    change = start.off
    trial_connect = connect
    opens = opening.opened(request.facts, addresses, request.port, beside)
    risks = (*_risks(request), *start.told, *told, *opens.told)
    if start.moved is not None:
        change, trial_connect = start.moved(connect, stunnel.GROUP), answers_at(request)
    elif server is None:
        assert start.isolated is not None
        change, trial_connect = start.isolated, answers_at(request)
        gone.append(Listening(start.inside, request.port, True, start.unit))
        risks += (_ALONE % start.unit,)
    gap = "about a second on port %d, while %s lets go of it and stunnel takes it%s"
    gap %= (request.port, start.starter, _CUT.get(change.forward, ""))
    offered = _offered(request)
    steered = handover.plan(
        request,
        front,
        connect,
        [*((a, request.port) for a in addresses), *((o.address, o.port) for o in offered)],
        ports,
        gap,
    )
    ops = (
        *prepare(request, front, words, connect),
        *backend,
        *inits.of(request.facts).reread,
        *(_start_backend(request) if backend else ()),
        trial(request, front, trial_connect),
        # Before the switch: whatever fails there fails while the old service still serves.
        *opens.ops,
        *steered.begin,
        *change.ops(gone, back),
        *enable(request, front, accepts),
        *_repoint(request, connect),
        *steered.end,
    )
    kinds = (ClaimKind.CLEARTEXT_REFUSED, ClaimKind.SERVICE_IN_TLS)
    promised: tuple[Claim, ...] = ()
    for port in ports:
        promised += claims(kinds, addresses, port, expected_of(request, front))
    for terminator in offering(request.facts, request.port):
        expected = {**expected_of(request, front), "certificate": terminator.value("cert")}
        for listener in terminator.listeners:
            promised += claims(kinds, [listener.address], listener.port, expected)
    return Steps(
        headline=_warning(request, addresses, beside),
        gap=steered.gap,
        risks=risks,
        ops=ops,
        claims=promised + (Claim(ClaimKind.BACKEND_GUARDED, _here(request), Vantage.SELF, guard),),
        paths=(*_paths(request, front), *offered_paths(request), *opens.paths),
        ports=beside,
        excepts=start.admission is not None and not start.admission.problems,
    )


def tls_beside(request: Request) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The other port where TLS is served, if any, and what is told of it. Raises Cannot where the
    one that was wished for is taken.
    """
    wished = request.options.tls_port
    port = wished or _BESIDE.get((request.protocol, request.port), 0)
    holders = listeners_at(request.facts, port)
    offered = _offered(request)
    if not port or port == request.port or (holders and all(each in offered for each in holders)):
        return (), ()
    who = ", ".join(sorted({each.process or "an unseen process" for each in holders}))
    if holders and wished:
        raise Cannot("port %d is taken by %s: choose another with --tls-port" % (port, who))
    if holders:
        return (), ("Port %d is served by %s, and stays as it is." % (port, who),)
    words = "Port %d has to be open in every firewall on the way: the proof looks there too. "
    words += "--tls-port %d leaves it out."
    return (port,), (words % (port, request.port),)


def _here(request: Request) -> Endpoint:
    return Endpoint("127.0.0.1", request.port)


def _backend(request: Request) -> tuple[str, tuple[Op, ...], dict[str, str]]:
    """stunnel's `connect`, the ops that put the backend there, and what guards it."""
    start, port, server = request.start, request.port, request.server
    init = inits.of(request.facts)
    path = init.backend(port)
    guard = {"path": path, "group": stunnel.GROUP}
    if start.moved is not None:
        return path, (), guard
    if not init.sockets:
        raise Cannot(_NO_SOCKET % (start.starter, elsewhere.named(request.facts.system)))
    if server is None:
        return (
            path,
            stunnel.isolated_backend(port, start.unit, start.inside, start.companion),
            guard,
        )
    return path, stunnel.backend(port, server), guard


def _start_backend(request: Request) -> tuple[Op, ...]:
    unit = stunnel.backend_unit(request.port)
    # The link last, as in _enable.
    return (
        UnitAction(unit, "start", "stop"),
        inits.wanted("sockets", unit, "/etc/systemd/system/" + unit),
    )


def _warning(
    request: Request, addresses: tuple[str, ...], beside: tuple[int, ...]
) -> tuple[str, ...]:
    protocol = request.protocol.upper()
    shown = [a for a in addresses if not loopback(a)] or addresses
    return (
        "EVERY EXISTING CLEARTEXT CLIENT OF %s STOPS WORKING%s."
        % (
            address_list(shown, request.port),
            ", but for those named below" if request.options.excepted else "",
        ),
        _CLIENTS.get(request.protocol, _CLIENTS[""]) % protocol,
        "Afterwards %s answers only inside TLS there%s."
        % (protocol, "".join(", and at " + address_list(shown, port) for port in beside)),
    )


_CLIENTS = {
    "pop2": "%s programs know no TLS: each needs a client-side stunnel or another protocol; a "
    "polite one hangs without an error.",
    "managesieve": "Few %s programs know TLS from the first octet, which is what they find then; "
    "one that waits for a greeting or wants STARTTLS hangs without an error.",
    "": "%s programs set to no encryption or to STARTTLS hang without an error until they are set "
    "to SSL/TLS (TLS from the first octet).",
}


# -- words -----------------------------------------------------------------------------------------


def _paths(request: Request, front: Front) -> tuple[str, ...]:
    return (*rests_on(request, front), *ACCESS)


def _risks(request: Request) -> tuple[str, ...]:
    risks = ["Lost behind stunnel: " + words for words in lost.words(request)]
    risks += lost.carried(request)
    risks.append(renewal_told(request))
    if not stunnel.package(request.facts.manager).account:
        risks.append(_RED_HAT % stunnel.GROUP)
    risks += inits.of(request.facts).told
    risks.append("An address that this host gets later is not served: plan again then.")
    wild = any(listener.address == "::" for listener in request.start.listeners)
    if wild and any(link_local(fact.address) for fact in request.facts.addresses):
        ends = {"offer": "are not served inside TLS", "enforce": "were served and are not any more"}
        risks.append("Link-local addresses (fe80::) %s." % ends[request.options.stage])
    return tuple(risks)


_RED_HAT = (
    "The package of this distribution brings no account: %s is made for it, and stays after a "
    "rollback. mailseal was tried here from recordings alone, and SELinux may refuse what it was "
    "not told of (then the change is undone): rehearse the plan first."
)


# -- stage enforce after stage offer ---------------------------------------------------------------


@dataclass(frozen=True)
class Offering:
    """A terminator of ours in front of the port: its unit, listeners and configuration."""

    unit: str
    listeners: tuple[Listener, ...]
    path: str
    document: stunnel_config.Document

    def value(self, key: str) -> str:
        """An option of its first service."""
        services = self.document.services
        return stunnel_config.effective(self.document, services[0])[key][-1].value.text

    @property
    def guarded(self) -> bool:
        """Whether it asks hosts_access(5)."""
        services = self.document.services
        return "libwrap" in stunnel_config.effective(self.document, services[0])


def offering(facts: HostFacts, port: int) -> list[Offering]:
    """The terminators of ours whose `connect` is that port of this very host, by unit. A gateway
    may lead to the same port of another.
    """
    own = {stunnel.accept(each.address, port).encode() for each in facts.addresses}
    found = []
    for unit in sorted({listener.unit for listener in facts.listeners}):
        name = unit[len("mailseal@") : -len(".service")]
        fact = facts.file(stunnel.config_path(name)) if unit == stunnel.instance(name) else None
        if fact is None or fact.content is None or name == str(port):
            continue
        if own.intersection(re.findall(rb"(?m)^connect *= *(.*)$", fact.content)):
            listeners = tuple(each for each in facts.listeners if each.unit == unit)
            document = stunnel_config.parse(fact.content)
            found.append(Offering(unit, listeners, fact.path, document))
    return found


def _offered(request: Request) -> list[Listener]:
    return [each for one in offering(request.facts, request.port) for each in one.listeners]


def offered_paths(request: Request) -> tuple[str, ...]:
    return tuple(each.path for each in offering(request.facts, request.port))


def _repoint(request: Request, connect: str) -> tuple[Op, ...]:
    """A terminator of stage offer talks to the port that will speak TLS itself: show it the
    backend instead. A reload, so that the sessions in it live on.
    """
    ops: list[Op] = []
    for each in offering(request.facts, request.port):
        splices = [
            splice
            for service in each.document.services
            for splice in stunnel_config.set_option(each.document, service, "connect", connect)
        ]
        # systemd says that a reload is done when the signal is sent. stunnel closes its listeners
        # then and opens them again: a look in between would be refused.
        again = tuple(Listening(one.address, one.port, True, anew=True) for one in each.listeners)
        ops.append(UnitAction(each.unit, "", "reload", after_undo=again))
        ops.append(edit(each.path, each.document.data, splices))
        ops.append(UnitAction(each.unit, "reload", "", after_do=again))
    return tuple(ops)
