"""TLS compression."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule, without
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for option in document.globals:
        if option.key.text.lower() == "compression":
            said = f"compression = {option.value.text}"
            yield Hit(option.key.span, said, without(document.data, option.span))


RULE = Rule(
    id="stunnel-compression",
    title="Compression inside TLS",
    severity=Severity.MEDIUM,
    kind="stunnel",
    why=(
        "Compressed content tells by its length what it is (CRIME). OpenSSL of today is built "
        "without it, and stunnel then does not start."
    ),
    fix="Remove the line.",
    check=check,
    stops=True,
)
