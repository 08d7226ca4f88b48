"""SMTP forwarded to this host's own MTA in server mode."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.mail import mail
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        served = any(mail(port) == "smtp" for _, _, port in part.addresses("accept"))
        for option, _, port in () if part.client else part.backends:
            if served or mail(port) == "smtp":
                said = f"connect = {option.value.text}: the MTA sees every client as this host"
                yield Hit(option.value.span, said)


RULE = Rule(
    id="stunnel-smtp-wrapped",
    title="An MTA behind stunnel takes every client for itself",
    severity=Severity.CRITICAL,
    kind="stunnel",
    why=(
        "To a mail transfer agent behind stunnel every client comes from 127.0.0.1, which it "
        "trusts to relay mail to anywhere: an open relay."
    ),
    fix=(
        "Let the MTA serve TLS itself (Postfix: smtpd_tls_wrappermode = yes for port 465, "
        "smtpd_tls_security_level = encrypt for 587) and remove the section."
    ),
    check=check,
)
