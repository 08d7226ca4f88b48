"""`accept` without an address, in server mode (client mode has a rule of its own)."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        for option, address, port in () if part.client else part.addresses("accept"):
            if address.host is None and port is not None:
                said = f"accept = {option.value.text} is every address of IPv4, and none of IPv6"
                yield Hit(option.value.span, said)


RULE = Rule(
    id="stunnel-accept-port-only",
    title="A port without an address",
    severity=Severity.MEDIUM,
    kind="stunnel",
    why=(
        "A bare port is IPv4 alone, on every address: a service that was bound to one address "
        "becomes wider, and clients that come over IPv6 find nothing."
    ),
    fix=(
        "Write one accept for each address that is to be served. :::PORT is IPv4 and IPv6, while "
        "net.ipv6.bindv6only is 0."
    ),
    check=check,
)
