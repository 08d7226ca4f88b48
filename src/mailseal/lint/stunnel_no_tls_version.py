"""Every version of TLS is excluded, by `options = NO_...` and by the bounds.

Bounds that cross stop stunnel 5.68, versions that are switched off one by one do not: the rule
is for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity

VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


def check(document: stunnel.Document) -> Iterator[Hit]:
    everywhere = _off(document.globals)
    for part in parts(document):
        low, high = (part.value(key) for key in ("sslversionmin", "sslversionmax"))
        first = VERSIONS.index(low) if low in VERSIONS else 0
        last = VERSIONS.index(high) if high in VERSIONS else len(VERSIONS) - 1
        off = everywhere | _off(part.service.options) if part.service else everywhere
        left = [
            each
            for each in VERSIONS[first : last + 1]
            # OpenSSL of today is built without SSLv3.
            if each != "SSLv3" and "NO_" + each.upper().replace(".", "_") not in off
        ]
        if not left:
            key = "sslversionmax" if first > last else "options"
            option = part.last(key) or part.last("sslversionmax")
            if option:
                said = "no version of TLS is left to agree on"
                yield Hit(option.key.span, said, stops=first > last)


def _off(options: Iterable[stunnel.Option]) -> set[str]:
    return {each.value.text.upper() for each in options if each.key.text.lower() == "options"}


RULE = Rule(
    id="stunnel-no-tls-version",
    title="No TLS version is left",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "Every version of TLS is taken away. stunnel says that the configuration is successful, "
        "and no client gets in."
    ),
    fix="Remove the lines that take versions away and write sslVersionMin = TLSv1.2.",
    check=check,
)
