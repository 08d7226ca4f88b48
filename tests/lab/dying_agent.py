"""Runs on a host of the lab: the agent, killed by SIGKILL at one of its own changes of the machine.

    dying_agent.py PYZ PERIOD list WHERE AGENT-WORDS...         dies nowhere; its points go to WHERE
    dying_agent.py PYZ PERIOD NUMBER:WHEN WHERE AGENT-WORDS...  WHEN: before, or during an append;
                                                                or SIGTERM...: asked to end before

Strategy: the agent's own code from its own file, with a system that counts. Nothing of this is in
the product. What the run keeps for its dead-man is the agent without it; only the dead-man's period
(seconds) is another. Death after a change is death before the next one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

sys.path.insert(0, sys.argv[1])

from mailseal import agent
from mailseal.apply import deadman
from mailseal.system.live import LiveSystem

VERBS = {"start", "stop", "restart", "reload", "daemon-reload", "disable"}
PROGRAMS = {"apt-get", "openssl", "systemd-run"}


class Mortal(LiveSystem):
    """Counts the changes that the executor makes, which works in the main thread."""

    points: list[tuple[str, str]] = []  # noqa: RUF012
    fatal = (-1, "")

    def _changing(
        self,
        name: str,
        subject: str,
        act: Callable[[], Any],
        half: Callable[[], None] | None = None,
    ) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return act()
        number = len(self.points)
        self.points.append((name, subject))
        self._die(number, "before")
        if half and self.fatal == (number, "during"):
            half()
            self._die(number, "during")
        return act()

    def _die(self, number: int, when: str) -> None:
        if self.fatal == (number, when):
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.fatal[0] == number and self.fatal[1].startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[self.fatal[1]])

    def write(self, path: str, data: bytes, meta: Any) -> None:
        self._changing("write", path, lambda: LiveSystem.write(self, path, data, meta))

    def append(self, path: str, data: bytes) -> None:
        self._changing(
            "append",
            data.decode("ascii"),
            lambda: LiveSystem.append(self, path, data),
            lambda: LiveSystem.append(self, path, data[: len(data) // 2]),
        )

    def mkdir(self, path: str, meta: Any) -> None:
        self._changing("mkdir", path, lambda: LiveSystem.mkdir(self, path, meta))

    def symlink(self, path: str, target: str) -> None:
        self._changing("symlink", path, lambda: LiveSystem.symlink(self, path, target))

    def remove(self, path: str) -> None:
        self._changing("remove", path, lambda: LiveSystem.remove(self, path))

    def run(self, argv: Sequence[str], **options: Any) -> Any:
        changes = argv[0] in PROGRAMS or (argv[0] == "systemctl" and argv[1] in VERBS)

        def act() -> Any:
            return LiveSystem.run(self, argv, **options)

        return self._changing("run", " ".join(argv), act) if changes else act()


def main() -> int:
    period, fatal, where, words = sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:]
    if fatal != "list":
        number, _, when = fatal.partition(":")
        Mortal.fatal = (int(number), when)
    setattr(agent, "LiveSystem", Mortal)  # noqa: B010
    deadman.PERIOD = int(period)
    code = agent.main(words)
    with open(where, "w", encoding="ascii") as file:
        json.dump(Mortal.points, file)
    return code


if __name__ == "__main__":
    sys.exit(main())
