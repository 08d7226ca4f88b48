"""The dead-man: what nobody confirms is undone, whatever became of us.

Armed before the first change, from the run's own directory (an upgrade or removal of mailseal
cannot orphan it): a transient timer of systemd for the time limit, and a unit that runs at boot
for the power loss; where there is no systemd, a child process of nobody. Each calls the executor's
`recover`, which reads the journal: a committed run is left alone, any other is undone.
"""

from __future__ import annotations

import posixpath
from typing import Tuple

from mailseal.system import units
from mailseal.system.base import Meta, System

BOOT_UNIT = "mailseal-recover.service"
BOOT_PATH = "/etc/systemd/system/" + BOOT_UNIT
WANTS = "/etc/systemd/system/multi-user.target.wants"

_BOOT = """\
# Made by mailseal for the time of one change; removed when it is confirmed or undone.
[Unit]
Description=mailseal: undo a change that was not confirmed before the reboot
After=local-fs.target network.target inetd.service xinetd.service
ConditionPathExists=%(directory)s/journal

[Service]
Type=oneshot
ExecStart=%(command)s

[Install]
WantedBy=multi-user.target
"""


def command(python: str, directory: str) -> Tuple[str, ...]:
    """What undoes the run in `directory`, from its own copy of the executor."""
    return (python, "-I", posixpath.join(directory, "mailseal.pyz"), "recover", directory)


def timer_unit(directory: str) -> str:
    """Name of the transient unit."""
    return "mailseal-deadman-" + posixpath.basename(directory)


def arm(system: System, python: str, directory: str, seconds: float) -> str:
    """Arms it. Empty text, or why it cannot be: then nothing may be changed."""
    argv = command(python, directory)
    if not units.is_systemd(system):
        return _arm_child(system, argv, seconds)
    unit = _BOOT % {"directory": directory, "command": " ".join(argv)}
    root = Meta(0o644, 0, 0)
    if system.stat(WANTS) is None:
        system.mkdir(WANTS, Meta(0o755, 0, 0))
        system.write(_made_wants(directory), b"", Meta(0o600, 0, 0))
    system.write(BOOT_PATH, unit.encode("utf-8"), root)
    if system.stat(_link()) is None:
        system.symlink(_link(), BOOT_PATH)
    units.act(system, "", "daemon-reload")
    timer = ["systemd-run", "--quiet", "--unit=" + timer_unit(directory)]
    # Its default accuracy is a minute, which is long without mail.
    timer += ["--on-active=%d" % seconds, "--timer-property=AccuracySec=1s"]
    timer += ["--property=Type=oneshot", "--collect", "--", *argv]
    done = system.run(timer, timeout=30)
    return "" if done.ok else "the dead-man timer cannot be set: " + done.words()


def _arm_child(system: System, argv: Tuple[str, ...], seconds: float) -> str:
    waiter = ["setsid", "--fork", argv[0], *argv[1:], "--after", "%d" % seconds]
    done = system.run(waiter, timeout=30)
    return "" if done.ok else "the dead-man cannot be started: " + done.words()


def disarm(system: System, directory: str) -> None:
    """Takes it away; may be done at any time, and twice. A waiting child reads the journal when it
    wakes, and finds nothing to do.
    """
    if not units.is_systemd(system):
        return
    # The timer alone: its service may be the very process that is undoing now.
    system.run(["systemctl", "stop", timer_unit(directory) + ".timer"], timeout=30)
    system.remove(_link())
    system.remove(BOOT_PATH)
    if system.stat(_made_wants(directory)) is not None:
        if not system.listdir(WANTS):
            system.remove(WANTS)
        system.remove(_made_wants(directory))
    units.act(system, "", "daemon-reload")


def _link() -> str:
    return posixpath.join(WANTS, BOOT_UNIT)


def _made_wants(directory: str) -> str:
    """Marks that the directory of links was not there before."""
    return posixpath.join(directory, "made-wants")
