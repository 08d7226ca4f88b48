"""A line of inetd.conf on a port where logins begin in cleartext.

A service of this host alone is none of the network's.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import inetd
from mailseal.lint.base import Hit, Rule
from mailseal.lint.mail import NUMBERS, login_in_clear, loopback
from mailseal.model.finding import Severity


def check(document: inetd.Document) -> Iterator[Hit]:
    for entry in document.entries:
        protocol = login_in_clear(inetd.port(entry, NUMBERS))
        own = all(loopback(address, False) for address in entry.addresses)
        if protocol and entry.transport == "tcp" and not own:
            said = f"{entry.service}: {protocol.upper()} by {entry.effective_server or 'tcpd'}"
            yield Hit(entry.fields[0].span, said)


RULE = Rule(
    id="inetd-cleartext-login",
    title="inetd serves a login in cleartext",
    severity=Severity.HIGH,
    kind="inetd",
    why=(
        "inetd starts a program on a port where clients log in before TLS, if there is any. The "
        "file does not say whether the program refuses that; those of inetd's time cannot."
    ),
    fix=(
        "Look with `mailseal scan HOST:PORT`. If it is exposed, `mailseal seal HOST:PORT` puts "
        "TLS in front or takes the daemon off the network."
    ),
    check=check,
)
