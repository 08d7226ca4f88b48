"""`protocol` for STARTTLS on a port for implicit TLS."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.mail import IMPLICIT
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        option = part.last("protocol")
        if option is None or option.value.text.lower() not in ("pop3", "imap", "smtp", "nntp"):
            continue
        for address, _, port in part.addresses("connect" if part.client else "accept"):
            if port in IMPLICIT:
                said = f"protocol = {option.value.text} on port {port} ({address.key.text})"
                yield Hit(option.key.span, said)


RULE = Rule(
    id="stunnel-starttls-on-tls-port",
    title="STARTTLS on a port where TLS begins at once",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "On this port clients begin TLS with the first octet. With protocol = ... stunnel first "
        "speaks cleartext there, and they fail."
    ),
    fix="Remove the line protocol = ...",
    check=check,
)
