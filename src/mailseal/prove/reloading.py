"""A service is reloaded as its administrator would, before the looks that tell what it came to.

Strategy: the service manager's word is not enough where a reload is a signal: stunnel that cannot
take its configuration goes on with the old one, does not start with the new one, and says so in its
log alone (stunnel(8), "SIGHUP"). The log is read from where it stood before.
"""

from __future__ import annotations

import re
from typing import Sequence

from mailseal.system import units
from mailseal.system.base import Completed, System

_STUNNEL = ("mailseal@", "stunnel")
"""How units that run it are called."""
_TAKEN, _REFUSED = "Configuration successful", "Failed to reload the configuration file"
_ERROR = re.compile(r"LOG[0-3]\[ui\]: (.*)")
_ROUNDS, _PAUSE = 20, 0.1
_MOST = 300
"""Characters that are told."""


def reload(system: System, unit: str) -> str:
    """Has the service manager reload a unit; what it, or stunnel, said against it, or nothing."""
    cursor = _cursor(system, unit) if unit.startswith(_STUNNEL) else ""
    done = units.act(system, unit, "reload")
    if not done.ok:
        return done.words()
    return _against(system, unit, cursor) if cursor else ""


def _journal(system: System, unit: str, *words: str) -> Completed:
    return system.run(["journalctl", "-u", unit, "-o", "cat", "--no-pager", *words], timeout=10)


def _cursor(system: System, unit: str) -> str:
    """Where the unit's log stands; empty where there is no telling (journalctl(1))."""
    said = _journal(system, unit, "-n", "1", "--show-cursor").out.decode("utf-8", "replace")
    found = re.search(r"^-- cursor: (\S+)$", said, re.MULTILINE)
    return found[1] if found else ""


def _against(system: System, unit: str, cursor: str) -> str:
    """stunnel's own words where it refuses its configuration. One that says nothing in the journal
    is believed.
    """
    for _ in range(_ROUNDS):
        said = _journal(system, unit, "--after-cursor=" + cursor).out.decode("utf-8", "replace")
        lines = said.splitlines()
        if any(line.endswith(_REFUSED) for line in lines):
            return _errors(lines)
        if any(line.endswith(_TAKEN) for line in lines):
            return ""
        system.sleep(_PAUSE)
    return ""


def _errors(lines: Sequence[str]) -> str:
    """The last of them are about the end: what is wrong, and that it ended there."""
    found = [match[1] for match in map(_ERROR.search, lines) if match]
    text = "stunnel: " + " / ".join(found[-3:])
    return "".join(char if char.isprintable() else "?" for char in text)[:_MOST]
