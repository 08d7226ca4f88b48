"""What a plan for a gateway needs besides: the backend, as the operator names it and as it answers.

Strategy: literal addresses alone. stunnel starts with a name that does not resolve, and one that
resolves to something else tomorrow would get the passwords.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import replace

from mailseal.model.host import AddressFact, HostFacts
from mailseal.model.look import Endpoint, Vantage
from mailseal.plan import Backend, Cannot
from mailseal.probe.look import Question
from mailseal.protocols.recognise import LOGIN_PROTOCOLS
from mailseal.workflow import BadInput
from mailseal.workflow.hosts import Host

ROOTS = "/etc/ssl/certs/ca-certificates.crt"
"""The trusted roots of Debian and its kin."""

MAX_REASON = 500

_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})")
_NAME = re.compile(r"[A-Za-z0-9_:](?:[A-Za-z0-9_.:-]{0,251}[A-Za-z0-9_:])?")
"""A host name or an address, as a certificate is for it."""


def backend(places: Sequence[str], name: str, authority: str, trust: str) -> Backend | None:
    """What a gateway stands before, by the words of `--backend` and of `--backend-tls`,
    `--backend-ca` and `--trust-leg`; None where there is no backend. Raises BadInput.
    """
    trust = trust.strip()
    if not places:
        if name or authority or trust:
            raise BadInput("--backend-tls, --backend-ca and --trust-leg go with --backend")
        return None
    if bool(name) == bool(trust):
        raise BadInput(
            "say how the gateway reaches the backend: --backend-tls NAME where that speaks TLS, or "
            "--trust-leg REASON where cleartext is safe there; one of the two"
        )
    if authority and not (name and authority.startswith("/")):
        raise BadInput("--backend-ca goes with --backend-tls, and is an absolute path")
    if name and not _NAME.fullmatch(name):
        raise BadInput("--backend-tls: %r is no name of a certificate" % name[:80])
    if len(trust) > MAX_REASON or not trust.isprintable():
        raise BadInput("--trust-leg: give one line of at most %d characters" % MAX_REASON)
    found = tuple(dict.fromkeys(map(_place, places)))
    return Backend(found, name, (authority or ROOTS) if name else "", trust)


def port_of(words: str) -> int:
    """The port of a `--backend`. Raises BadInput."""
    return _place(words).port


def _place(words: str) -> Endpoint:
    match = _PLACE.fullmatch(words)
    try:
        if match:
            address = str(ipaddress.ip_address(match.group(1) or match.group(2)))
            return Endpoint(address, int(match.group(3)))
    except ValueError:
        pass
    raise BadInput(
        "--backend: %r is not an address and a port: write 192.0.2.5:109 or [2001:db8::5]:109"
        % words[:80]
    )


def known_by(place: Endpoint, facts: HostFacts) -> HostFacts:
    """The backend as far as it is known: by its address alone."""
    return replace(facts, host="", addresses=(AddressFact(place.address, "", "global"),))


def spoken_by(gateway: Host, to: Backend) -> str:
    """The protocol that the backend speaks, asked from the gateway. Raises Cannot."""
    place, within = to.places[0], bool(to.name)
    question = Question(place, Vantage.SELF, to.name, to.authority, implicit=within)
    seen = gateway.look(question)
    if seen.protocol not in LOGIN_PROTOCOLS:
        why = seen.protocol or "; ".join(seen.gaps) or seen.reach.value
        raise Cannot("no mail service answers the gateway at %s (%s)" % (place, why))
    if seen.tls is not None and seen.starttls is None and not within:
        raise Cannot("%s answers only inside TLS: give --backend-tls" % place)
    return seen.protocol
