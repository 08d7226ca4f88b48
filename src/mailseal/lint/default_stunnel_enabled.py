"""Debian's old switch for stunnel, which its packages have not read since 5.44-2."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import assignments
from mailseal.lint.base import Hit, Rule
from mailseal.model.finding import Severity


def check(document: assignments.Document) -> Iterator[Hit]:
    found = document.last.get("ENABLED")
    if found:
        yield Hit(found.value.span, f"ENABLED={found.value.text} is not read")


RULE = Rule(
    id="default-stunnel-enabled",
    title="A switch that switches nothing",
    severity=Severity.LOW,
    kind="stunnel-default",
    why=(
        "Debian's stunnel4 has not read ENABLED since version 5.44-2: 0 does not keep stunnel "
        "down, and 1 does not start it."
    ),
    fix=(
        "Remove the line. `systemctl enable --now stunnel@NAME` starts stunnel with "
        "/etc/stunnel/NAME.conf, `systemctl disable --now stunnel4` keeps the init script's down."
    ),
    check=check,
)
