"""Client mode without a check of the peer.

A pinned certificate (verifyPeer, verify = 3 and 4) or a pre-shared key needs no name.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import parts
from mailseal.model.finding import Severity


def check(document: stunnel.Document) -> Iterator[Hit]:
    for part in parts(document):
        pinned = part.yes("verifypeer") or part.value("verify") in ("3", "4")
        if not part.client or pinned or part.value("psksecrets"):
            continue
        lacks = []
        if not part.yes("verifychain") and part.value("verify") != "2":
            lacks.append("verifyChain = yes")
        if not part.texts("checkhost") and not part.texts("checkip"):
            lacks.append("checkHost")
        if lacks:
            yield Hit(part.place, f"client mode without {' and '.join(lacks)}")


RULE = Rule(
    id="stunnel-client-unchecked",
    title="A client that does not check whom it speaks to",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "Without a check of the certificate's chain and name, whoever is on the path answers in "
        "the server's place and gets the password."
    ),
    fix=(
        "Add verifyChain = yes, CAfile = FILE and checkHost = NAME; or pin the certificate with "
        "verifyPeer = yes and CAfile."
    ),
    check=check,
    whole=True,
)
