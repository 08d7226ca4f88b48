"""A super-server whose line for the port no other starter has found: nothing is changed.

Whoever asks behind these would take it for the daemon, and stop or isolate it with all that it
serves, over UDP as well.
"""

from __future__ import annotations

import posixpath
from typing import Mapping, Optional, Tuple

from mailseal.model.host import HostFacts
from mailseal.starters.base import Change, Start, listeners_at
from mailseal.starters.units import arguments

SUPERSERVERS: Mapping[str, Tuple[str, ...]] = {
    **dict.fromkeys(("inetd", "openbsd-inetd", "inetutils-inetd"), ("/etc/inetd.conf",)),
    "xinetd": ("/etc/xinetd.conf", "/etc/xinetd.d"),
    "rlinetd": ("/etc/rlinetd.conf", "/etc/rlinetd.d"),
    "busybox": ("/etc/inetd.conf",),
}
"""Programs that listen for others, and where their lines usually are."""


def find(facts: HostFacts, port: int) -> Optional[Start]:
    """A Start that has problems alone, with what stands in the way of its line."""
    listeners = listeners_at(facts, port)
    if not listeners or not all(each.process in SUPERSERVERS for each in listeners):
        return None
    who, unit = listeners[0].process, listeners[0].unit
    usual = SUPERSERVERS[who]
    seen = [f for f in facts.files if f.path in usual or posixpath.dirname(f.path) in usual]
    problems = ["the line that makes it listen was not found in %s" % " or ".join(usual)]
    problems += [
        "%s is a link and no plain file: put the file itself there" % fact.path
        for fact in seen
        if fact.kind == "link"
    ]
    problems += [
        "%s could not be read: %s" % (path, why)
        for path, why in sorted(facts.unread.items())
        if path in usual or posixpath.dirname(path) in usual
    ]
    named = [word for word in arguments(facts, unit) if word.startswith("/")]
    if named:
        problems.append("%s starts it with %s" % (unit, " ".join(named)))
    problems.append(
        "%s as a whole serves others too, and is not touched; take the service out of its "
        "configuration by hand, or move its line there" % who
    )
    return Start(
        starter=who,
        unit=unit,
        listeners=listeners,
        files=tuple(fact.path for fact in seen),
        off=Change((), unit, "", "", ()),
        problems=tuple(problems),
    )
