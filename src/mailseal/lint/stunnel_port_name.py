"""A port that is given by its name."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.configs.text import Splice, encode
from mailseal.lint.base import Hit, Rule
from mailseal.lint.mail import NUMBERS
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        for key in ("accept", "connect"):
            for option, address, port in part.addresses(key):
                name = address.service.strip()
                if port is not None or not name.replace("-", "").isalnum():
                    continue
                old = encode(address.service)
                splices: tuple[Splice, ...] = ()
                if name in NUMBERS:
                    start = option.value.span.end - len(old)
                    splices = (Splice(start, old, b"%d" % NUMBERS[name]),)
                said = f"{name!r} is looked up in /etc/services of the host"
                yield Hit(option.value.span, said, splices)


RULE = Rule(
    id="stunnel-port-name",
    title="A port by name",
    severity=Severity.MEDIUM,
    kind="stunnel",
    why=(
        "The name is looked up in /etc/services. pop2 is not in that of Debian 12 any more: "
        "stunnel then does not start, or starts without the service."
    ),
    fix="Write the number.",
    check=check,
)
