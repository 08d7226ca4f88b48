"""EXPOSE of a port where logins begin in cleartext."""

from __future__ import annotations

from mailseal.lint.base import Rule
from mailseal.lint.compose_cleartext_port import check
from mailseal.model.finding import Severity

RULE = Rule(
    id="dockerfile-cleartext-port",
    title="An image is made for a login in cleartext",
    severity=Severity.LOW,
    kind="dockerfile",
    why=(
        "EXPOSE names a port where clients log in before TLS, if there is any: `docker run -P` "
        "publishes it, and whoever writes a compose file copies it."
    ),
    fix="Name the port of TLS (993, 995) in its place, or leave the line out.",
    check=check,
)
