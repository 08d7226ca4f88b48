"""`foreground` is not set.

For inetd mode, without a section, it does not matter, and stunnel for Windows has no such option.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.configs.text import newline_of
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import every_option
from mailseal.model.finding import Severity

_TRAY = frozenset({"iconactive", "iconerror", "iconidle", "taskbar"})
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")


def _of_windows(document: stunnel.Document) -> bool:
    """By its line ends, an option of Windows alone, or a path with a drive's letter."""
    return newline_of(document.data) == b"\r\n" or any(
        option.key.text.lower() in _TRAY or _DRIVE.match(option.value.text)
        for option in every_option(document)
    )


def check(document: stunnel.Document) -> Iterator[Hit]:
    last = ""
    for option in document.globals:
        if option.key.text.lower() == "foreground":
            last = option.value.text.lower()
    if document.services and last not in ("yes", "quiet") and not _of_windows(document):
        place = document.services[0].section.name.span
        yield Hit(place, "foreground = yes is not set above the first section")


RULE = Rule(
    id="stunnel-foreground",
    title="stunnel leaves its unit",
    severity=Severity.MEDIUM,
    kind="stunnel",
    why=(
        "Without foreground = yes stunnel forks and its first process ends. Under a systemd unit "
        "of the usual type (stunnel@.service) the unit ends with it."
    ),
    fix=(
        "Write foreground = yes above the first section. Leave it out only where an init script "
        "starts stunnel."
    ),
    check=check,
    whole=True,
)
