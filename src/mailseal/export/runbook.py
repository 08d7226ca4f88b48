"""What to do by hand on a system that mailseal does not change, as Markdown.

Strategy: one file of text a system, with `@WORD@` where something is filled in, and parts that
systems share (`_certificate.md`). What is filled in is checked here, whoever gave it: the text is
pasted into a shell as root.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mailseal.export.base import CannotExport

PROTOCOLS = ("pop2", "pop3", "imap", "managesieve")

_SERVICES = {
    109: "pop-?2|postoffice|109",
    110: "pop-?3|110",
    143: "imap[24]?|143",
    4190: "sieve|managesieve|4190",
}
"""What services(5) and inetd.conf(5) call a port, as a regular expression."""

_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*")


@dataclass(frozen=True)
class Service:
    """What is sealed: `name` is the one that clients use, `addresses` are literals."""

    protocol: str
    name: str
    port: int
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class System:
    """Where it is sealed: the system's name, what starts services there, the folder of the files,
    stunnel's `connect`, and the configuration itself.
    """

    title: str
    starter: str
    folder: str
    backend: str
    config: bytes


def write(
    parts: Mapping[str, str],
    system: str,
    where: System,
    service: Service,
    configurations: Callable[[tuple[str, ...]], Mapping[str, str]],
) -> str:
    """The runbook of `system`; `parts` are the files of text by name, `configurations` as in
    Source. Raises CannotExport.
    """
    check(service)
    authority = configurations(tuple(dict.fromkeys((service.name, *service.addresses))))
    words = {
        "FOLDER": where.folder,
        "BACKEND": where.backend,
        "CONFIG": where.config.decode("ascii").strip(),
        "CA_CNF": authority["ca.cnf"].strip(),
        "LEAF_CNF": authority["leaf.cnf"].strip(),
        "PROTOCOL": service.protocol.upper(),
        "NAME": service.name,
        "PORT": str(service.port),
        "INETD": _SERVICES.get(service.port, str(service.port)),
        "INETD_NAME": where.starter,
        "ADDRESSES": ", ".join(service.addresses),
        "VERIFY": "\n".join(_verify(service)),
        "SHOW": "\n".join(_show(service)),
        "CERTIFICATE": parts["_certificate"].strip(),
        "CONFIGURATION": parts["_configuration"].strip(),
        "DAEMON": parts["_daemon"].strip(),
        "PROVE": parts["_prove"].strip(),
    }
    title = "# @PROTOCOL@ of @NAME@, port @PORT@, inside TLS: %s\n\n%s\n"
    text = title % (where.title, parts[system].strip())
    # Twice: the shared parts have words of their own. Nothing that was given has an `@`.
    for _ in range(2):
        text = re.sub(r"@([A-Z_]+)@", lambda match: words[match[1]], text)
    return text


def check(service: Service) -> None:
    """Raises CannotExport for what does not go behind stunnel, or into a text for a shell."""
    if service.protocol == "smtp":
        raise CannotExport(
            "SMTP is not put behind stunnel: to the MTA every client would be this host itself, "
            "which may relay (an open relay). Have the MTA itself take logins inside TLS alone"
        )
    if service.protocol not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise CannotExport("there is no runbook for %r; there are: %s" % (service.protocol, known))
    if not _NAME.fullmatch(service.name) and not _literal(service.name):
        raise CannotExport("%r is no host name for a certificate: give --name" % service.name)
    if not service.addresses:
        raise CannotExport("no address of the service is known: name them, 192.0.2.10:109")
    for address in service.addresses:
        found = _literal(address)
        if found is None or found.is_loopback or found.is_unspecified or found.is_link_local:
            raise CannotExport(
                "%s is no address at which others reach the service: name those as the target"
                % address
            )


def _literal(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _at(address: str, port: int) -> str:
    return ("[%s]:%d" if ":" in address else "%s:%d") % (address, port)


def _verify(service: Service) -> Sequence[str]:
    tail = "--name %s --protocol %s --ca ca.crt" % (service.name, service.protocol)
    return [
        "mailseal verify '%s' %s" % (_at(each, service.port), tail) for each in service.addresses
    ]


def _show(service: Service) -> Sequence[str]:
    kind = "ip" if _literal(service.name) else "hostname"
    words = (
        "openssl s_client -quiet -CAfile ca.crt -verify_return_error -verify_%s %s -connect '%s'"
    )
    return [words % (kind, service.name, _at(each, service.port)) for each in service.addresses]
