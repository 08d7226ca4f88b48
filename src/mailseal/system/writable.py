"""Whether a file can be made, replaced or removed at a path, asked without trying.

Strategy: root is stopped by two things that no right shows: a mount that is read-only or that lies
on the file itself (rename(2): EBUSY), and the attributes immutable and append-only, of the file or
of its directory (chattr(1)). The first stand in /proc/self/mountinfo, the second are told by
lsattr. Where either cannot be asked nothing is said: the write itself will tell.
"""

from __future__ import annotations

import posixpath
import re
from typing import Dict, Iterable, List, NamedTuple, Optional

from mailseal.system.base import System

MOUNTS = "/proc/self/mountinfo"
_ESCAPED = re.compile(r"\\([0-7]{3})")
_LOCKED = {"i": "immutable", "a": "append-only"}
"""Letters of lsattr(1), in words."""


class Mount(NamedTuple):
    """What is mounted at a path."""

    path: str
    read_only: bool


def mounts(text: str) -> List[Mount]:
    """The lines of proc(5) mountinfo: the path is field 5, the mount's own options are field 6, and
    those of the file system stand last. A line that is not the kernel's is passed over.
    """
    found = []
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) < 10:
            continue
        path = _ESCAPED.sub(lambda match: chr(int(match.group(1), 8)), words[4])
        found.append(Mount(path, any("ro" in words[at].split(",") for at in (5, -1))))
    return found


def obstacles(system: System, paths: Iterable[str]) -> List[str]:
    """Why nothing can be written at these paths, and what to do: one line a cause, with the first
    path that it concerns.
    """
    wanted = list(dict.fromkeys(paths))
    mounted = mounts(_text(system, MOUNTS))
    near = {path: _near(system, path) for path in wanted}
    locked = _attributes(system, {each for at in near.values() for each in at})
    found: Dict[str, str] = {}
    for path in wanted:
        said = _mounted(path, mounted)
        if said:
            found.setdefault(said, path)
        for place in near[path]:
            if place in locked:
                words = "%s is %s (chattr). If that is not meant to be, `chattr -%s %s`"
                letter = locked[place]
                found.setdefault(words % (place, _LOCKED[letter], letter, place), path)
    return ["%s cannot be written: %s. Then apply again." % (at, why) for why, at in found.items()]


def _mounted(path: str, mounted: List[Mount]) -> str:
    """What about the mount that a path lies on stops a write; empty where nothing does."""
    above: Optional[Mount] = None
    for each in mounted:
        # Of two at the same path the later one hides the other.
        inside = path == each.path or path.startswith(each.path.rstrip("/") + "/")
        if inside and (above is None or len(each.path) >= len(above.path)):
            above = each
    if above is None:
        return ""
    if above.read_only:
        return "%s is mounted read-only. Mount it for writing" % above.path
    return "%s is a mount of its own. Unmount it" % path if above.path == path else ""


def _near(system: System, path: str) -> List[str]:
    """What is at the path, if anything is, and the nearest directory above it that is there."""
    found = [path] if system.stat(path) else []
    while path != "/":
        path = posixpath.dirname(path)
        if system.stat(path):
            return [*found, path]
    return found


def _attributes(system: System, paths: Iterable[str]) -> Dict[str, str]:
    """Of these paths those that are immutable or append-only, with the letter of lsattr."""
    found = {}
    # It ends badly where one of them has no attributes, and tells the others all the same.
    out = system.run(["lsattr", "-d", "--", *sorted(paths)]).out.decode("utf-8", "replace")
    for line in out.splitlines():
        letters, _, path = line.partition(" ")
        for letter in _LOCKED:
            if letter in letters:
                found[path] = letter
    return found


def _text(system: System, path: str) -> str:
    try:
        return system.read(path).decode("utf-8", "replace")
    except OSError:
        return ""
