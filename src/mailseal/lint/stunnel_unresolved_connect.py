"""`connect` names a host that has no address here."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Here, Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(here: Here) -> Iterator[Hit]:
    for part in parts(here.document):
        for option in part.options.get("connect", ()):
            answer = here.there.answers.get(option.value.text)
            if answer and not answer.resolves:
                yield Hit(option.value.span, f"connect = {option.value.text}: no address")


RULE = Rule(
    id="stunnel-unresolved-connect",
    title="A backend without an address",
    severity=Severity.HIGH,
    kind="stunnel-here",
    why=(
        "stunnel starts with a name that does not resolve, and takes clients that it has nowhere "
        "to bring."
    ),
    fix="Write the address itself, or correct the name.",
    check=check,
)
