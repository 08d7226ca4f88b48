"""What kind of configuration a file is, by its name and, where that does not tell, its content.

Strategy: a table of patterns over the path, the surest first. Content decides for stunnel alone,
whose files are called anything; a wrong guess would give faults that are none, so a section with
`accept` or `connect` must be there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mailseal.configs import dovecot, inetd, postfix, stunnel, systemd, xinetd

PARSERS: dict[str, Callable[[bytes], Any]] = {
    "stunnel": stunnel.parse,
    "inetd": inetd.parse,
    "xinetd": xinetd.parse,
    "socket": systemd.parse,
    "dovecot": dovecot.parse,
    "postfix": postfix.parse,
}
"""Kind to parser."""

LEFTOVER = re.compile(r"(~|\.(bak|orig|rej|swp|dpkg-\w+|ucf-\w+|rpmnew|rpmsave))$")
"""Names of files that editors and package managers leave, and no daemon reads."""

_NAMES = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("inetd", r"(^|/)inetd\.conf$"),
        ("xinetd", r"(^|/)(xinetd\.conf|xinetd\.d/[^/.]+)$"),
        ("socket", r"\.socket$"),
        ("dovecot", r"(^|/)(dovecot\.conf|dovecot/conf\.d/[^/]+\.conf)$"),
        ("postfix", r"(^|/)postfix/master\.cf$|(^|/)master\.cf$"),
        ("stunnel", r"(^|/)stunnel[^/]*\.conf$|(^|/)stunnel[^/]*/([^/]+/)*[^/]+\.conf$"),
    )
)
_SECTION = re.compile(rb"^[ \t]*\[[^\]\n]+\][ \t\r]*$", re.MULTILINE)
_TEMPLATE = re.compile(rb"\{\{|\{%|<%")
"""Of Jinja, Go and ERB: what a file becomes that has these is not known."""
_ENDPOINT = re.compile(rb"^[ \t]*(accept|connect)[ \t]*=", re.MULTILINE | re.IGNORECASE)


def kind_of(path: str, data: bytes) -> str:
    """The kind; empty where it is none that rules are for."""
    if _TEMPLATE.search(data):
        return ""
    for kind, pattern in _NAMES:
        if pattern.search(path):
            return kind
    if _SECTION.search(data) and _ENDPOINT.search(data):
        return "stunnel"
    return ""
