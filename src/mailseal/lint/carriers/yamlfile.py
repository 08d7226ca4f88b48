"""A YAML file, whatever it is for: its tasks of Ansible, and its services of Compose.

Strategy: most files of a tree are not about mail at all, so a file that names nothing that a rule
could be about is not parsed.
"""

from __future__ import annotations

import re
from itertools import chain, islice

from mailseal.configs.text import Malformed, Span
from mailseal.lint.carriers import ansible, compose, nodes
from mailseal.lint.carriers.base import Carried, Carrier, Taken

ABOUT = re.compile(
    rb"stunnel|dovecot|postfix|postconf|main\.cf|master\.cf|imapd|pop3d|cyrus|courier|inetd"
    rb"|\.socket|\.service|\baccept[ \t]*=|\bconnect[ \t]*=|(?<!\d)(?:109|110|143|4190)(?!\d)"
    rb"|\d-\d{2,5}[\"':/]",
    re.IGNORECASE,
)
"""Names and ports without which there is no fault."""
MOST = 5_000
"""Texts, and ports, of a file: an alias may stand for a thousand of them."""
TOO_MANY = Malformed(Span(1, 1, 0, 0), f"more than {MOST} tasks or ports: the rest was not read")


def read(data: bytes) -> Carrier:
    """What a YAML file carries; never raises."""
    if not ABOUT.search(data):
        return Carrier()
    tree = nodes.read(data)
    found = list(islice(chain(ansible.carried(tree), compose.carried(tree)), MOST))
    ports = tuple(islice(chain(compose.ports(tree), ansible.ports(tree)), MOST))
    over = (TOO_MANY,) if MOST in (len(found), len(ports)) else ()
    return Carrier(
        ports,
        tuple(each for each in found if isinstance(each, Carried)),
        tuple(each for each in found if isinstance(each, Taken)),
        (*tree.malformed, *over),
    )
