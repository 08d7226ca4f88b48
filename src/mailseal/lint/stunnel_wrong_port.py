"""A section named after one mail protocol with the port of another."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.mail import mail
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity

NAMED = re.compile(r"\s*(pop2|pop3|imap|smtp|managesieve)s?(?![a-z0-9])", re.IGNORECASE)


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        named = NAMED.match(part.name)
        for key in ("accept", "connect") if named else ():
            for option, _, port in part.addresses(key):
                if named and mail(port) not in ("", named[1].lower()):
                    said = f"port {port} is that of {mail(port).upper()}, not {named[1].upper()}"
                    yield Hit(option.value.span, said)


RULE = Rule(
    id="stunnel-wrong-port",
    title="The port is that of another protocol",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "The section is named after one mail protocol and uses the port of another. Clients of "
        "the first find nothing there; those of the second get an answer they do not understand."
    ),
    fix=(
        "Use the port of the protocol: POP2 109, POP3 110 or 995, IMAP 143 or 993, ManageSieve "
        "4190."
    ),
    check=check,
)
