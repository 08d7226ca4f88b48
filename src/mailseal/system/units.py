"""systemctl: how the commands are worded and their answers read (systemctl(1)).

Strategy: `show` with named properties is the one output systemd promises to keep; nothing here
reads what is meant for people. An answer that did not come is an empty word, never a guess.
"""

from __future__ import annotations

import re
from typing import Dict, Optional, Sequence, Tuple

from mailseal.model.host import UnitFact
from mailseal.system.base import Completed, System

WORDS = ("start", "stop", "restart", "reload", "daemon-reload")
"""What may be asked of the service manager."""

# A job that starts or stops something may take systemd's own 90 s; then systemctl says so itself.
SECONDS = 120.0


def is_systemd(system: System) -> bool:
    """Whether systemd is the init that runs (sd_booted(3))."""
    found = system.stat("/run/systemd/system")
    return found is not None and found.kind == "directory"


def properties(system: System, unit: str, names: Sequence[str]) -> Dict[str, str]:
    """Those properties of a unit that systemd gave; empty where systemctl gave no answer."""
    done = system.run(["systemctl", "show", "--property=" + ",".join(names), "--", unit])
    pairs = (line.partition("=") for line in done.out.decode("utf-8", "replace").splitlines())
    return {name: value for name, equals, value in pairs if equals} if done.ok else {}


def state(system: System, unit: str) -> UnitFact:
    """How a unit is. A unit that does not exist is `not-found` and `inactive`; each word is empty
    where systemctl gave no answer.
    """
    found = properties(system, unit, ("LoadState", "ActiveState", "UnitFileState"))
    return UnitFact(
        unit,
        found.get("LoadState", ""),
        found.get("ActiveState", ""),
        found.get("UnitFileState", ""),
    )


def socket_units(system: System) -> Dict[Tuple[str, int], str]:
    """Address and port to the socket unit for which systemd listens there now."""
    argv = ["systemctl", "list-sockets", "--no-legend", "--plain", "--no-pager"]
    found = {}
    for line in system.run(argv).out.decode("utf-8", "replace").splitlines():
        words = line.split()
        where = listen_address(words[0]) if len(words) > 1 else None
        if where:
            found[where] = words[1]
    return found


def listen_address(text: str) -> Optional[Tuple[str, int]]:
    """Address and port of `[::]:109`, `0.0.0.0:109` or `109`, as systemd writes them; None for a
    path and the like.
    """
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or (host and "/" in host):
        return None
    return host.strip("[]") or "::", int(port)


def forget_failure(system: System, unit: str) -> None:
    """A unit that failed would stay in the manager's list of failures when it is gone."""
    if state(system, unit).active == "failed":
        system.run(["systemctl", "reset-failed", "--", unit], timeout=30)


def last_words(system: System, unit: str) -> str:
    """What a unit said last, by the journal, as the end of an error message."""
    words = ["journalctl", "-u", unit, "-n", "5", "-o", "cat", "--no-pager"]
    lines = system.run(words, timeout=10).out.decode("utf-8", "replace").strip().splitlines()
    return ": " + " / ".join(lines) if lines else ""


def act(system: System, unit: str, word: str) -> Completed:
    """Asks for one of WORDS (daemon-reload is for no unit) and waits until systemd has done it.

    Raises ValueError for another word. Success of `start` is not success of the daemon: of a
    service of Type=simple it says only that the process was made.
    """
    if word not in WORDS:
        raise ValueError("not a word for the service manager: %r" % word)
    target = [] if word == "daemon-reload" else ["--", unit]
    return system.run(["systemctl", word, *target], timeout=SECONDS)
