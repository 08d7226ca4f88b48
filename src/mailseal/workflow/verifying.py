"""What is to be verified: the request, and the places that it comes to.

Strategy: every address of a name, every endpoint of a plan, and, where the mail host can be asked,
every address at which it says that it serves. What is expected of a place is a mapping of plain
texts, as claims carry it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mailseal.configs import stunnel
from mailseal.model.host import HostFacts
from mailseal.model.look import Endpoint, Vantage
from mailseal.model.plan import ClaimKind, Plan
from mailseal.model.target import SCHEMES, BadTarget, parse
from mailseal.plan.base import loopback, served
from mailseal.probe.canary import own as is_own
from mailseal.probe.look import Limits
from mailseal.probe.targets import Resolved, resolve
from mailseal.protocols.base import Credentials
from mailseal.protocols.recognise import PORTS

SEALED = (ClaimKind.CLEARTEXT_REFUSED, ClaimKind.SERVICE_IN_TLS)
"""What a plan promises of a service inside TLS; verifying has more lines for it."""


@dataclass(frozen=True)
class Request:
    """What to verify. `target` is for people and, without a plan, what is resolved. `authority` and
    `certificate` are PEM files here. `account` is used inside verified TLS alone. `closed` are
    ports that must not be reachable. `eavesdrop` names an interface; `source` the host that looks
    and `on` the mail host, both ssh://. `valid_days`: the certificate is to be good for so long.
    """

    target: str
    plan: Plan | None = None
    protocol: str = ""
    authority: str = ""
    name: str = ""
    certificate: str = ""
    account: Credentials | None = None
    intrusive: bool = False
    eavesdrop: str = ""
    reload: bool = False
    closed: tuple[int, ...] = ()
    source: str = ""
    on: str = ""
    valid_days: int = 0
    timeout: float = 8.0

    @property
    def limits(self) -> Limits:
        """The patience for each step."""
        return Limits().scaled(self.timeout)


@dataclass(frozen=True)
class Place:
    """An endpoint to verify, and what is expected there. `kinds` are what a plan promised of it
    (empty: a sealed service).
    """

    endpoint: Endpoint
    vantage: Vantage
    expected: dict[str, str]
    kinds: tuple[ClaimKind, ...] = ()

    @property
    def sealed(self) -> bool:
        """A service inside TLS is expected there; not one that was turned off, or left as it is."""
        return not self.kinds or any(kind in SEALED for kind in self.kinds)


def places_of(request: Request) -> tuple[list[Place], list[str]]:
    """Every address of the target, or every endpoint of the plan that another host can look at; and
    why a name has no address.
    """
    if request.plan is not None:
        return _of_plan(request, request.plan), []
    found_at: list[Place] = []
    lost: list[str] = []
    for found in resolve([parse(request.target, (SCHEMES["pop2"],))]):
        if not isinstance(found, Resolved):
            lost.append("%s: %s" % (found.name, found.reason))
            continue
        here = is_own(found.endpoint.address) and not request.source
        vantage = Vantage.SELF if here else Vantage.REMOTE
        served_there = request.protocol or PORTS.get(found.endpoint.port, "")
        if not served_there:
            raise BadTarget(
                "which protocol port %d serves is not known: give --protocol" % found.endpoint.port
            )
        expected = {
            "protocol": served_there,
            "name": request.name or found.name,
            "authority": request.authority,
        }
        found_at.append(Place(found.endpoint, vantage, expected))
    return found_at, lost


def _of_plan(request: Request, made: Plan) -> list[Place]:
    """What the plan says is true of an endpoint, joined; what is given here takes its place."""
    joined: dict[Endpoint, Place] = {}
    for claim in made.claims:
        if claim.vantage is not Vantage.REMOTE:
            continue
        before = joined.get(claim.endpoint)
        kinds = (*(before.kinds if before else ()), claim.kind)
        expected = {**(before.expected if before else {}), **claim.expected}
        expected["authority"] = request.authority or expected.get("authority", "")
        expected["name"] = request.name or expected.get("name", "")
        joined[claim.endpoint] = Place(claim.endpoint, claim.vantage, expected, kinds)
    return list(joined.values())


def complete(places: list[Place], facts: dict[int, HostFacts]) -> list[Place]:
    """With the addresses at which the host itself says that it serves the ports: what a name does
    not lead to is open to whoever tries.
    """
    found = list(places)
    for port, known in facts.items():
        like = next(each for each in places if each.endpoint.port == port)
        there = {each.endpoint.address for each in places if each.endpoint.port == port}
        listeners = [each for each in known.listeners if each.port == port]
        for address in served(known, listeners):
            if address not in there and not loopback(address):
                where = Endpoint(address, port, like.endpoint.site)
                found.append(dataclasses.replace(like, endpoint=where))
    return found


def served_file(facts: HostFacts | None, port: int) -> str:
    """The certificate that our terminator on the port is configured with; empty where there is no
    such thing.
    """
    for fact in facts.files if facts else ():
        if not (fact.path.startswith("/etc/mailseal/") and fact.path.endswith(".conf")):
            continue
        document = stunnel.parse(fact.content or b"")
        for service in document.services:
            options = stunnel.effective(document, service)
            accepts = [option.value.text for option in options.get("accept", ())]
            if any(each.rpartition(":")[2] == str(port) for each in accepts):
                certificates = [option.value.text for option in options.get("cert", ())]
                return certificates[-1] if certificates else ""
    return ""
