"""A server section without `cert`, also where client mode makes it a cleartext mail service.

A pre-shared key or a certificate in a token (engineId) stands in its place.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.mail import mail
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        if any(part.value(key) for key in ("cert", "psksecrets", "engineid")):
            continue
        meant = any(mail(port) for _, _, port in part.open_accepts)
        if not part.client:
            yield Hit(part.place, "no cert: stunnel does not start", stops=True)
        elif meant and not part.checks:
            yield Hit(part.place, "no cert: a service that other hosts reach needs one")


RULE = Rule(
    id="stunnel-no-certificate",
    title="A server without a certificate",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "A service that speaks TLS to its clients needs a certificate: without one stunnel does "
        "not start. Where client = yes hides that, the service was never meant to be what it is."
    ),
    fix="Write cert = FILE and key = FILE into the section.",
    check=check,
    whole=True,
)
