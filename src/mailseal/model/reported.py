"""What somebody else says of an endpoint: a scanner's report, a list of sockets from another host.

A Reported records, like an Observation, and does not judge. It is hearsay: nobody of ours was
there, so the strongest verdict that it can carry is `exposed` of the grade `reported`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, Optional

from mailseal.model.look import Endpoint


class Claimed(str, enum.Enum):
    """What is said of the endpoint."""

    PERMITTED = "permitted"
    """It takes logins in cleartext."""
    LISTENS = "listens"
    """Something listens there; of logins nothing is said."""


@dataclass(frozen=True)
class Reported:
    """`source` is the tool (nessus, openvas, nmap, netstat, ss), `check` its own id for the check
    (a plugin number, an OID, a script's name; may be empty), `title` its words for it. `name` is
    the host name it gave, `protocol` as in `protocols` where it is known, `when` RFC 3339 UTC
    (empty where the report tells no time). `text` is its evidence: printable, bounded, hostile.
    `product` is what it says is running there, with the version last, where it knows.
    """

    endpoint: Endpoint
    source: str
    check: str
    title: str
    says: Claimed
    protocol: Optional[str] = None
    name: str = ""
    when: str = ""
    text: str = ""
    product: str = ""

    RECORD: ClassVar[str] = "Reported"
