"""A service of master.cf that offers AUTH before TLS by its own settings.

It takes back `smtpd_tls_auth_only`, or it enables AUTH where main.cf, which must be at hand for
that, does not ask for TLS. A service that forces TLS (postconf(5)), or takes no AUTH from
strangers, is not told.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Hit, Rule, With
from mailseal.lint.postfix_services import effective, forced, in_clear, left_out, outside, settings
from mailseal.model.finding import Severity


def check(read: With) -> Iterator[Hit]:
    main = settings(read.other)
    for service in read.document.services:
        values = effective(service, main)
        only = service.override("smtpd_tls_auth_only")
        auth = service.override("smtpd_sasl_auth_enable")
        if forced(values) or left_out(values):
            continue
        if only and only.value.text.lower() == "no":
            yield Hit(only.value.span, f"smtpd_tls_auth_only=no for the service {service.name}")
        elif auth and read.other and outside(service) and in_clear(values):
            said = f"smtpd_sasl_auth_enable=yes for {service.name}, and main.cf asks for no TLS"
            yield Hit(auth.value.span, said)


RULE = Rule(
    id="postfix-cleartext-login",
    title="A service of Postfix offers AUTH before TLS",
    severity=Severity.HIGH,
    kind="postfix",
    why=(
        "smtpd_tls_auth_only = no on a service lets a client send its password before STARTTLS, "
        "whatever main.cf says; smtpd_sasl_auth_enable = yes does where main.cf leaves it at no."
    ),
    fix=(
        "Write -o smtpd_tls_auth_only=yes for the service. For submission, -o "
        "smtpd_tls_security_level=encrypt asks for TLS before anything else."
    ),
    check=check,
)
