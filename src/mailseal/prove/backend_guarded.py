"""The backend can be neither reached nor taken over by other local users: it is a Unix socket that
only root and the terminator's group may open, or that lies in a folder where nobody else gets.
"""

from __future__ import annotations

import posixpath

from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence
from mailseal.system.base import Stat, System


def check(claim: Claim, system: System) -> Evidence:
    """`expected`: path and group of the socket."""
    path = claim.expected["path"]
    places = [(each, system.stat(each)) for each in (path, posixpath.dirname(path))]
    lines = []
    for each, found in places:
        if found is None:
            return Evidence(Result.FAIL, ("%s is not there" % each,))
        meta = found.meta
        words = "%s: mode %04o, owner %d, group %d"
        lines.append(words % (each, meta.mode & 0o7777, meta.uid, meta.gid))
    _, group = system.ids("root", claim.expected["group"])
    owned = all(found and found.meta.uid == 0 for _, found in places)
    closed = any(found and _closed(found, group) for _, found in places)
    return Evidence(Result.PASS if owned and closed else Result.FAIL, tuple(lines))


def _closed(found: Stat, group: int) -> bool:
    """Whether it is root's, and nobody but root and the group may do anything there."""
    meta = found.meta
    return meta.gid in (0, group) and not meta.mode & 0o007
