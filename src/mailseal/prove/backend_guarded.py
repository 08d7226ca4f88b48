"""The backend can be neither reached nor taken over by other local users: it is a Unix socket that
only root and the terminator's group may open.
"""

from __future__ import annotations

from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence
from mailseal.system.base import System


def check(claim: Claim, system: System) -> Evidence:
    """`expected`: path and group of the socket."""
    path = claim.expected["path"]
    found = system.stat(path)
    if found is None:
        return Evidence(Result.FAIL, ("%s is not there" % path,))
    _, group = system.ids("root", claim.expected["group"])
    meta = found.meta
    line = "%s: mode %04o, owner %d, group %d" % (path, meta.mode & 0o7777, meta.uid, meta.gid)
    guarded = meta.uid == 0 and meta.gid in (0, group) and not meta.mode & 0o007
    return Evidence(Result.PASS if guarded else Result.FAIL, (line,))
