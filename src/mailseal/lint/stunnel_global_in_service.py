"""An option of the whole program inside a section."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.configs.text import Splice
from mailseal.lint.base import Hit, Rule, without
from mailseal.model.finding import Severity

GLOBAL = frozenset(
    "chroot compression egd engine enginectrl enginedefault fips foreground iconactive iconerror "
    "iconidle log output pid rndbytes rndfile rndoverwrite syslog taskbar".split()
)
"""In lower case. Tried on stunnel 5.68: setuid, setgid, debug and service may stand in both."""


def check(document: stunnel.Document) -> Iterator[Hit]:
    # The value above the sections; None where another fix will write it.
    above: dict[str, str | None] = {
        option.key.text.lower(): option.value.text for option in document.globals
    }
    for service in document.services:
        for option in service.options:
            key, value = option.key.text.lower(), option.value.text
            if key not in GLOBAL:
                continue
            out = without(document.data, option.span)
            splices: tuple[Splice, ...] = ()
            if key not in above:
                with contextlib.suppress(ValueError):  # a value that cannot be written anew
                    splices = stunnel.set_option(document, None, option.key.text, value) + out
                above[key] = None
            elif above[key] == value:
                splices = out
            said = f"{option.key.text} inside [{service.name}]"
            yield Hit(option.key.span, said, splices, stops=True)


RULE = Rule(
    id="stunnel-global-in-service",
    title="A global option inside a section",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "Options of the whole program stand before the first section. Inside one stunnel does not "
        "know them and does not start."
    ),
    fix="Move the line above the first section.",
    check=check,
)
