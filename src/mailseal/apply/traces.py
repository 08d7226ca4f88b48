"""What killed processes leave, found by its name and taken away."""

from __future__ import annotations

import posixpath
import re
from typing import Optional

from mailseal.apply import deadman
from mailseal.apply.operations import directories
from mailseal.apply.runs import LOCK, RUNS
from mailseal.model.plan import Plan
from mailseal.system import netns
from mailseal.system.base import System

_TEMPORARY = re.compile(r"\.mailseal-[0-9a-f]{16}")
"""What a `System.write` that was killed leaves."""

_LOOK = re.compile(r"mailseal-look-(\d+)\.pyz")
"""The agent's copy that a look from a namespace runs, in /run; named after who made it."""


def sweep(system: System, directory: str, plan: Optional[Plan]) -> None:
    """Removes the temporary files that a killed `write` left where this run writes."""
    places = [*deadman.directories(directory)]
    places += [each for op in (plan.ops if plan else ()) for each in directories(op)]
    for place in dict.fromkeys(places):
        for name in system.listdir(place):
            if _TEMPORARY.fullmatch(name):
                system.remove(posixpath.join(place, name))


def sweep_looks(system: System) -> None:
    """Removes what looks of killed processes left: namespaces, and the agent's copies for them."""
    netns.sweep(system)
    for name in system.listdir(posixpath.dirname(LOCK)):
        found = _LOOK.fullmatch(name)
        if found and system.stat("/proc/" + found.group(1)) is None:
            system.remove(posixpath.join(posixpath.dirname(LOCK), name))


def clear_traces(system: System) -> None:
    """Takes away what a power loss may have left of the dead-men of earlier runs. For who holds the
    lock, while no run is unfinished.
    """
    deadman.disarm_others(system, RUNS)
    sweep(system, RUNS, None)
    sweep_looks(system)


def clear(system: System, directory: str, plan: Optional[Plan] = None) -> None:
    """After the last change: disarms, and sweeps."""
    sweep(system, directory, plan)
    sweep_looks(system)
    deadman.disarm(system, directory)
