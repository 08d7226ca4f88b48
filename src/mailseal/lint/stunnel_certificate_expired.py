"""A certificate of this host that has expired."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Here, Hit, Rule
from mailseal.lint.sections import named_paths
from mailseal.model.finding import Severity


def check(here: Here) -> Iterator[Hit]:
    for key, option, path in named_paths(here.document):
        found = here.there.paths.get(path)
        if key == "cert" and found and found.ended:
            yield Hit(option.value.span, f"{path} expired on {found.ended}")


RULE = Rule(
    id="stunnel-certificate-expired",
    title="The certificate has expired",
    severity=Severity.CRITICAL,
    kind="stunnel-here",
    why=(
        "stunnel serves an expired certificate without a warning. Clients that check refuse it, "
        "and the others have learned not to look."
    ),
    fix="Renew the certificate, then reload stunnel: it reads certificates on SIGHUP alone.",
    check=check,
)
