"""SMTP forwarded to this host's own MTA in server mode, or spoken by one that stunnel starts."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.mail import mail
from mailseal.lint.sections import Part, parts
from mailseal.model.finding import Severity

MTAS = frozenset({"exim", "exim4", "sendmail", "sendmail.postfix", "sendmail.exim"})


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        if part.client:
            continue
        served = any(mail(port) == "smtp" for _, _, port in part.addresses("accept"))
        for option, _, port in part.backends:
            if served or mail(port) == "smtp":
                said = f"connect = {option.value.text}: the MTA sees every client as this host"
                yield Hit(option.value.span, said)
        program = part.last("exec")
        if program and (served or _speaks_smtp(program.value.text, part)):
            said = f"exec = {program.value.text}: the MTA sees every client as a program here"
            yield Hit(program.value.span, said)


def _speaks_smtp(path: str, part: Part) -> bool:
    return path.rpartition("/")[2] in MTAS and "-bs" in part.value("execargs").split()


RULE = Rule(
    id="stunnel-smtp-wrapped",
    title="An MTA behind stunnel takes every client for itself",
    severity=Severity.CRITICAL,
    kind="stunnel",
    why=(
        "To a mail transfer agent behind stunnel every client comes from 127.0.0.1, or from a "
        "program that stunnel started, and it trusts both to relay mail to anywhere: an open relay."
    ),
    fix=(
        "Let the MTA serve TLS itself (Postfix: smtpd_tls_wrappermode = yes for port 465, "
        "smtpd_tls_security_level = encrypt for 587) and remove the section."
    ),
    check=check,
)
