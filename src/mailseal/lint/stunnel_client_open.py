"""Client mode with a listener that other hosts reach.

The section may be meant either way (a server, or a tunnel for a program on this host), so
nothing is fixed without a person.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        for option, _, _ in part.open_accepts if part.client else ():
            said = f"accept = {option.value.text} takes cleartext from the network"
            yield Hit(option.value.span, said)


RULE = Rule(
    id="stunnel-client-open",
    title="Client mode listens to the network in cleartext",
    severity=Severity.CRITICAL,
    kind="stunnel",
    why=(
        "With client = yes stunnel takes cleartext and speaks TLS outward. On an address that "
        "other hosts reach it is a cleartext login service, and whoever looks at the "
        "configuration takes it for a sealed one."
    ),
    fix=(
        "To seal a service, remove client = yes and give the section a certificate. For a mail "
        "program that cannot speak TLS, listen on this host alone: accept = 127.0.0.1:PORT."
    ),
    check=check,
)
