"""A service of xinetd on a port where logins begin in cleartext.

The defaults of another file are not known here: a service that they disable is told all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import xinetd
from mailseal.lint.base import Hit, Rule
from mailseal.lint.mail import NUMBERS, login_in_clear, loopback
from mailseal.model.finding import Severity


def check(document: xinetd.Document) -> Iterator[Hit]:
    for service in document.services:
        own = xinetd.effective(service, document.defaults)
        protocol = login_in_clear(xinetd.port(service, NUMBERS))
        here = loopback(own.get("bind", ("",))[0], False)
        tcp = own.get("protocol", ("tcp",))[0] == "tcp"
        if protocol and tcp and not here and xinetd.is_enabled(service, document.defaults):
            place = service.opening.name.span if service.opening.name else service.opening.span
            said = f"{service.name}: {protocol.upper()} by {xinetd.server(own) or 'xinetd'}"
            yield Hit(place, said)


RULE = Rule(
    id="xinetd-cleartext-login",
    title="xinetd serves a login in cleartext",
    severity=Severity.HIGH,
    kind="xinetd",
    why=(
        "xinetd starts a program on a port where clients log in before TLS, if there is any. The "
        "file does not say whether the program refuses that; those of xinetd's time cannot."
    ),
    fix=(
        "Look with `mailseal scan HOST:PORT`. If it is exposed, `mailseal seal HOST:PORT` puts "
        "TLS in front or takes the daemon off the network."
    ),
    check=check,
)
