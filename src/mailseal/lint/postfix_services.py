"""The smtpd services of master.cf with what main.cf says: who offers AUTH, and is TLS forced?

postconf(5): a service's own setting counts over main.cf, that over the default. AUTH is off by
default, and smtpd_tls_auth_only is no.
"""

from __future__ import annotations

from collections.abc import Mapping

from mailseal.configs import postfix, postfixmain
from mailseal.lint.mail import loopback

FORCED = (("smtpd_tls_wrappermode", "yes"), ("smtpd_tls_security_level", "encrypt"))
"""What asks for TLS before anything else."""


def settings(main: postfixmain.Document | None) -> dict[str, str]:
    """What main.cf sets."""
    return {name: each.value.text for name, each in main.last.items()} if main else {}


def effective(service: postfix.Service | None, main: Mapping[str, str]) -> dict[str, str]:
    """What is in force for a service (None: one that sets nothing itself)."""
    own = {each.name: each.value.text for each in service.overrides} if service else {}
    both = {**main, **own}
    return {name: postfixmain.expanded(both, value) for name, value in both.items()}


def forced(values: Mapping[str, str]) -> bool:
    return any(values.get(name) == value for name, value in FORCED)


def left_out(values: Mapping[str, str]) -> bool:
    """Whether AUTH is discarded: then it is not taken either (smtpd_sasl_proto.c), except from the
    clients that a table names.
    """
    words = values.get("smtpd_discard_ehlo_keywords", "").lower()
    return "auth" in words.replace(",", " ").split()


def in_clear(values: Mapping[str, str]) -> bool:
    """Whether AUTH is offered before TLS. What names a parameter that is not set is not."""
    offered = values.get("smtpd_sasl_auth_enable", "no").lower() == "yes"
    only = values.get("smtpd_tls_auth_only", "no").lower()
    return offered and only == "no" and not forced(values) and not left_out(values)


def outside(service: postfix.Service) -> bool:
    """Whether it is an smtpd that other hosts reach."""
    here = loopback(service.host, False)
    return service.type == "inet" and service.command == "smtpd" and not here
