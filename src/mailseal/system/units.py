"""systemctl: how the commands are worded and their answers read (systemctl(1)); without systemd,
service(8) and the scripts in /etc/init.d, by the same names of units.

Strategy: `show` with named properties is the one output systemd promises to keep; nothing here
reads what is meant for people. An answer that did not come is an empty word, never a guess.
"""

from __future__ import annotations

import re
from typing import Dict, Mapping, Optional, Sequence, Tuple

from mailseal.model.host import UnitFact
from mailseal.system.base import Completed, System

WORDS = (
    *("start", "stop", "restart", "reload", "daemon-reload"),
    *("enable", "disable", "add", "remove"),
)
"""What may be asked of the service manager."""

SCRIPTS = "/etc/init.d/"
LEVELS = tuple("/etc/rc%d.d" % level for level in (2, 3, 4, 5))
"""Links to scripts, for the runlevels in which a host serves others."""
RUNLEVEL = "/etc/runlevels/default"
"""The same of OpenRC."""
PARTLY = "enabled in some runlevels"

_Words = Mapping[str, Tuple[str, ...]]

_BOOT: Tuple[_Words, ...] = (
    {
        "enable": ("update-rc.d", "{}", "enable"),
        "disable": ("update-rc.d", "{}", "disable"),
        "add": ("update-rc.d", "{}", "defaults"),
        "remove": ("update-rc.d", "-f", "{}", "remove"),
    },
    {
        "enable": ("chkconfig", "{}", "on"),
        "disable": ("chkconfig", "{}", "off"),
        "add": ("chkconfig", "--add", "{}"),
        "remove": ("chkconfig", "--del", "{}"),
    },
    {
        "enable": ("rc-update", "add", "{}", "default"),
        "disable": ("rc-update", "del", "{}", "default"),
        "add": ("rc-update", "add", "{}", "default"),
        "remove": ("rc-update", "del", "{}", "default"),
    },
)
"""What has a script started at boot or not (update-rc.d(8), chkconfig(8), rc-update(8)), where the
one before is not there.
"""

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
    if not is_systemd(system):
        return _script_state(system, unit)
    found = properties(system, unit, ("LoadState", "ActiveState", "UnitFileState"))
    return UnitFact(
        unit,
        found.get("LoadState", ""),
        found.get("ActiveState", ""),
        found.get("UnitFileState", ""),
    )


def script(unit: str) -> str:
    """The name of the init script; empty for a unit that SysV init has no word for. One script
    starts all instances of a template.
    """
    return unit[: -len(".service")].partition("@")[0] if unit.endswith(".service") else ""


def _script_state(system: System, unit: str) -> UnitFact:
    name = script(unit)
    if not name or system.stat(SCRIPTS + name) is None:
        return UnitFact(unit, "not-found", "inactive", "")
    # LSB 3.1, 20.2: 0 is running, 1 to 3 are not.
    code = _ask_script(system, unit, "status").code
    active = {0: "active", 1: "inactive", 2: "inactive", 3: "inactive"}.get(code, "")
    link = re.compile(r"S\d\d" + re.escape(name))
    starts = [any(map(link.fullmatch, system.listdir(level))) for level in LEVELS]
    enabled = PARTLY if any(starts) else "disabled"
    if all(starts) or name in system.listdir(RUNLEVEL):
        enabled = "enabled"
    return UnitFact(unit, "loaded", active, enabled)


def _ask_script(system: System, unit: str, word: str) -> Completed:
    """By way of service(8), which gives it a clean environment; where there is none, itself."""
    name = script(unit) or unit
    instance = unit[: -len(".service")].partition("@")[2]
    words = [word, instance] if instance else [word]
    done = system.run(["service", name, *words], timeout=SECONDS)
    return system.run([SCRIPTS + name, *words], timeout=SECONDS) if done.code == 127 else done


def _boot(system: System, unit: str, word: str) -> Completed:
    done = Completed((), 127, b"", b"nothing here changes what is started at boot")
    for words in _BOOT:
        argv = [part.replace("{}", script(unit) or unit) for part in words[word]]
        found = system.run(argv, timeout=SECONDS)
        if found.code != 127:
            return found
    return done


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

    Without systemd the init script of that name is asked, and there is nothing to daemon-reload.
    Raises ValueError for another word. Success of `start` is not success of the daemon: of a
    service of Type=simple it says only that the process was made.
    """
    if word not in WORDS:
        raise ValueError("not a word for the service manager: %r" % word)
    if not is_systemd(system):
        if word == "daemon-reload":
            return Completed((), 0, b"", b"")
        ask = _boot if word in _BOOT[0] else _ask_script
        return ask(system, unit, word)
    target = [] if word == "daemon-reload" else ["--", unit]
    return system.run(["systemctl", word, *target], timeout=SECONDS)
