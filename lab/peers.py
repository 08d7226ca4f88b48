"""How many logins other programs list of a capture: tshark (`-z credentials`) and dsniff.

Strategy: they run on a host of the lab that has them, and their lists are counted by protocol, the
one thing that each entry tells in both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from lab.hosts import Host

_CAPTURE = "/var/tmp/capture.pcap"
_PROTOCOLS = {"pop": "pop3"}
"""What they call it, where that is not our name."""

PEERS: Mapping[str, tuple[tuple[str, ...], re.Pattern[str]]] = {
    "tshark": (
        ("tshark", "-q", "-z", "credentials", "-r", _CAPTURE),
        re.compile(r"^\d+ +(\w+) +\S", re.MULTILINE),
    ),
    # A row of dashes begins an entry; the rest is for debugging.
    "dsniff": (
        ("dsniff", "-n", "-p", _CAPTURE),
        re.compile(r"^-{17}\n\S+ \S+ tcp \S+ -> \S+ \((\w+)\)$", re.MULTILINE),
    ),
}
"""The command that makes the list, and what tells the protocol of an entry."""


def counted(text: str, entry: re.Pattern[str]) -> Counter[str]:
    """Entries of a list by protocol."""
    names = (match[1].lower() for match in entry.finditer(text))
    return Counter(_PROTOCOLS.get(name, name) for name in names)


def lists(host: Host, capture: bytes) -> dict[str, Counter[str]]:
    """By the name of each program."""
    host.write(_CAPTURE, capture)
    return {
        name: counted(host.run(command).stdout.decode(errors="replace"), entry)
        for name, (command, entry) in PEERS.items()
    }
