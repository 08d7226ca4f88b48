"""Brackets around the address of `accept` or `connect`."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.configs.text import encode, replace
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        for key in ("accept", "connect"):
            for option, address, _ in part.addresses(key):
                host = address.host or ""
                if host.startswith("[") and host.endswith("]"):
                    value = f"{host[1:-1]}:{address.service}"
                    splice = replace(document.data, option.value.span, encode(value))
                    said = f"stunnel cannot resolve {host!r}"
                    yield Hit(option.value.span, said, (splice,), stops=True)


RULE = Rule(
    id="stunnel-accept-brackets",
    title="An IPv6 address in brackets",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "stunnel parts address and port at the last colon and takes brackets for part of the "
        "address, which then cannot be resolved: it does not start."
    ),
    fix="Write the address without brackets: ::1:109.",
    check=check,
)
