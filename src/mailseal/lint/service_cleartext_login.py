"""A unit whose command line opens a login in cleartext.

Dovecot's -o counts over its files; a relay (socat, ncat) on such a port has no TLS by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.configs import systemd
from mailseal.lint.base import Hit, Rule
from mailseal.lint.dovecot_cleartext_login import PERMITS
from mailseal.lint.mail import login_in_clear, loopback
from mailseal.model.finding import Severity

SOCAT = re.compile(r"TCP[46]?-L(?:ISTEN)?:(\d{1,5})((?:,[^,]+)*)", re.IGNORECASE)
BIND = re.compile(r",bind=(\[[^\]]*\]|[^,:]+)")
STARTS = ("ExecStart", "ExecStartPre", "ExecStartPost")


def check(document: systemd.Document) -> Iterator[Hit]:
    for key in STARTS:
        for option in document.options("Service", key):
            for command in systemd.split_exec(option.value.text) or ():
                program = command.path.rpartition("/")[2]
                for said in _dovecot(command.argv) if program == "dovecot" else ():
                    yield Hit(option.value.span, said)
                for said in _relayed(program, command.argv):
                    yield Hit(option.value.span, said)


def _dovecot(argv: tuple[str, ...]) -> Iterator[str]:
    for word in argv[1:]:
        name, equals, value = word.removeprefix("-o").partition("=")
        if equals and PERMITS.get(name) == value.lower():
            yield f"dovecot -o {name}={value}"


def _relayed(program: str, argv: tuple[str, ...]) -> Iterator[str]:
    if program == "socat":
        for match in filter(None, map(SOCAT.match, argv)):
            bind = BIND.search(match[2])
            protocol = login_in_clear(int(match[1]))
            if protocol and not loopback(bind[1] if bind else "", False):
                yield f"{match[0]}: {protocol.upper()}"
    elif program in ("ncat", "nc") and {"-l", "--listen", "-lk", "-kl"} & set(argv):
        if "--ssl" in argv or any(loopback(word, False) for word in argv[1:]):
            return
        for word in argv[1:]:
            protocol = login_in_clear(int(word)) if word.isdecimal() and len(word) < 6 else ""
            if protocol:
                yield f"{program} on port {word}: {protocol.upper()}"


RULE = Rule(
    id="service-cleartext-login",
    title="A systemd service opens a login in cleartext",
    severity=Severity.HIGH,
    kind="service",
    why=(
        "What the unit starts takes logins before TLS: by an option on the command line, which "
        "counts over the daemon's files, or as a relay that adds no TLS."
    ),
    fix=(
        "Take the option out of ExecStart and let the daemon's files require TLS; put stunnel in "
        "the place of a relay, or bind the relay to 127.0.0.1."
    ),
    check=check,
)
