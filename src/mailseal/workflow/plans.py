"""What `mailseal plan` does: facts, a look for the protocol, a plan, a file.

A plan needs no root. Without it the plan says what it could not read, and is a draft that `apply`
refuses. `--facts FILE` plans for another host from the facts taken there.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass, replace
from typing import NamedTuple

from mailseal import plan
from mailseal.apply.executor import Refused
from mailseal.model import codec
from mailseal.model.change import Approval
from mailseal.model.host import HostFacts
from mailseal.model.look import Endpoint, Vantage
from mailseal.model.plan import Plan, PlanFile, RunState
from mailseal.model.target import SCHEMES, BadTarget, parse
from mailseal.plan import AlreadySealed, Cannot, Given, Options, Seen
from mailseal.plan.base import loopback, served
from mailseal.probe.look import Question
from mailseal.probe.targets import Unresolved, resolve
from mailseal.protocols.recognise import LOGIN_PROTOCOLS, PORTS
from mailseal.terminators import renewal
from mailseal.workflow import gateway
from mailseal.workflow.hosts import Host
from mailseal.workflow.logins import Asked


class EditedPlan(Exception):
    """The file's text does not match its hash. Nothing was changed."""


@dataclass(frozen=True)
class Wish:
    """What the operator wants planned. `protocol` is empty where a look shall tell."""

    port: int
    options: Options
    protocol: str = ""


def make(host: Host, wish: Wish, asked: Asked | None = None) -> tuple[Plan, HostFacts]:
    """Plans for a host that can be asked; `asked` tells who logs in there. Raises Cannot,
    HostUnreachable, Refused.
    """
    given = wish.options.given
    paths = [*_rests_on(given), given.authority] if given else []
    facts = host.facts((wish.port,), [path for path in paths if path])
    if wish.options.backend:
        protocol = wish.protocol or gateway.spoken_by(host, wish.options.backend)
    else:
        protocol = wish.protocol or _protocol(host, facts, wish)
    options = replace(wish.options, also=(*wish.options.also, *_names(host)))
    try:
        seen = asked and _seen(asked, facts, wish.port, protocol, options)
        return plan.make(facts, wish.port, protocol, options, seen), facts
    except AlreadySealed as sealed:
        if facts.privileged:
            _refuse_unfinished(host, str(sealed))
        raise


def _refuse_unfinished(host: Host, sealed: str) -> None:
    """What stands may still be undone by itself. Raises Refused."""
    for receipt in host.receipts():
        if receipt.state in (RunState.APPLYING, RunState.HELD, RunState.UNDOING):
            words = "%s, but the run %s is not finished (%s): confirm it with `mailseal confirm %s`"
            words += ", or undo it with `mailseal rollback %s`."
            run = receipt.run
            raise Refused([words % (sealed, run, receipt.state.value, run, run)])


def from_facts(facts: HostFacts, wish: Wish, asked: Asked | None = None) -> Plan:
    """Plans for the host that the facts describe; `asked` tells who logs in. Raises Cannot."""
    given = wish.options.given
    for path in _rests_on(given) if given else ():
        if facts.file(path) is None:
            raise Cannot(
                "the facts do not tell of %s: take them with `mailseal facts --path %s`"
                % (path, path)
            )
    protocol = wish.protocol or PORTS.get(wish.port, "")
    if not protocol:
        raise Cannot(
            "which protocol port %d serves cannot be told from facts: give --protocol" % wish.port
        )
    seen = asked and _seen(asked, facts, wish.port, protocol, wish.options)
    return plan.make(facts, wish.port, protocol, wish.options, seen)


def _rests_on(given: Given) -> tuple[str, ...]:
    """What the facts must tell of for a certificate that is there already."""
    return (given.certificate, *((renewal.HOOKS,) if given.lineage else ()))


def _seen(asked: Asked, facts: HostFacts, port: int, protocol: str, options: Options) -> Seen:
    """Who logs in at every port that the plan may change; of a gateway, at the backend itself."""
    if options.backend:
        each = [
            asked(gateway.known_by(place, facts), place.port, protocol, ())
            for place in options.backend.places
        ]
    else:
        names = _called(options)
        ports = plan.affected(facts, port, protocol)
        each = [asked(facts, one, protocol, names) for one in ports]
    return replace(
        each[0],
        logins=tuple(dict.fromkeys(login for one in each for login in one.logins)),
        ever=any(one.ever for one in each),
        unread=next((one.unread for one in each if one.unread), ""),
    )


def _called(options: Options) -> tuple[str, ...]:
    """Names that the operator gives the host."""
    return tuple(filter(None, (options.name, *options.also)))


def _names(host: Host) -> tuple[str, ...]:
    """Names for the certificate that the operator used to reach the host."""
    return tuple(name for name in host.names if not _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _protocol(host: Host, facts: HostFacts, wish: Wish) -> str:
    """What the service says it is, asked at one of its own addresses."""
    port = wish.port
    listeners = [each for each in facts.listeners if each.port == port]
    if any(each.unit.startswith("mailseal@") for each in listeners):
        return PORTS.get(port, "pop2")
    addresses = served(facts, listeners)
    if not addresses:
        raise Cannot("nothing listens on port %d of %s" % (port, facts.host))
    seen = host.look(Question(Endpoint(addresses[-1], port), Vantage.SELF))
    if seen.protocol not in LOGIN_PROTOCOLS:
        what = "%s answers" % seen.protocol if seen.protocol else "no service says what it is"
        raise Cannot("on port %d %s" % (port, what))
    if seen.tls is not None and seen.starttls is None and wish.options.strategy != "retire":
        raise Cannot(
            "on port %d %s answers only inside TLS already" % (port, seen.protocol.upper())
        )
    return seen.protocol


def own_service(words: str, facts: HostFacts) -> tuple[int, str]:
    """The port of a target that must be this host, and the name that it gives the host (empty
    where it gives an address or a name of loopback alone). Raises BadTarget where it is another.
    """
    target = parse(words, (SCHEMES["pop2"],))
    local = {fact.address for fact in facts.addresses}
    seen = []
    for found in resolve([target]):
        if isinstance(found, Unresolved):
            raise BadTarget("%s: %s" % (found.name, found.reason))
        address = found.endpoint.address
        if address not in local and not loopback(address):
            raise BadTarget(
                "%s is not this host: run mailseal there, or name it as ssh://%s"
                % (address, target.host)
            )
        seen.append(loopback(address))
    name = "" if all(seen) or _is_address(target.host) else target.host
    return target.ports[0], name


# -- plan files ------------------------------------------------------------------------------------


def file_text(made: Plan) -> str:
    """The plan as the text of a file."""
    payload = codec.dumps(made)
    digest = hashlib.sha256(payload.encode("ascii")).hexdigest()
    return codec.dumps(PlanFile(payload, digest)) + "\n"


def read_file(text: bytes) -> tuple[Plan, bytes]:
    """A plan file's plan and exact payload. Raises codec.CodecError, EditedPlan."""
    filed = read_approved(text)
    return filed.plan, filed.payload


class Filed(NamedTuple):
    """What a plan file holds."""

    plan: Plan
    payload: bytes
    approvals: tuple[Approval, ...]


def read_approved(text: bytes) -> Filed:
    """As `read_file`, with the plan's approvals."""
    envelope = codec.loads(PlanFile, text, lenient=False)
    payload = envelope.payload.encode("utf-8", "surrogatepass")
    if hashlib.sha256(payload).hexdigest() != envelope.sha256:
        raise EditedPlan(
            "the plan was edited after it was made: its hash does not fit. Make a new one with "
            "`mailseal plan` and the options you want."
        )
    return Filed(codec.loads(Plan, payload, lenient=False), payload, envelope.approvals)
