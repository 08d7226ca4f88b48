"""The dead-man: what nobody confirms is undone, whatever became of us.

Armed before the first change, from the run's own directory (an upgrade or removal of mailseal
cannot orphan it): a transient timer of systemd, and a unit that runs at boot for the power loss;
where there is no systemd, a child process of nobody, and an init script for the boot. Each calls
the executor's `recover`, which reads the journal. The timer fires every few seconds: an executor
that was killed is noticed at once and not when the hold is over, a recovery that was killed is
begun again, and since it counts on the monotonic clock nobody's change of the time of day matters.

Armed from the timer to the boot unit and disarmed the other way round, so that a kill in between
leaves a timer that clears the rest away. One gap remains: a power loss between the boot unit's file
and its link, two entries that no system call makes together, leaves a file that nothing starts; the
next run takes it away.
"""

from __future__ import annotations

import posixpath
from typing import List, Sequence, Tuple

from mailseal.system import units
from mailseal.system.base import Meta, System

PERIOD = 5
"""Seconds from one look of the timer to the next."""

UNITS = "/etc/systemd/system"
WANTS = UNITS + "/multi-user.target.wants"
_BOOT_UNIT = "mailseal-recover-%s.service"

_BOOT = """\
# Made by mailseal for the time of one change; removed when it is confirmed or undone.
[Unit]
Description=mailseal: undo a change that was not confirmed before the reboot
RequiresMountsFor=%(directory)s
Wants=network-online.target
After=local-fs.target network-online.target %(after)s
ConditionPathExists=%(directory)s/mailseal.pyz

[Service]
Type=oneshot
Restart=on-abnormal
ExecStart=%(command)s

[Install]
WantedBy=multi-user.target
"""


_SCRIPT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          %(name)s
# Required-Start:    $all
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:
# Short-Description: undo a change of mailseal that was not confirmed
### END INIT INFO
# Made by mailseal for the time of one change; removed when it is confirmed or undone.
[ "${1:-}" = start ] && [ -e %(directory)s/mailseal.pyz ] || exit 0
exec setsid --fork %(command)s watch </dev/null >/dev/null 2>&1
"""


def command(python: str, directory: str) -> Tuple[str, ...]:
    """What undoes the run in `directory`, from its own copy of the executor."""
    return (python, "-I", posixpath.join(directory, "mailseal.pyz"), "recover", directory)


def timer_unit(directory: str) -> str:
    """Name of the transient unit."""
    return "mailseal-deadman-" + posixpath.basename(directory)


def boot_path(directory: str) -> str:
    """The unit that runs at boot."""
    return posixpath.join(UNITS, _BOOT_UNIT % posixpath.basename(directory))


def directories(directory: str) -> Tuple[str, ...]:
    """Where arming writes."""
    return (directory, UNITS, posixpath.dirname(units.SCRIPTS))


def arm(system: System, python: str, directory: str, after: Sequence[str]) -> str:
    """Arms it; may be done again. `after`: the units that the undo will ask something of, so that
    at boot it comes when they are started. Empty text, or why it cannot be: then nothing may be
    changed. Raises OSError.
    """
    argv = command(python, directory)
    if not units.is_systemd(system):
        done = system.run(["setsid", "--fork", *argv, "watch"], timeout=30)
        if not done.ok:
            return "the dead-man cannot be started: " + done.words()
        return _arm_script(system, argv, directory)
    timer = timer_unit(directory)
    if units.state(system, timer + ".timer").active != "active":
        # Its default accuracy is a minute, which is long without mail.
        words = ["--on-active=%d" % PERIOD, "--on-unit-inactive=%d" % PERIOD]
        words += ["--timer-property=AccuracySec=1s", "--property=Type=oneshot", "--collect"]
        done = system.run(
            ["systemd-run", "--quiet", "--unit=" + timer, *words, "--", *argv], timeout=30
        )
        if not done.ok:
            return "the dead-man timer cannot be set: " + done.words()
    if system.stat(WANTS) is None:
        system.write(_made_wants(directory), b"", Meta(0o600, 0, 0))
        system.mkdir(WANTS, Meta(0o755, 0, 0))
    text = _BOOT % {
        "directory": directory,
        "command": " ".join(argv),
        "after": " ".join(sorted(set(after))),
    }
    system.write(boot_path(directory), text.encode("utf-8"), Meta(0o644, 0, 0))
    if system.stat(_link(directory)) is None:
        system.symlink(_link(directory), boot_path(directory))
    units.act(system, "", "daemon-reload")
    return ""


def _arm_script(system: System, argv: Sequence[str], directory: str) -> str:
    """What undoes at boot, where init scripts are run by the links of their runlevels."""
    if system.stat(units.LEVELS[0]) is None:
        return ""
    unit = _BOOT_UNIT % posixpath.basename(directory)
    words = {"name": units.script(unit), "directory": directory, "command": " ".join(argv)}
    path = units.SCRIPTS + units.script(unit)
    system.write(path, (_SCRIPT % words).encode("utf-8"), Meta(0o755, 0, 0))
    done = units.act(system, unit, "add")
    return "" if done.ok else "the undo at boot cannot be set: " + done.words()


def _disarm_script(system: System, directory: str) -> None:
    unit = _BOOT_UNIT % posixpath.basename(directory)
    path = units.SCRIPTS + units.script(unit)
    if system.stat(path) is not None:
        units.act(system, unit, "remove")
        system.remove(path)


def disarm(system: System, directory: str) -> None:
    """Takes it away; may be done at any time, and twice. A waiting child reads the journal when it
    wakes, and finds nothing to do. Raises OSError.
    """
    if not units.is_systemd(system):
        _disarm_script(system, directory)
        return
    paths = [path for path in (_link(directory), boot_path(directory)) if system.stat(path)]
    for path in paths:
        system.remove(path)
    if system.stat(_made_wants(directory)) is not None and not system.listdir(WANTS):
        system.remove(WANTS)
        system.remove(_made_wants(directory))
    if paths:
        units.act(system, "", "daemon-reload")
    # The timer alone: its service may be the very process that is undoing now.
    system.run(["systemctl", "stop", "--", timer_unit(directory) + ".timer"], timeout=30)


def disarm_others(system: System, runs: str) -> None:
    """Clears away what a power loss left of the dead-men of runs that are over; `runs` is the
    directory of all runs. Only for who holds the lock and knows that none is under way.
    """
    start, end = _BOOT_UNIT.split("%s")
    left: List[str] = [
        name[len(start) :].partition(end)[0]
        for directory in (UNITS, WANTS, posixpath.dirname(units.SCRIPTS))
        for name in system.listdir(directory)
        if name.startswith(start)
    ]
    for run in dict.fromkeys(left):
        disarm(system, posixpath.join(runs, run))


def _link(directory: str) -> str:
    return posixpath.join(WANTS, _BOOT_UNIT % posixpath.basename(directory))


def _made_wants(directory: str) -> str:
    """Marks that the directory of links was not there before."""
    return posixpath.join(directory, "made-wants")
