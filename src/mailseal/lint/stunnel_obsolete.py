"""`verify`, and options against versions that are gone.

`verify = 2` requires a certificate of the client, which `verifyChain` alone does not.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.configs.text import Splice, newline_of
from mailseal.lint.base import Hit, Rule, without
from mailseal.lint.sections import every_option
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for option in every_option(document):
        key, value = option.key.text.lower(), option.value.text
        said = f"{option.key.text} = {value} is obsolete"
        if key == "options" and value.upper() in ("NO_SSLV2", "NO_SSLV3"):
            yield Hit(option.value.span, said, without(document.data, option.span))
        elif key == "verify":
            yield Hit(option.key.span, said, _chain(document, option) if value == "2" else ())


def _chain(document: stunnel.Document, option: stunnel.Option) -> tuple[Splice, ...]:
    """The lines that say what `verify = 2` means."""
    start, end = option.key.span.start, option.value.span.end
    new = newline_of(document.data).join((b"verifyChain = yes", b"requireCert = yes"))
    return (Splice(start, document.data[start:end], new),)


RULE = Rule(
    id="stunnel-obsolete",
    title="An obsolete option",
    severity=Severity.LOW,
    kind="stunnel",
    why=(
        "verify has given way to options that say what they check. NO_SSLv2 and NO_SSLv3 switch "
        "off what has long been off, and hide what counts: the lowest version."
    ),
    fix=(
        "Write verifyChain = yes and requireCert = yes in place of verify = 2; remove NO_SSLv2 "
        "and NO_SSLv3."
    ),
    check=check,
)
