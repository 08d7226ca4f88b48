"""AUTH in main.cf without what asks for TLS first.

Where master.cf is at hand a service counts that takes it as it is; explicit `no` has a rule of its
own.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Hit, Rule, With
from mailseal.lint.postfix_services import effective, in_clear, outside, settings
from mailseal.model.finding import Severity

KEY = "smtpd_sasl_auth_enable"


def check(read: With) -> Iterator[Hit]:
    main = settings(read.document)
    if KEY not in main or "smtpd_tls_auth_only" in main or not in_clear(effective(None, main)):
        return
    place = read.document.last[KEY].value.span
    if read.other is None:
        yield Hit(place, f"{KEY} = yes, and smtpd_tls_auth_only is no unless it is set")
        return
    exposed = [
        service.name
        for service in read.other.services
        if outside(service) and not service.override(KEY) and in_clear(effective(service, main))
    ]
    if exposed:
        yield Hit(place, f"{KEY} = yes, without TLS first, for {', '.join(exposed)}")


RULE = Rule(
    id="postfix-main-cleartext-login",
    title="Postfix offers AUTH before TLS",
    severity=Severity.HIGH,
    kind="postfix-main",
    why=(
        "smtpd_tls_auth_only is no unless it is set: every service that AUTH is enabled for takes "
        "a password before STARTTLS."
    ),
    fix=(
        "Write smtpd_tls_auth_only = yes beside it. `mailseal plan HOST:PORT` names the clients "
        "that this cuts off."
    ),
    check=check,
    whole=True,
)
