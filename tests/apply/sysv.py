"""A simulated host that SysV init runs: the service manager stands for its init scripts, asked as
service(8) asks them, and starts what the links of a runlevel name.

Strategy: what the scripts of others do is what their units do. That of ours starts one stunnel for
each name; the dead-man's child is a timer that a boot forgets, and its script one that a boot runs.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from mailseal.apply import executor
from mailseal.system.base import Completed, Meta
from mailseal.system.memory import MemorySystem
from mailseal.system.memory.files import Node
from mailseal.system.units import LEVELS, SCRIPTS
from mailseal.terminators import scripted

LINKS = tuple(level + "/" for level in LEVELS)
UNITS = {"openbsd-inetd": "inetd.service", "ipop2d": "pop2d.service"}
"""What stands for a script here, where that has another name."""
STUNNEL = {
    "Service.ExecStart": ("/usr/bin/stunnel4 /etc/mailseal/%i.conf",),
    "Service.ExecReload": ("kill -HUP",),
    "Service.User": ("stunnel4",),
}
RECOVER = "mailseal-recover-"
WATCH = "mailseal-deadman-%s"


def equip(system: MemorySystem) -> None:
    """Takes systemd from a machine and gives it init scripts."""
    manager = system.manager
    reload_files, boot = manager.reload_files, manager.boot

    def reread() -> None:
        reload_files()
        if scripted.SCRIPT in system.nodes:
            manager.loaded["mailseal@.service"] = STUNNEL

    def start_up() -> None:
        manager.boot = start_up  # type: ignore[method-assign]
        boot()
        names = [path[len(LINKS[0] + "S02") :] for path in system.nodes if _starts(path)]
        if "mailseal" in names:
            for name in system.listdir(scripted.BOOT.rstrip("/")):
                manager.start("mailseal@%s.service" % name)
            _tell_words(system)
        for name in names:
            if name.startswith(RECOVER) and SCRIPTS + name in system.nodes:
                _watch(system, executor.RUNS + "/" + name[len(RECOVER) :])

    manager.reload_files = reread  # type: ignore[method-assign]
    manager.boot = start_up  # type: ignore[method-assign]
    reread()
    # What a package enables for systemd starts nothing here.
    for name, package in system.available.items():
        system.available[name] = replace(package, units=())
    system.programs.pop("systemctl", None)
    system.programs["service"] = functools.partial(_service, system)
    system.programs["update-rc.d"] = functools.partial(_update_rc, system)
    system.programs["setsid"] = functools.partial(_setsid, system)


def _starts(path: str) -> bool:
    return path.startswith(LINKS[0] + "S02")


def link(system: MemorySystem, name: str, word: str = "S02") -> None:
    """The links by which a script is run at boot."""
    for level in LINKS:
        node = Node("link", Meta(0o777, 0, 0), target="../init.d/" + name)
        system.place(level + word + name, node)


def _service(system: MemorySystem, argv: tuple[str, ...], data: bytes) -> Completed:
    name, word, *instances = argv[1:]
    if SCRIPTS + name not in system.nodes:
        return Completed(argv, 1, b"", b"unrecognized service")
    system.manager.reload_files()
    unit = UNITS.get(name, name + ".service")
    if instances:
        unit = "%s@%s.service" % (name, instances[0])
    if word == "status":
        return Completed(argv, 0 if system.manager.active.get(unit) == "active" else 3, b"", b"")
    done = system.manager.systemctl(("systemctl", word, "--", unit), data)
    if system.manager.active.get(unit) == "failed":
        del system.manager.active[unit]  # there is no such state
        return Completed(argv, 1, b"", b"failed")
    _tell_words(system)
    return done


def _tell_words(system: MemorySystem) -> None:
    """The command lines of the terminators (proc(5))."""
    for each in system.manager.listeners():
        if each.unit.startswith("mailseal@"):
            name = each.unit[len("mailseal@") : -len(".service")]
            words = b"/usr/bin/stunnel4\0/etc/mailseal/%s.conf\0" % name.encode()
            system.put("/proc/%d/cmdline" % each.pid, words)


def _update_rc(system: MemorySystem, argv: tuple[str, ...], data: bytes) -> Completed:
    """update-rc.d(8): S02 becomes K98, and the other way round."""
    name, word = [each for each in argv[1:] if each != "-f"]
    if word == "defaults":
        link(system, name)
    for level in LINKS:
        if word == "remove":
            for way in ("S02", "K98"):
                system.nodes.pop(level + way + name, None)
        elif word in ("enable", "disable"):
            was, will = ("S02", "K98") if word == "disable" else ("K98", "S02")
            system.nodes[level + will + name] = system.nodes.pop(level + was + name)
    return Completed(argv, 0, b"", b"")


def _setsid(system: MemorySystem, argv: tuple[str, ...], data: bytes) -> Completed:
    assert (argv[1], argv[-1]) == ("--fork", "watch"), argv
    _watch(system, argv[-2])
    return Completed(argv, 0, b"", b"")


def _watch(system: MemorySystem, directory: str) -> None:
    name = WATCH % directory.rpartition("/")[2]
    words = ("--unit=" + name, "--on-active=5", "--on-unit-inactive=5")
    command = ("/usr/bin/python3", "-I", directory + "/mailseal.pyz", "recover", directory)
    system.manager.systemd_run(("systemd-run", *words, "--", *command), b"")


def waken(system: MemorySystem) -> None:
    """The dead-man's children end by themselves once there is nothing to undo any more."""
    for name in [each for each in system.manager.timers if each.startswith(WATCH % "")]:
        directory = executor.RUNS + "/" + name[len(WATCH % "") : -len(".timer")]
        if "systemctl" not in system.programs and not executor.unfinished(system, directory):
            system.manager.stop(name)
