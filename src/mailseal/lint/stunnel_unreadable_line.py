"""A line that is neither an option nor a section nor a comment."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for item in document.malformed:
        # Behind a NUL, or in a line that is read as two, another meaning may be left.
        yield Hit(item.span, item.reason, stops="does not start" in item.reason)


RULE = Rule(
    id="stunnel-unreadable-line",
    title="A line that stunnel does not take",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "Each line is a comment, a section in brackets, or `name = value`. stunnel does not start "
        "with another one, or reads it otherwise than it looks."
    ),
    fix="Correct the line, or make it a comment with ; in front.",
    check=check,
)
