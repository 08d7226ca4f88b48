"""A bound that lets a retired version of TLS in.

Raising it is safe where the security level keeps these versions out anyway.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.configs.text import replace
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity

OLD = frozenset({"SSLV2", "SSLV3", "TLSV1", "TLSV1.1", "ALL"})


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        for key in ("sslversionmin", "sslversion"):
            option = part.last(key)
            if option is None or option.value.text.upper() not in OLD:
                continue
            lowered = part.value("securitylevel") or "@SECLEVEL" in part.value("ciphers").upper()
            safe = key == "sslversionmin" and not lowered and not part.value("sslversionmax")
            splice = replace(document.data, option.value.span, b"TLSv1.2")
            said = f"{option.key.text} = {option.value.text}"
            yield Hit(option.value.span, said, (splice,) if safe else ())


RULE = Rule(
    id="stunnel-old-tls-version",
    title="A retired version of TLS",
    severity=Severity.MEDIUM,
    kind="stunnel",
    why=(
        "TLS 1.0 and 1.1 must not be used (RFC 8996). At OpenSSL's security level 2 the line has "
        "no effect, so it only looks as if old clients were served."
    ),
    fix=(
        "Write sslVersionMin = TLSv1.2. Clients that need less get a listener of their own, with "
        "its own securityLevel."
    ),
    check=check,
)
