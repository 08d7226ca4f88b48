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
BOUNDS = ("sslversion", "sslversionmin", "sslversionmax")


def check(document: stunnel.Document) -> Iterator[Hit]:
    everywhere = _off(document.globals, frozenset())
    for part in parts(document):
        low, high, last = _bounds(part)
        off = _off(part.service.options, everywhere) if part.service else everywhere
        left = BUILT.intersection(VERSIONS[low : high + 1]) - off
        level = "" if _lowered(part) else " at OpenSSL's security level"
        if left and (not level or left & STRONG):
            continue
        option = (last if low > high else part.last("options")) or last
        if option:
            said = f"no version of TLS is left to agree on{level if left else ''}"
            yield Hit(option.key.span, said, stops=low > high)


class _Bounds(NamedTuple):
    """Places in VERSIONS, and the option that was the last to set one."""

    low: int
    high: int
    last: Option | None


def _bounds(part: Part) -> _Bounds:
    found = _Bounds(0, len(VERSIONS) - 1, None)
    options = [option for key in BOUNDS for option in part.options.get(key, ())]
    for option in sorted(options, key=lambda option: option.span.start):
        key, value = option.key.text.lower(), option.value.text.upper()
        if value == "ALL":
            low, high = 0, len(VERSIONS) - 1
        elif value in VERSIONS:
            low = high = VERSIONS.index(value)
        else:
            continue
        if key == "sslversionmin":
            high = found.high
        elif key == "sslversionmax":
            low = found.low
        found = _Bounds(low, high, option)
    return found


def _off(options: Iterable[Option], above: frozenset[str]) -> frozenset[str]:
    """The versions that are switched off, and not on again; `above`: those that were before."""
    off = set(above)
    for option in options:
        name = option.value.text.upper()
        version = name.removeprefix("-").removeprefix("NO_").replace("_", ".")
        if option.key.text.lower() == "options" and version in VERSIONS:
            (off.discard if name.startswith("-") else off.add)(version)
    return frozenset(off)


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
