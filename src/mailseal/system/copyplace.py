"""Where a throwaway copy of a host is, for those who have something done in it.

Strategy: two processes say it all, by their numbers on the host: `leader`, whose namespaces are the
copy, and `main`, in whose root lie the street's network namespace and a directory that goes with
the copy. So a copy can be asked by whoever may run a program on that host as root, from another
host too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

from mailseal.system.live import PROGRAMS

_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")


@dataclass(frozen=True)
class Place:
    """`gaps` tells what the copy lacks compared with its host."""

    main: int
    leader: int
    gaps: Tuple[str, ...] = ()

    def words(self, argv: Sequence[str], timeout: float) -> Tuple[str, ...]:
        """The command for the host's root that runs a program in the copy to its end, as a unit of
        its own there: with the rights that a service has, and no more.
        """
        enter = ("nsenter", "--target=%d" % self.leader, *_NAMESPACES, "--root", "--wd", "--")
        environment = ("env", "-i", "PATH=" + ":".join(PROGRAMS), "LC_ALL=C.UTF-8")
        unit = ("systemd-run", "--pipe", "--wait", "--quiet", "--collect")
        limit = "--property=RuntimeMaxSec=%d" % timeout
        # systemd-run(1) takes $ for the start of a variable; $$ is the sign itself.
        return (*enter, *environment, *unit, limit, "--", *(w.replace("$", "$$") for w in argv))

    @property
    def street(self) -> Tuple[str, ...]:
        """In front of a program of the host's: that it is in the street."""
        return ("nsenter", "--net=%s/street" % self.scratch, "--")

    @property
    def scratch(self) -> str:
        """A directory of the host's root alone, in memory, that goes with the copy."""
        return "/proc/%d/root/tmp" % self.main
