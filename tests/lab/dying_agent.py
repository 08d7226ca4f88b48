"""Runs on a host of the lab: the agent, killed by SIGKILL at one of its own changes of the machine.

    dying_agent.py PYZ list WHERE AGENT-WORDS...         dies nowhere, writes its points to WHERE
    dying_agent.py PYZ NUMBER:WHEN WHERE AGENT-WORDS...  WHEN: before, during (appends alone), after

Strategy: the agent's own code from its own file, with a system that counts. Nothing of this is in
the product. What the run keeps for its dead-man is the agent without it; only the dead-man's period
is shortened, so that a test waits for it one second and not five.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

sys.path.insert(0, sys.argv[1])

from mailseal import agent
from mailseal.apply import deadman
from mailseal.system.live import LiveSystem

VERBS = {"start", "stop", "restart", "reload", "daemon-reload", "disable"}
PROGRAMS = {"apt-get", "openssl", "systemd-run"}


class Mortal(LiveSystem):
    """Counts the changes that the executor makes, which works in the main thread."""

    points: list = []  # noqa: RUF012
    fatal = (-1, "")

    def _changing(self, name, subject, act, half=None):
        if threading.current_thread() is not threading.main_thread():
            return act()
        number = len(self.points)
        self.points.append((name, subject))
        self._die(number, "before")
        if half and self.fatal == (number, "during"):
            half()
            self._die(number, "during")
        done = act()
        self._die(number, "after")
        return done

    def _die(self, number, when):
        if self.fatal == (number, when):
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, path, data, meta):
        self._changing("write", path, lambda: LiveSystem.write(self, path, data, meta))

    def append(self, path, data):
        self._changing(
            "append",
            data.decode("ascii"),
            lambda: LiveSystem.append(self, path, data),
            lambda: LiveSystem.append(self, path, data[: len(data) // 2]),
        )

    def mkdir(self, path, meta):
        self._changing("mkdir", path, lambda: LiveSystem.mkdir(self, path, meta))

    def symlink(self, path, target):
        self._changing("symlink", path, lambda: LiveSystem.symlink(self, path, target))

    def remove(self, path):
        self._changing("remove", path, lambda: LiveSystem.remove(self, path))

    def run(self, argv, **options):
        changes = argv[0] in PROGRAMS or (argv[0] == "systemctl" and argv[1] in VERBS)
        act = lambda: LiveSystem.run(self, argv, **options)  # noqa: E731
        return self._changing("run", " ".join(argv), act) if changes else act()


def main() -> int:
    fatal, where, words = sys.argv[2], sys.argv[3], sys.argv[4:]
    if fatal != "list":
        number, _, when = fatal.partition(":")
        Mortal.fatal = (int(number), when)
    agent.LiveSystem = Mortal
    deadman.PERIOD = 1
    code = agent.main(words)
    with open(where, "w", encoding="ascii") as file:
        json.dump(Mortal.points, file)
    return code


if __name__ == "__main__":
    sys.exit(main())
