"""A `;` or `#` behind a value.

In passwords, headers and command lines these may be meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.configs.text import Splice, encode, newline_of
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import every_option
from mailseal.model.finding import Severity

COMMENT = re.compile(r"(?:^|[ \t]+)([;#].*)", re.DOTALL)
FREE = frozenset({"execargs", "protocolpassword", "protocolusername", "protocolheader"})
TAKEN = frozenset(
    "checkemail checkhost checkip ciphers connect ident ocsp output pid protocoldomain "
    "protocolhost pskidentity service sni".split()
)
"""What stunnel 5.68 takes as it comes, and starts with."""


def check(document: stunnel.Document) -> Iterator[Hit]:
    for option in every_option(document):
        found = COMMENT.search(option.value.text)
        if found is None or option.key.text.lower() in FREE:
            continue
        tail = encode(found[0])
        line = encode(found[1]) + newline_of(document.data)
        splices = (
            Splice(option.span.start, b"", line),
            Splice(option.value.span.end - len(tail), tail, b""),
        )
        said = f"{found[1]!r} is part of the value of {option.key.text}"
        stops = option.key.text.lower() not in TAKEN
        yield Hit(option.value.span, said, splices, stops)


RULE = Rule(
    id="stunnel-trailing-comment",
    title="A comment behind a value",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "stunnel knows no comment but a whole line. What stands behind a value is part of it: "
        "stunnel does not start, or uses a file or a name that is not there."
    ),
    fix="Put the comment on a line of its own.",
    check=check,
)
