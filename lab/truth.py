"""What mail programs did in a session, login by login, and whether a list of logins agrees with it.

Strategy: a login done is a value. A view (the wire, a daemon's log) cannot tell everything, so what
it must tell of a daemon is a table, and whatever else it says must be true as well: each login in a
list is matched with one that was done and that nothing in it contradicts, as many as can be matched
at once. What is left over on either side was missed or invented. Nothing of the program under test
is in here but the names of its JSON document.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Truth:
    """A login that was done. `server` and `client` are addresses; `user` is None where the program
    was turned away before it had named one. `channel` is `clear` or `tls`; `outcome` is `accepted`,
    `rejected` (wrong password) or `refused` (by policy). `says` is what the program calls itself or
    its host, where it does. `message`: it handed in a message.
    """

    program: str
    protocol: str
    server: str
    port: int
    client: str
    user: str | None
    mechanism: str
    channel: str
    outcome: str
    says: str = ""
    message: bool = False


def write(truths: Iterable[Truth]) -> str:
    """JSON, one login a line."""
    return "[\n" + ",\n".join(json.dumps(asdict(each)) for each in truths) + "\n]\n"


def read(text: str) -> list[Truth]:
    """What `write` wrote."""
    return [Truth(**each) for each in json.loads(text)]
