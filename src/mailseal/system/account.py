"""Who runs this program, for the record of changes.

Strategy: the account of the real user id. Where that is root's, sudo(8) has left who called it in
SUDO_USER and SUDO_UID; anybody else's environment is not asked, as they may write there what they
like. Root may too, so this is a record and no proof.
"""

from __future__ import annotations

import os
import pwd
from typing import Mapping, Optional

from mailseal.model.change import Actor


def who(environment: Optional[Mapping[str, str]] = None, uid: Optional[int] = None) -> Actor:
    """The account that acts; of this process where nothing else is given."""
    environment = os.environ if environment is None else environment
    uid = os.getuid() if uid is None else uid
    caller, number = environment.get("SUDO_USER", ""), environment.get("SUDO_UID", "")
    host = os.uname().nodename
    if uid == 0 and caller and number.isdecimal():
        return Actor(caller, int(number), host)
    try:
        return Actor(pwd.getpwuid(uid).pw_name, uid, host)
    except KeyError:
        return Actor(str(uid), uid, host)
