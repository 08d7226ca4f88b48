"""A ListenStream of a socket unit on a port where logins begin in cleartext.

After systemd.socket(5): a port alone is every address; an empty assignment takes back those before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.configs import systemd
from mailseal.lint.base import Hit, Rule
from mailseal.lint.mail import login_in_clear, loopback
from mailseal.model.finding import Severity

PORT = re.compile(r"[0-9]{1,5}")
OTHER = re.compile(r"[/@%]|vsock:")
"""A Unix socket, or what is no address of a network."""


def check(document: systemd.Document) -> Iterator[Hit]:
    hits: list[Hit] = []
    for option in document.options("Socket", "ListenStream"):
        value = option.value.text
        host, _, port = value.rpartition(":")
        network = PORT.fullmatch(port) and not OTHER.match(value)
        protocol = login_in_clear(int(port)) if network else ""
        if not value:
            hits = []
        elif protocol and not loopback(host, False):
            said = f"ListenStream={value}: {protocol.upper()}"
            hits.append(Hit(option.value.span, said))
    yield from hits


RULE = Rule(
    id="socket-cleartext-login",
    title="A systemd socket serves a login in cleartext",
    severity=Severity.HIGH,
    kind="socket",
    why=(
        "The socket unit listens on a port where clients log in before TLS, if there is any. The "
        "file does not say whether the program that it starts refuses that."
    ),
    fix=(
        "Look with `mailseal scan HOST:PORT`. If it is exposed, `mailseal seal HOST:PORT` puts "
        "TLS in front or takes the daemon off the network. A Unix socket behind stunnel is "
        "listened on with ListenStream=/run/..."
    ),
    check=check,
)
