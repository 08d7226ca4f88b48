"""The backend can be neither reached nor taken over by other local users.

A Unix socket that only root and the terminator's group may open; or a loopback port under 1024,
which an unprivileged user cannot bind while the daemon is down (but can connect to: the plan says
so).
"""

from __future__ import annotations

from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence
from mailseal.system.base import System


def check(claim: Claim, system: System) -> Evidence:
    """`expected`: path and group of the socket, or the loopback port."""
    if "port" in claim.expected:
        port = int(claim.expected["port"])
        if port < _first_unprivileged(system):
            return Evidence(Result.PASS, ("loopback port %d is privileged" % port,))
        return Evidence(Result.FAIL, ("any user can bind loopback port %d" % port,))
    path = claim.expected["path"]
    found = system.stat(path)
    if found is None:
        return Evidence(Result.FAIL, ("%s is not there" % path,))
    _, group = system.ids("root", claim.expected["group"])
    meta = found.meta
    line = "%s: mode %04o, owner %d, group %d" % (path, meta.mode & 0o7777, meta.uid, meta.gid)
    guarded = meta.uid == 0 and meta.gid in (0, group) and not meta.mode & 0o007
    return Evidence(Result.PASS if guarded else Result.FAIL, (line,))


def _first_unprivileged(system: System) -> int:
    """See ip(7), ip_unprivileged_port_start; 1024 on kernels older than the setting."""
    try:
        return int(system.read("/proc/sys/net/ipv4/ip_unprivileged_port_start"))
    except FileNotFoundError:
        return 1024
