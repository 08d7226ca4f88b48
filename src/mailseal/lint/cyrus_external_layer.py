"""A service of cyrus.conf that is told its connections are protected, on a port for everybody.

imapd(8): `-p ssf`, where more than 1 is some protection of privacy.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from mailseal.configs import cyrusservices
from mailseal.lint.base import Hit, Rule
from mailseal.lint.mail import loopback
from mailseal.model.finding import Severity


def check(document: cyrusservices.Document) -> Iterator[Hit]:
    for entry in document.services:
        words = entry.value("cmd").split()
        after = [behind for word, behind in pairwise(words) if word == "-p"]
        joined = [word[2:] for word in words if word.startswith("-p") and word[2:]]
        strength = [int(each) for each in after + joined if each.isdecimal() and len(each) < 9]
        listen = entry.value("listen")
        here = listen.startswith("/") or loopback(listen.rpartition(":")[0], False)
        if strength and max(strength) > 1 and not here:
            said = f"{entry.name.text}: -p {max(strength)} at listen={listen}"
            yield Hit(entry.values["cmd"].span, said)


RULE = Rule(
    id="cyrus-external-layer",
    title="Cyrus takes the network for protected",
    severity=Severity.HIGH,
    kind="cyrus-services",
    why=(
        "-p with a number above 1 tells the service that something in front of it encrypts, so "
        "that it takes passwords without TLS whatever allowplaintext says. At this address every "
        "client comes directly."
    ),
    fix='Remove -p, or listen where only what encrypts comes from: listen="127.0.0.1:PORT".',
    check=check,
)
