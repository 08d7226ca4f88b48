"""A published port of a compose file where logins begin in cleartext.

The port inside the container says what speaks: `995:110` is POP3 in cleartext on the port of TLS.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Hit, Rule
from mailseal.lint.carriers.base import Carrier
from mailseal.lint.mail import CLEAR, loopback
from mailseal.model.finding import Severity


def check(carrier: Carrier) -> Iterator[Hit]:
    for port in carrier.ports:
        found = [protocol.upper() for number, protocol in CLEAR.items() if number in port.inside]
        if found and not loopback(port.host, False):
            yield Hit(port.place, f"{port.written}: {', '.join(found)}")


RULE = Rule(
    id="compose-cleartext-port",
    title="A container publishes a login in cleartext",
    severity=Severity.MEDIUM,
    kind="yaml",
    why=(
        "The service publishes a port where clients log in before TLS, if there is any. The file "
        "does not say whether the program in the container refuses that, and Docker opens the "
        "port past the host's firewall."
    ),
    fix=(
        "Publish the port of TLS (993, 995) in its place, or bind it to 127.0.0.1. If STARTTLS is "
        "meant, look with `mailseal scan HOST:PORT` whether the program refuses a login before it."
    ),
    check=check,
)
