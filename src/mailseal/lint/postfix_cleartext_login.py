"""A service of master.cf that takes back `smtpd_tls_auth_only`.

A service whose own settings force TLS (postconf(5)) is not told. main.cf is not read.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import postfix
from mailseal.lint.base import Hit, Rule
from mailseal.model.finding import Severity

FORCED = (("smtpd_tls_wrappermode", "yes"), ("smtpd_tls_security_level", "encrypt"))


def check(document: postfix.Document) -> Iterator[Hit]:
    for service in document.services:
        own = {each.name: each.value for each in service.overrides}
        only = own.get("smtpd_tls_auth_only")
        forced = any(name in own and own[name].text == value for name, value in FORCED)
        if only and only.text.lower() == "no" and not forced:
            yield Hit(only.span, f"smtpd_tls_auth_only=no for the service {service.name}")


RULE = Rule(
    id="postfix-cleartext-login",
    title="Postfix offers AUTH before TLS",
    severity=Severity.HIGH,
    kind="postfix",
    why=(
        "smtpd_tls_auth_only = no on a service lets a client send its password before STARTTLS, "
        "whatever main.cf says."
    ),
    fix=(
        "Remove the line, or write -o smtpd_tls_auth_only=yes. For submission, -o "
        "smtpd_tls_security_level=encrypt asks for TLS before anything else."
    ),
    check=check,
)
