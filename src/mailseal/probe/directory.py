"""Where a domain says its mail services are: SRV records (RFC 6186, RFC 8314, RFC 5804) and MX.

Strategy: the system's resolver gives no records but addresses, so dnspython asks for these, with a
bounded patience for each; the addresses of what they name come from the system as always. The only
module of `probe` that the agent does not carry.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Set, Tuple, Union

import dns.exception
import dns.name
import dns.resolver
from dns.resolver import NoResolverConfiguration as NoServers

from mailseal.model.target import Target
from mailseal.probe.targets import Answer, Ask, Found, Unresolved, addresses, ask

SERVICES: Tuple[str, ...] = (
    "_pop3._tcp",
    "_pop3s._tcp",
    "_imap._tcp",
    "_imaps._tcp",
    "_submission._tcp",
    "_submissions._tcp",
    "_sieve._tcp",
)
"""RFC 6186 3.1 to 3.3, RFC 8314 5.1, RFC 5804 1.8."""

PATIENCE = 6.0
"""Seconds for one record, all servers and repetitions together."""
MOST = 64
"""Hosts of one domain that are followed: what names more has a fault, or means harm."""

__all__ = ["NoServers", "asker", "records", "resolver"]

Records = Callable[[str, str], Union[List[Tuple[str, int]], Unresolved]]


def resolver(servers: Tuple[str, ...] = (), port: int = 53) -> dns.resolver.Resolver:
    """What is asked: the system's servers, or those given. Raises NoServers where the system names
    none.
    """
    made = dns.resolver.Resolver(configure=not servers)
    if servers:
        made.nameservers = list(servers)
        made.port = port
    made.lifetime = PATIENCE
    return made


def records(asking: dns.resolver.Resolver) -> Records:
    """Asks for one record: host and port of each answer (MX: port 0), none where there is none. A
    target of "." says that the service is not there (RFC 6186 3.4, RFC 7505).
    """

    def asked(name: str, kind: str) -> Union[List[Tuple[str, int]], Unresolved]:
        try:
            rows = asking.resolve(name, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError, ValueError) as error:
            words = " ".join(str(error).split())[:200]
            return Unresolved(name, "its %s record could not be asked for: %s" % (kind, words))
        found = []
        # A name server gives them in any order; preference first, and the same each time.
        for row in sorted(rows):
            host = row.exchange if kind == "MX" else row.target
            if host != dns.name.root:
                found.append((host.to_text(omit_final_dot=True), 0 if kind == "MX" else row.port))
        return found[:MOST]

    return asked


def asker(asked: Records, srv: bool, mx: bool) -> Ask:
    """How to resolve a name that may be a domain: its own addresses, and those of the hosts that
    its records name. A target that names its port is looked at there and nowhere else.
    """

    def ask_all(target: Target) -> Answer:
        own = ask(target)
        if target.own:
            return own
        domain = target.host.rstrip(".")
        hosts: Dict[str, Set[int]] = {}
        gathered: Answer = []
        questions = [("%s.%s" % (service, domain), "SRV") for service in SERVICES if srv]
        for name, kind in questions + ([(domain, "MX")] if mx else []):
            answer = asked(name, kind)
            if isinstance(answer, Unresolved):
                gathered.append(answer)
                continue
            for host, port in answer:
                hosts.setdefault(host, set()).update([port] if port else target.ports)
        for host, ports in list(hosts.items())[:MOST]:
            gathered += _addresses(domain, host, tuple(sorted(ports)))
        # A domain that only names other hosts need not have an address itself.
        nowhere = len(own) == 1 and isinstance(own[0], Unresolved)
        return gathered if nowhere and gathered else own + gathered

    return ask_all


def _addresses(domain: str, host: str, ports: Tuple[int, ...]) -> Answer:
    found = addresses(host)
    if isinstance(found, Unresolved):
        return [Unresolved(host, "%s names it, but %s" % (domain, found.reason))]
    return [Found(address, ports, (host,)) for address in found]
