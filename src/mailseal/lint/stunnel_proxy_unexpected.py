"""`protocol = proxy` before a backend that does not wait for its line.

A daemon that expects the PROXY protocol says nothing before that line (PROXY protocol, section 2):
one that greets at once does not expect it.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Here, Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(here: Here) -> Iterator[Hit]:
    for part in parts(here.document):
        if part.client or part.value("protocol").lower() != "proxy":
            continue
        for option in part.options.get("connect", ()):
            answer = here.there.answers.get(option.value.text)
            if answer and answer.greets:
                yield Hit(option.value.span, f"{option.value.text} greets before the PROXY line")


RULE = Rule(
    id="stunnel-proxy-unexpected",
    title="The backend does not expect the PROXY protocol",
    severity=Severity.HIGH,
    kind="stunnel-here",
    why=(
        "With protocol = proxy stunnel begins with a line that says who the client is. A daemon "
        "that does not expect it takes it for a command, and clients get an error in place of a "
        "session."
    ),
    fix=(
        "Remove the line, or give the daemon a listener that expects PROXY version 1, which "
        "nobody but stunnel reaches (Dovecot: haproxy = yes in an inet_listener, and "
        "haproxy_trusted_networks)."
    ),
    check=check,
)
