"""Unit files on the disk: where they lie, what they say, which of them are wanted at boot.

Only as far as systemd.unit(5) matters here: the last assignment wins or all add up, as the reader
of a key asks (`last`, `words`); nothing is checked.
"""

from __future__ import annotations

import os.path
import re
from typing import Dict, List, Mapping, Tuple

from mailseal.system.memory.files import Disk

UNIT_DIRECTORIES = ("/etc/systemd/system", "/run/systemd/system", "/lib/systemd/system")

Unit = Mapping[str, Tuple[str, ...]]
"""`Section.Key` to its values; assignments add up, an empty one forgets those before."""

# systemd.time(7), as far as anybody writes it.
_SECONDS: Mapping[str, float] = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}


def load(disk: Disk) -> Dict[str, Unit]:
    """Every unit file, drop-ins included, by name."""
    names = {
        name
        for directory in UNIT_DIRECTORIES
        for name in disk.listdir(directory)
        if "." in name and disk.nodes[directory + "/" + name].kind != "directory"
    }
    return {name: _parse(disk, name) for name in names}


def fragment(disk: Disk, name: str) -> str:
    """The file of a unit (of a template's, for an instance); empty where there is none."""
    template = re.sub(r"@.*\.", "@.", name)
    for own in (name, template):
        for directory in UNIT_DIRECTORIES:
            if directory + "/" + own in disk.nodes:
                return directory + "/" + own
    return ""


def drop_ins(disk: Disk, name: str) -> Tuple[str, ...]:
    """The files that add to a unit (to an instance, those of its template), as they are read."""
    return tuple(
        "%s/%s.d/%s" % (directory, own, each)
        for own in dict.fromkeys((re.sub(r"@.*\.", "@.", name), name))
        for directory in UNIT_DIRECTORIES
        for each in disk.listdir("%s/%s.d" % (directory, own))
        if each.endswith(".conf")
    )


def _parse(disk: Disk, name: str) -> Unit:
    found: Dict[str, Tuple[str, ...]] = {}
    for path in (fragment(disk, name), *drop_ins(disk, name)):
        section = ""
        for line in disk.nodes[path].data.decode().splitlines():
            key, equals, value = line.strip().partition("=")
            if key.startswith("["):
                section = key.strip("[]")
            elif equals and not key.startswith(("#", ";")):
                known = found.get(section + "." + key, ()) if value else ()
                found[section + "." + key] = (*known, *((value,) if value else ()))
    return found


def masked(disk: Disk, name: str) -> bool:
    """Whether the unit is a link to nothing, and may not be started."""
    node = disk.nodes.get("/etc/systemd/system/" + name)
    return node is not None and node.kind == "link" and node.target == "/dev/null"


def wanted(disk: Disk) -> Tuple[str, ...]:
    """The links by which units are started at boot."""
    pattern = re.compile(r"/etc/systemd/system/[^/]+\.(?:wants|requires)/[^/]+")
    return tuple(sorted(path for path in disk.nodes if pattern.fullmatch(path)))


def seconds(text: str) -> float:
    """A time span of one unit: `300`, `90s`, `5min`. Raises KeyError or ValueError for others."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    return float(number) * _SECONDS[text[len(number) :].strip()]


def words(unit: Unit, key: str) -> List[str]:
    """All assignments of a key, split at white space."""
    return [word for value in unit.get(key, ()) for word in value.split()]


def last(unit: Unit, key: str, default: str) -> str:
    """The last assignment of a key."""
    return (unit.get(key) or (default,))[-1]


def command(unit: Unit) -> Tuple[str, ...]:
    """The argv of a service; empty where it starts nothing."""
    return tuple(last(unit, "Service.ExecStart", "").lstrip("-+!@:").split())


def program(argv: Tuple[str, ...]) -> str:
    """The name of what an argv starts."""
    return os.path.basename(argv[0]) if argv else ""
