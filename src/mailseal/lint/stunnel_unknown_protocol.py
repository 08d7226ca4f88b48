"""A value of `protocol` that stunnel does not know, or not in this mode."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity

KNOWN = frozenset("capwin capwinctrl cifs connect imap pgsql pop3 smtp socks".split())
BY_MODE = {True: KNOWN | {"ldap", "nntp"}, False: KNOWN | {"proxy"}}
"""By client mode; tried on stunnel 5.68."""


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        option = part.last("protocol")
        if option and option.value.text.lower() not in BY_MODE[part.client]:
            mode = "client" if part.client else "server"
            said = f"stunnel knows no protocol {option.value.text!r} in {mode} mode"
            yield Hit(option.value.span, said, stops=True)


RULE = Rule(
    id="stunnel-unknown-protocol",
    title="An unknown protocol",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "protocol names a way to begin TLS inside another protocol. stunnel knows few, POP2 is "
        "none of them, and with another one it does not start."
    ),
    fix="Remove the line: TLS then begins with the first octet.",
    check=check,
)
