"""What kind of configuration a file is, by its name and, where that does not tell, its content.

Strategy: a table of patterns over the path, the surest first. Content decides for stunnel alone,
whose files are called anything; a wrong guess would give faults that are none, so it must begin as
one does, and a section with `accept` or `connect` must be there. A template has the name of what it
becomes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mailseal.configs import (
    assignments,
    cyrus,
    cyrusservices,
    dovecot,
    exim,
    inetd,
    postfix,
    postfixmain,
    stunnel,
    systemd,
    xinetd,
)
from mailseal.lint.carriers import dockerfile, yamlfile

Parser = Callable[[bytes], Any]

PARSERS: dict[str, Parser] = {
    "stunnel": stunnel.parse,
    "inetd": inetd.parse,
    "xinetd": xinetd.parse,
    "socket": systemd.parse,
    "service": systemd.parse,
    "dovecot": dovecot.parse,
    "postfix": postfix.parse,
    "postfix-main": postfixmain.parse,
    "cyrus": cyrus.parse,
    "cyrus-services": cyrusservices.parse,
    "courier": assignments.parse,
    "exim": exim.parse,
    "stunnel-default": assignments.parse,
    "yaml": yamlfile.read,
    "dockerfile": dockerfile.read,
}
"""Kind to parser."""

CARRIERS = frozenset({"yaml", "dockerfile"})
"""What has other files in it."""

NEIGHBOURS: dict[str, Callable[[str], tuple[str, Parser]]] = {
    "postfix": lambda path: ("main.cf", postfixmain.parse),
    "postfix-main": lambda path: ("master.cf", postfix.parse),
    "cyrus": lambda path: ("cyrus.conf", cyrusservices.parse),
    "courier": lambda path: (path.rpartition("/")[2].removesuffix("-ssl"), assignments.parse),
}
"""The file in the same folder that a daemon reads with one, and its parser."""

LEFTOVER = re.compile(r"(~|\.(bak|orig|rej|swp|dpkg-\w+|ucf-\w+|rpmnew|rpmsave))$")
"""Names of files that editors and package managers leave, and no daemon reads."""

TEMPLATE = re.compile(r"\.(j2|jinja2?)$")

# `tmpfiles.d/stunnel.conf` is none of stunnel's.
_NAMES = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("inetd", r"(^|/)inetd\.conf$"),
        ("xinetd", r"(^|/)(xinetd\.conf|xinetd\.d/[^/.]+)$"),
        ("socket", r"\.socket$"),
        ("service", r"\.service$"),
        ("dovecot", r"(^|(?<!\.d)/)dovecot\.conf$|(^|/)(dovecot/conf\.d/[^/]+\.conf)$"),
        ("postfix", r"(^|/)master\.cf$"),
        ("postfix-main", r"(^|/)main\.cf$"),
        ("cyrus", r"(^|/)imapd\.conf$"),
        ("cyrus-services", r"(^|/)cyrus\.conf$"),
        ("courier", r"(^|/)courier/(imapd|pop3d)-ssl$"),
        ("exim", r"(^|/)exim4?\.conf(\.template|\.localmacros)?$|(^|/)exim4/conf\.d/main/[^/]+$"),
        ("stunnel-default", r"(^|/)default/stunnel4$"),
        ("stunnel", r"(^|(?<!\.d)/)stunnel[^/]*\.conf$|(^|/)stunnel[^/]*/([^/]+/)*[^/]+\.conf$"),
        ("dockerfile", r"(^|/)(Dockerfile|Containerfile)(\.[^/]+)?$|\.[Dd]ockerfile$"),
        ("yaml", r"\.ya?ml$"),
    )
)
_SECTION = re.compile(rb"^[ \t]*\[[^\]\n]+\][ \t\r]*$", re.MULTILINE)
_BEGIN = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:[ \t\r]*(?:[;#{].*)?\n)*+[ \t]*(?:\[|[A-Za-z]\w*[ \t]*=)"
)
"""Comments, then an option or a section: no page of a manual does."""
_FOREIGN = b"<%"
"""Of a template whose engine is not read here."""
_ENDPOINT = re.compile(rb"^[ \t]*(accept|connect)[ \t]*=", re.MULTILINE | re.IGNORECASE)


def kind_of(path: str, data: bytes) -> str:
    """The kind; empty where it is none that rules are for."""
    name = TEMPLATE.sub("", path)
    for kind, pattern in _NAMES:
        if pattern.search(name):
            return "" if _FOREIGN in data and kind not in CARRIERS else kind
    if (
        _BEGIN.match(data)
        and _SECTION.search(data)
        and _ENDPOINT.search(data)
        and _FOREIGN not in data
    ):
        return "stunnel"
    return ""
