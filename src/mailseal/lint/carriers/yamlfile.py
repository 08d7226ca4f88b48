"""A YAML file, whatever it is for: its tasks of Ansible, and its services of Compose.

Strategy: most files of a tree are not about mail at all, so a file that names nothing that a rule
could be about is not parsed.
"""

from __future__ import annotations

import re

from mailseal.lint.carriers import ansible, compose, nodes
from mailseal.lint.carriers.base import Carried, Carrier, Taken

ABOUT = re.compile(
    rb"stunnel|dovecot|postfix|postconf|main\.cf|master\.cf|imapd|pop3d|cyrus|courier|inetd"
    rb"|\.socket|\.service|\baccept[ \t]*=|\bconnect[ \t]*=|(?<!\d)(?:109|110|143|4190)(?!\d)"
    rb"|\d-\d{2,5}[\"':/]",
    re.IGNORECASE,
)
"""Names and ports without which there is no fault."""


def read(data: bytes) -> Carrier:
    """What a YAML file carries; never raises."""
    if not ABOUT.search(data):
        return Carrier()
    tree = nodes.read(data)
    found = [*ansible.carried(tree), *compose.carried(tree)]
    return Carrier(
        tuple(compose.ports(tree)),
        tuple(each for each in found if isinstance(each, Carried)),
        tuple(each for each in found if isinstance(each, Taken)),
        tree.malformed,
    )
