"""`securityLevel`, or `@SECLEVEL` among the ciphers, below OpenSSL's 2."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity

LEVEL = re.compile(r"@SECLEVEL=([01])(?![0-9])", re.IGNORECASE)


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        level, ciphers = part.last("securitylevel"), part.last("ciphers")
        if level and level.value.text in ("0", "1"):
            yield Hit(level.value.span, f"securityLevel = {level.value.text}")
        if ciphers and (found := LEVEL.search(ciphers.value.text)):
            yield Hit(ciphers.value.span, f"the ciphers lower the security level to {found[1]}")


RULE = Rule(
    id="stunnel-security-level",
    title="The security level lets weak TLS in",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "At level 0 OpenSSL takes TLS 1.0, short keys and broken digests; at level 1 keys of 80 "
        "bits of strength."
    ),
    fix=(
        "Remove the line: the level is 2 then. Clients that need less get a listener of their own."
    ),
    check=check,
)
