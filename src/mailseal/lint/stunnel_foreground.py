"""`foreground` is not set.

For inetd mode, without a section, it does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    last = ""
    for option in document.globals:
        if option.key.text.lower() == "foreground":
            last = option.value.text.lower()
    if document.services and last not in ("yes", "quiet"):
        place = document.services[0].section.name.span
        yield Hit(place, "foreground = yes is not set above the first section")


RULE = Rule(
    id="stunnel-foreground",
    title="stunnel leaves its unit",
    severity=Severity.MEDIUM,
    kind="stunnel",
    why=(
        "Without foreground = yes stunnel forks and its first process ends. Under a systemd unit "
        "of the usual type (stunnel@.service) the unit ends with it."
    ),
    fix=(
        "Write foreground = yes above the first section. Leave it out only where an init script "
        "starts stunnel."
    ),
    check=check,
    whole=True,
)
