"""Dovecot's setting that permits logins in cleartext, of 2.3 and of 2.4.

Of several on the top level the last counts. In a section (`remote`, `protocol`) it is an exception
that stands beside it, and is told by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import dovecot
from mailseal.lint.base import Hit, Rule
from mailseal.model.finding import Severity

PERMITS = {"disable_plaintext_auth": "no", "auth_allow_cleartext": "yes"}


def check(document: dovecot.Document) -> Iterator[Hit]:
    last: dict[object, Hit | None] = {}
    for sections, item in dovecot.nested(document):
        if isinstance(item, dovecot.Setting) and item.key.text in PERMITS:
            value = item.value.text.lower()
            said = f"{item.key.text} = {value}"
            where = " ".join(word for section in sections for word in section if word)
            hit = Hit(item.value.span, f"{said} in {where}" if where else said)
            last[sections, item.key.text] = hit if value == PERMITS[item.key.text] else None
    yield from (hit for hit in last.values() if hit)


RULE = Rule(
    id="dovecot-cleartext-login",
    title="Dovecot takes logins in cleartext",
    severity=Severity.HIGH,
    kind="dovecot",
    why=(
        "disable_plaintext_auth = no (2.3 and before) and auth_allow_cleartext = yes (2.4) let a "
        "client send its password before TLS."
    ),
    fix=(
        "Write disable_plaintext_auth = yes and ssl = required, for Dovecot 2.4 "
        "auth_allow_cleartext = no and ssl = required. `mailseal plan HOST:PORT` names the "
        "clients that this cuts off."
    ),
    check=check,
)
