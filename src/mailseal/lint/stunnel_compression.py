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
        "Compressed content tells by its length what it is (CRIME). Where OpenSSL was built "
        "without it, as in Debian 11 and 12, stunnel does not start; in Debian 13 it starts."
    ),
    fix="Remove the line.",
    check=check,
)
