"""`protocol = smtp` in server mode."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        option = part.last("protocol")
        if option and option.value.text.lower() == "smtp" and not part.client:
            yield Hit(option.value.span, "what comes before STARTTLS reaches the MTA")


RULE = Rule(
    id="stunnel-smtp-starttls-server",
    title="STARTTLS for SMTP in front of a server does not hold",
    severity=Severity.CRITICAL,
    kind="stunnel",
    why=(
        "In server mode protocol = smtp passes on what a client sends before TLS, so a login "
        "without STARTTLS still works."
    ),
    fix="Remove the section, and let the MTA offer STARTTLS itself.",
    check=check,
)
