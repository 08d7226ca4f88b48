"""Nobody takes connections where `connect` of a server leads."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Here, Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(here: Here) -> Iterator[Hit]:
    for part in parts(here.document):
        for option in () if part.client else part.options.get("connect", ()):
            answer = here.there.answers.get(option.value.text)
            if answer and answer.resolves and not answer.taken:
                yield Hit(option.value.span, f"nobody takes connections at {option.value.text}")


RULE = Rule(
    id="stunnel-dead-backend",
    title="Nobody behind stunnel",
    severity=Severity.HIGH,
    kind="stunnel-here",
    why=(
        "stunnel starts without its backend, and the TLS handshake of each client still succeeds: "
        "whoever looks at the port alone sees a service."
    ),
    fix=(
        "Start the daemon, or correct connect. `mailseal verify HOST:PORT` asks for the greeting "
        "through TLS."
    ),
    check=check,
)
