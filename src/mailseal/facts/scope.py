"""The digest of that part of a host a plan rests on.

Strategy: what `gather` took is reduced to what the scope names, in a fixed order, and hashed. The
same plan on the same host gives the same digest on every run; anything that would make the plan
another one changes it: a file's bytes or mode, who listens on a port, the machine, a tool's
version, what a daemon says of its configuration. Process numbers and times are left out.
"""

from __future__ import annotations

import hashlib
import json

from mailseal.model.host import HostFacts
from mailseal.model.plan import Scope


def digest(facts: HostFacts, scope: Scope) -> str:
    """SHA-256, in hexadecimal. A path that was not there counts as absent; one that could not be
    read as unread, which is not the same.
    """
    return hashlib.sha256(
        json.dumps(
            {
                "machine": facts.machine,
                "paths": {path: _path(facts, path) for path in scope.paths},
                "listeners": sorted(
                    [each.address, each.port, each.executable, each.unit, each.dual]
                    for each in facts.listeners
                    if each.port in scope.ports
                ),
                "tools": dict(facts.tools),
                "answers": dict(facts.answers),
            },
            sort_keys=True,
            separators=(",", ":"),
        ).encode()
    ).hexdigest()


def _path(facts: HostFacts, path: str) -> object:
    fact = facts.file(path)
    if path in facts.unread:
        return "unread"
    if not fact:
        return "absent"
    return [fact.kind, fact.mode, fact.uid, fact.gid, fact.sha256, fact.target]
