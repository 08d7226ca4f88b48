"""`setuid` beside a listener under port 1024."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        option = part.last("setuid")
        if option is None or option.value.text in ("root", "0"):
            continue
        for accept, _, port in part.addresses("accept"):
            if port is not None and 0 < port < 1024:
                said = f"after SIGHUP {option.value.text} cannot bind {accept.value.text}"
                yield Hit(option.key.span, said)


RULE = Rule(
    id="stunnel-setuid-low-port",
    title="A reload loses the port",
    severity=Severity.CRITICAL,
    kind="stunnel",
    why=(
        "stunnel binds its ports again on SIGHUP, without the rights that it has given up: a port "
        "under 1024 is gone, and the process lives on."
    ),
    fix=(
        "Remove setuid and start stunnel as its user with "
        "AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or use socket activation."
    ),
    check=check,
)
