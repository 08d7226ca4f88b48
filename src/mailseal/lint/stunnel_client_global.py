"""`client = yes` before the first service."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for option in document.globals if document.services else ():
        if option.key.text.lower() == "client" and option.value.text.lower() == "yes":
            yield Hit(option.key.span, "client = yes holds for every section below")


RULE = Rule(
    id="stunnel-client-global",
    title="Client mode for every service",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "client = yes before the first section turns every service of the file into a cleartext "
        "listener, also those that are added later."
    ),
    fix="Write client = yes into each section that is meant to be a client.",
    check=check,
)
