"""What may go wrong in the middle of a change: numbered points, and faults that strike at them.

A fault is a function that is told of every point and raises what it likes there, so that a test
walks through all the moments of a run by counting.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Callable, Tuple


class Killed(BaseException):
    """The process was killed here (SIGKILL). No Exception: nothing may catch it and go on."""


@dataclass(frozen=True)
class Point:
    """A moment in a mutating call: `when` is before, during (write and append alone) or after."""

    number: int
    when: str
    name: str
    args: Tuple[object, ...]


Fault = Callable[[Point], None]


def kill_at(number: int) -> Fault:
    """Kills whoever comes to that point."""

    def fault(point: Point) -> None:
        if point.number == number:
            raise Killed(point)

    return fault


def disk_full_at(number: int) -> Fault:
    """The disk is full from that point on, for those who write."""

    def fault(point: Point) -> None:
        if point.number >= number and point.name in ("write", "append", "mkdir", "symlink"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(point.args[0]))

    return fault
