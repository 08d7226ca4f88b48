"""Giving up what a process may do, once it holds what it needed that for.

Strategy: another user and group, no other groups, none of the old ids saved: what setresuid(2)
gives up is not to be had again, and with the last of the three ids that are 0 the capabilities go
(capabilities(7)).
"""

from __future__ import annotations

import os
import pwd

NOBODY = "nobody"


def drop(user: str = NOBODY) -> bool:
    """Becomes `user`. False where there is nothing to give up: we are not root. Raises OSError
    where it cannot be done, and then nothing may be read that others wrote.
    """
    if os.geteuid() != 0:
        return False
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise OSError("there is no user %s to become" % user) from None
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    os.chdir("/")
    if 0 in (*os.getresuid(), *os.getresgid()):
        raise OSError("the privileges are still there")
    return True
