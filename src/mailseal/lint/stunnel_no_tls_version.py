"""Every version of TLS is excluded: by the bounds, by `options = NO_...`, by the security level.

Bounds that cross stop stunnel 5.68, the rest does not. `sslVersion` sets both bounds, and whichever
of the three options stands last counts. Above level 0 OpenSSL 3 speaks nothing older than TLS 1.2
(tried; SSL_CTX_set_security_level(3)); OpenSSL 1.1.1 does so at level 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mailseal.configs import stunnel
from mailseal.configs.stunnel import Option
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import Part, parts
from mailseal.lint.stunnel_security_level import LEVEL
from mailseal.model.finding import Severity

VERSIONS = ("SSLV3", "TLSV1", "TLSV1.1", "TLSV1.2", "TLSV1.3")
BUILT = frozenset(VERSIONS[1:])
"""OpenSSL of today is built without SSLv3."""
STRONG = frozenset(VERSIONS[3:])
"""What the security level leaves."""


class _Left(NamedTuple):
    """Bounds as places in VERSIONS, and what is switched off between them; the options that did the
    last of both.
    """

    low: int = 0
    high: int = len(VERSIONS) - 1
    bound: Option | None = None
    off: frozenset[str] = frozenset()
    switch: Option | None = None


def check(document: stunnel.Document) -> Iterator[Hit]:
    everywhere = _after(document.globals, _Left())
    for part in parts(document):
        found = _after(part.service.options, everywhere) if part.service else everywhere
        left = BUILT.intersection(VERSIONS[found.low : found.high + 1]) - found.off
        level = "" if _lowered(part) else " at OpenSSL's security level"
        if left and (not level or left & STRONG):
            continue
        crossed = found.low > found.high
        option = found.bound if crossed else found.switch or found.bound
        if option:
            said = f"no version of TLS is left to agree on{level if left else ''}"
            yield Hit(option.key.span, said, stops=crossed)


def _after(options: Iterable[Option], found: _Left) -> _Left:
    """What options leave of what was left before."""
    for option in options:
        key, value = option.key.text.lower(), option.value.text.upper()
        if version := _version(option):
            off = found.off - {version} if value.startswith("-") else found.off | {version}
            found = found._replace(off=off, switch=option)
        elif key.startswith("sslversion") and value in (*VERSIONS, "ALL"):
            low = 0 if value == "ALL" else VERSIONS.index(value)
            high = len(VERSIONS) - 1 if value == "ALL" else low
            if key != "sslversionmax":
                found = found._replace(low=low, bound=option)
            if key != "sslversionmin":
                found = found._replace(high=high, bound=option)
    return found


def _version(option: Option) -> str:
    """The version that an option switches off, or on again; empty where it is about none."""
    name = option.value.text.upper().removeprefix("-")
    version = name.removeprefix("NO_").replace("_", ".")
    about = option.key.text.lower() == "options" and name.startswith("NO_")
    return version if about and version in VERSIONS else ""


def _lowered(part: Part) -> bool:
    return part.value("securitylevel") in ("0", "1") or bool(LEVEL.search(part.value("ciphers")))


RULE = Rule(
    id="stunnel-no-tls-version",
    title="No TLS version is left",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "Every version of TLS is taken away, or is kept out by OpenSSL's security level. stunnel "
        "says that the configuration is successful, and no client gets in."
    ),
    fix="Remove the lines that take versions away and write sslVersionMin = TLSv1.2.",
    check=check,
)
