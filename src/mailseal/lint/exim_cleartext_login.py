"""Debian's macro with which Exim's authenticators are offered before TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.configs import exim
from mailseal.configs.text import Span
from mailseal.lint.base import Hit, Rule
from mailseal.model.finding import Severity

MACRO = re.compile(rb"AUTH_SERVER_ALLOW_NOTLS_PASSWORDS(?=[ \t]*=)")


def check(document: exim.Document) -> Iterator[Hit]:
    for item in document.items:
        if isinstance(item, exim.Other):
            place = item.span
            found = MACRO.match(document.data, place.start)
            if found:
                span = Span(place.line, place.column, *found.span())
                yield Hit(span, found[0].decode())


RULE = Rule(
    id="exim-cleartext-login",
    title="Exim offers AUTH before TLS",
    severity=Severity.HIGH,
    kind="exim",
    why=(
        "In Debian's configuration the authenticators are offered inside TLS alone, unless this "
        "macro is defined, to whatever value: then a client may send its password in cleartext."
    ),
    fix="Remove the line, run `update-exim4.conf` and restart exim4.",
    check=check,
)
