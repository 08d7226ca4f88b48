"""`debug` at its highest level."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.configs.text import replace
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        for option in part.options.get("debug", ()):
            if option.value.text.lower() in ("7", "debug"):
                splice = replace(document.data, option.value.span, b"5")
                yield Hit(option.value.span, f"debug = {option.value.text}", (splice,))


RULE = Rule(
    id="stunnel-debug",
    title="Everything is logged",
    severity=Severity.LOW,
    kind="stunnel",
    why=(
        "Level 7 writes dozens of lines for each connection: what matters is lost among them, and "
        "the disk fills."
    ),
    fix="Write debug = 5, the level without the line.",
    check=check,
)
