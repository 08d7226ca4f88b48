"""`smtpd_tls_auth_only = no` in main.cf, written out."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Hit, Rule, With
from mailseal.lint.postfix_services import FORCED
from mailseal.model.finding import Severity


def check(read: With) -> Iterator[Hit]:
    settings = read.document.last
    only = settings.get("smtpd_tls_auth_only")
    forced = any(name in settings and settings[name].value.text == v for name, v in FORCED)
    if only and only.value.text.lower() == "no" and not forced:
        yield Hit(only.value.span, "smtpd_tls_auth_only = no for every service of master.cf")


RULE = Rule(
    id="postfix-auth-only-off",
    title="Postfix may offer AUTH before TLS",
    severity=Severity.HIGH,
    kind="postfix-main",
    why=(
        "smtpd_tls_auth_only = no lets a client send its password before STARTTLS to each service "
        "that has AUTH."
    ),
    fix="Write smtpd_tls_auth_only = yes.",
    check=check,
)
