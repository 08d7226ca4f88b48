"""What the strategies share: the request, the draft of a plan, the claims."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mailseal.daemons.behind import Behind, behind
from mailseal.model.excepted import Excepted
from mailseal.model.host import HostFacts, Listener, Server
from mailseal.model.look import Endpoint, Vantage
from mailseal.model.ops import Listening, Op, UnitAction
from mailseal.model.plan import Claim, ClaimKind
from mailseal.starters.base import Start


class Cannot(Exception):
    """No plan can be made. `str()` says why and what would help."""


class AlreadySealed(Cannot):
    """What is asked for is there already: there is nothing to change."""


@dataclass(frozen=True)
class Given:
    """A certificate that is there already: paths on the host; `authority` its CA's PEM file, empty
    where the system's trusted roots know it; `lineage` where certbot has it, empty where it is not
    certbot's.
    """

    certificate: str
    key: str
    authority: str = ""
    lineage: str = ""

    @classmethod
    def by_certbot(cls, name: str, authority: str = "") -> Given:
        """What certbot knows by that name (the live/ folder of certbot(1), FILES). Raises
        ValueError where it can be none.
        """
        if not re.fullmatch(r"(?!\.)[A-Za-z0-9*._-]{1,253}", name):
            raise ValueError("%r is no name of a certificate of certbot" % name)
        lineage = "/etc/letsencrypt/live/" + name
        return cls(lineage + "/fullchain.pem", lineage + "/privkey.pem", authority, lineage)


@dataclass(frozen=True)
class Backend:
    """What a gateway stands before: where it answers, beginning with the place that the gateway
    connects to. Of the way there `name` is what its certificate is for (`authority`: who may have
    signed that, as a PEM file on the gateway), or `trust` is why it needs no TLS.
    """

    places: tuple[Endpoint, ...]
    name: str = ""
    authority: str = ""
    trust: str = ""


@dataclass(frozen=True)
class Options:
    """What the operator decides. `strategy` is empty where the plan shall choose. `stage`: offer or
    enforce. `name`: the host name that clients use,
    for the certificate (`also`: more of them). `tls_port` is where TLS is served besides the port
    itself; 0: where clients of the protocol look for it. `excepted` go on in cleartext in stage
    enforce. `backend`: for strategy gateway. `handover`: plain, or auto (without a gap where that
    can be).
    """

    strategy: str = ""
    stage: str = "enforce"
    name: str = ""
    also: tuple[str, ...] = ()
    given: Given | None = None
    tls_port: int = 0
    backend: Backend | None = None
    days: int = 825
    excepted: tuple[Excepted, ...] = ()
    handover: str = "auto"


@dataclass(frozen=True)
class Request:
    """What a strategy is asked: the port and protocol to fix on this host, and how it runs."""

    facts: HostFacts
    start: Start
    port: int
    protocol: str
    options: Options

    @property
    def name(self) -> str:
        """The name for the certificate."""
        return self.options.name or self.facts.host

    @functools.cached_property
    def behind(self) -> Behind:
        """What becomes of the daemon behind a terminator."""
        own, found = self.start.server, self.start.listeners
        return behind(self.facts, own.path if own else found[0].executable, self.protocol)

    @property
    def server(self) -> Server | None:
        """What a socket of ours can start for each session; None where the daemon has to go on
        listening itself.
        """
        return self.start.server or self.behind.session


@dataclass(frozen=True)
class Steps:
    """A strategy's answer. `paths` are the files it rests on, besides those it edits. `before` are
    the claims that hold again after a rollback (None: cleartext is served at every address).
    `excepts`: networks can be excepted. `declared` is what the operator answers for.
    """

    headline: tuple[str, ...]
    gap: str
    risks: tuple[str, ...]
    ops: tuple[Op, ...]
    claims: tuple[Claim, ...]
    paths: tuple[str, ...]
    ports: tuple[int, ...]
    before: tuple[Claim, ...] | None = None
    excepts: bool = False
    declared: tuple[str, ...] = ()


def served(facts: HostFacts, listeners: Sequence[Listener]) -> tuple[str, ...]:
    """Every literal address at which the listeners are reached, loopback last.

    Link-local addresses are left out: they need a zone, which no terminator's configuration takes.
    """
    found: dict[str, None] = {}
    for listener in listeners:
        for address in _behind(listener, [fact.address for fact in facts.addresses]):
            if not link_local(address):
                found[address] = None
    order = sorted(found, key=lambda each: (loopback(each), ":" in each))
    return tuple(order)


def _behind(listener: Listener, local: Sequence[str]) -> list[str]:
    v4 = [address for address in local if ":" not in address]
    v6 = [address for address in local if ":" in address]
    if listener.address == "0.0.0.0":
        return v4
    if listener.address == "::":
        return v6 + (v4 if listener.dual else [])
    return [listener.address]


def link_local(address: str) -> bool:
    """169.254.0.0/16 and fe80::/10."""
    return ipaddress.ip_address(address.split("%")[0]).is_link_local


def loopback(address: str) -> bool:
    """127.0.0.0/8 and ::1."""
    return ipaddress.ip_address(address.split("%")[0]).is_loopback


def neighbours(
    facts: HostFacts, where: Endpoint, ports: Collection[int], ops: Sequence[Op]
) -> tuple[Claim, ...]:
    """That what systemd runs besides goes on, and that nothing opens but what the ops open. Sockets
    of people's own sessions come and go, and are nobody's promise.
    """
    others: dict[str, str] = {}
    for each in facts.listeners:
        if each.port not in ports and each.unit.endswith((".service", ".socket")):
            others.setdefault(_at(each), each.unit)
    asked = [op for op in ops if isinstance(op, UnitAction)]
    touched = {op.unit for op in asked if op.unit}
    opened = [want for op in asked for want in op.after_do if want.present and not want.unit]
    udp = ("%s=%s" % (each.unit, _at(each)) for each in facts.datagrams if each.unit in touched)
    expected = {
        "listening": list(others),
        "units": others.values(),
        "allowed": sorted({*map(_at, facts.listeners), *map(_at, opened)}),
        "touched": sorted(touched),
        "udp": sorted(udp),
    }
    words = {name: " ".join(each) for name, each in expected.items()}
    return (Claim(ClaimKind.NEIGHBOURS_KEPT, where, Vantage.SELF, words),)


def _at(each: Listener | Listening) -> str:
    return str(Endpoint(each.address, each.port))


def claims(
    kinds: Sequence[ClaimKind], addresses: Sequence[str], port: int, expected: dict[str, str]
) -> tuple[Claim, ...]:
    """These claims for every address; from another host, or from the host itself for loopback."""
    return tuple(
        Claim(
            kind,
            Endpoint(address, port),
            Vantage.SELF if loopback(address) else Vantage.REMOTE,
            expected,
        )
        for address in addresses
        for kind in kinds
    )


def address_list(addresses: Sequence[str], port: int) -> str:
    """The addresses in words, for the headline."""
    return ", ".join(str(Endpoint(address, port)) for address in addresses)
