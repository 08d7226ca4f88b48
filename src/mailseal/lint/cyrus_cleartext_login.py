"""Cyrus's setting that permits logins before TLS, for all services or for one.

imapd.conf(5): an option with a service's name in front counts over the one without. Which services
there are, cyrus.conf says, where it is at hand.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import cyrus, cyrusservices
from mailseal.lint.base import Hit, Rule, With
from mailseal.lint.mail import loopback
from mailseal.model.finding import Severity

NAME = "allowplaintext"
PROGRAMS = ("imapd", "pop3d", "timsieved", "nntpd")


def check(read: With) -> Iterator[Hit]:
    options = {option.name: option for option in read.document.options}
    services = _services(read.other) if read.other else ()
    own = {f"{name}_{NAME}" for name in services}
    if not read.other or not own or own - set(options):
        own.add(NAME)
    for name, option in options.items():
        known = name in own if read.other else name.endswith(f"_{NAME}") or name == NAME
        if known and _yes(option):
            yield Hit(option.value.span, f"{name}: {option.value.text}")


def _services(document: cyrusservices.Document) -> tuple[str, ...]:
    """Those that other hosts reach and that begin without TLS."""
    found = []
    for entry in document.services:
        program, *words = entry.value("cmd").split() or [""]
        listen = entry.value("listen")
        outside = not listen.startswith("/") and not loopback(listen.rpartition(":")[0], False)
        if program.rpartition("/")[2] in PROGRAMS and outside and "-s" not in words:
            found.append(entry.name.text)
    return tuple(found)


def _yes(option: cyrus.Option) -> bool:
    """As lib/libconfig.c has it."""
    return option.value.text[:1] in ("1", "y", "Y", "t", "T") or option.value.text == "on"


RULE = Rule(
    id="cyrus-cleartext-login",
    title="Cyrus takes logins in cleartext",
    severity=Severity.HIGH,
    kind="cyrus",
    why="allowplaintext: yes lets a client send its password before TLS.",
    fix=(
        "Write allowplaintext: no. tls_required: yes (since 3.0) asks for TLS before every other "
        "way to log in, too. `mailseal plan HOST:PORT` names the clients that this cuts off."
    ),
    check=check,
)
