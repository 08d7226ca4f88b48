"""fail2ban's jails, as far as it takes to see which are on and what they watch (jail.conf(5)).

The files count in the order of that page: jail.conf, jail.d/*.conf, jail.local, jail.d/*.local;
the last value of an option wins, and what a jail does not say stands in [DEFAULT]. Nothing is
edited here, so no positions but the line that turns a jail on. What names another option
(`%(...)s`) is left as it is written.
"""

from __future__ import annotations

import posixpath
import re
from typing import Dict, List, NamedTuple, Sequence, Tuple

MAIN = "/etc/fail2ban/jail.conf"
LOCAL = "/etc/fail2ban/jail.local"
DIRECTORY = "/etc/fail2ban/jail.d"

MAX_LINES = 50_000

_SECTION = re.compile(r"\[([^\]\n]{1,200})\]")
_OPTION = re.compile(r"([A-Za-z_][\w.]{0,99})[ \t]*[=:](.*)")
_TRUE = ("1", "yes", "true", "on")


class Jail(NamedTuple):
    """One that is on. `path` and `line` turn it on; `ports` are numbers, ranges or names, as
    written; `filter` is the name without its options.
    """

    name: str
    path: str
    line: int
    ports: Tuple[str, ...]
    filter: str


class _Value(NamedTuple):
    text: str
    path: str
    line: int


def ordered(paths: Sequence[str]) -> List[str]:
    """Those of the paths that fail2ban reads, in the order in which they count."""
    places = [(MAIN, ""), (DIRECTORY, ".conf"), (LOCAL, ""), (DIRECTORY, ".local")]
    found: List[str] = []
    for place, ending in places:
        inside = (each for each in paths if posixpath.dirname(each) == place)
        named = [each for each in inside if each.endswith(ending)] if ending else []
        found += sorted(named) if ending else [each for each in paths if each == place]
    return found


def jails(files: Sequence[Tuple[str, bytes]]) -> Tuple[Jail, ...]:
    """The jails that are on, by name. `files` are in the order in which they count."""
    sections: Dict[str, Dict[str, _Value]] = {}
    for path, data in files:
        _read(path, data, sections)
    defaults = sections.pop("DEFAULT", {})
    found = []
    for name, own in sorted(sections.items()):
        values = {**defaults, **own}
        enabled = values.get("enabled")
        if enabled is None or enabled.text.lower() not in _TRUE:
            continue
        ports = values["port"].text if "port" in values else ""
        watched = values["filter"].text if "filter" in values else "%(__name__)s"
        watched = watched.replace("%(__name__)s", name).partition("[")[0].strip()
        words = tuple(word for word in re.split(r"[\s,]+", ports) if word)
        found.append(Jail(name, enabled.path, enabled.line, words, watched))
    return tuple(found)


def _read(path: str, data: bytes, sections: Dict[str, Dict[str, _Value]]) -> None:
    current: Dict[str, _Value] = {}
    text = data.decode("utf-8", "replace")
    for number, line in enumerate(text.split("\n", MAX_LINES)[:MAX_LINES], 1):
        if line[:1] in ("#", ";", "", " ", "\t"):
            continue  # a comment, or more of the value above, which nobody asks for here
        section = _SECTION.match(line)
        if section:
            current = sections.setdefault(section.group(1), {})
            continue
        option = _OPTION.match(line)
        if option:
            value = re.split(r"\s[#;]", option.group(2), maxsplit=1)[0].strip()
            current[option.group(1).lower()] = _Value(value, path, number)
