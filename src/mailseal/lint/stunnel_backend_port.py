"""A backend on an unprivileged port of this host."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        for option, _, port in () if part.client else part.backends:
            if port is not None and port >= 1024:
                said = f"any user of this host can bind the port of connect = {option.value.text}"
                yield Hit(option.value.span, said)


RULE = Rule(
    id="stunnel-backend-port",
    title="Any local user can take the daemon's port",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "The daemon behind stunnel has an unprivileged port of the loopback interface. While it "
        "is down, any user of the host can bind that port and receives the passwords."
    ),
    fix=(
        "Let stunnel connect to a Unix socket that it alone may open (connect = /run/...), or to "
        "a loopback port under 1024."
    ),
    check=check,
)
