"""`transparent = source` beside `setuid`."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        option = part.last("transparent")
        if option and option.value.text.lower() in ("source", "both") and part.value("setuid"):
            yield Hit(option.key.span, f"needs root, and setuid is {part.value('setuid')}")


RULE = Rule(
    id="stunnel-transparent-setuid",
    title="A transparent proxy without its rights",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "To connect with the client's address stunnel needs the rights that setuid gives away: it "
        "starts, and every connection fails."
    ),
    fix="Keep one of the two: remove transparent, or setuid.",
    check=check,
)
