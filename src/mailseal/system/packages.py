"""Packages of the distribution: what is installed, and installing without anything starting.

Strategy: the words of each package manager are one row of MANAGERS. On Debian maintainer scripts
ask /usr/sbin/policy-rc.d before they start a service; while we install, ours answers 101, "not
allowed" (its specification is in Debian's invoke-rc.d). What the package enables for the next boot
is disabled again, and told; rpm's may enable by presets. All that takes to undo is on disk and not
in memory, so that `forget_guard` can clean up after a run that was killed: an administrator's own
policy-rc.d is set aside beside ours, and ours names the units that were enabled before.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import FrozenSet, Iterable, Mapping, Optional, Tuple

from mailseal.system import units
from mailseal.system.base import Completed, Meta, System

GUARD = "/usr/sbin/policy-rc.d"
KEPT = GUARD + ".mailseal-kept"
MARKER = b"# mailseal: temporary, keeps a package's services from starting"
_BEFORE = "# enabled before: "

INSTALL_SECONDS = 600.0


@dataclass(frozen=True)
class Manager:
    """A package manager. `program` shows that it is there. `{}` stands for the package's name.
    `stale` are the complaints that a fresh list of packages may cure.
    """

    program: str
    installed: Tuple[str, ...]
    install: Tuple[str, ...]
    refresh: Tuple[str, ...]
    known: Tuple[str, ...]
    """Which packages there are, without fetching lists; empty where that cannot be asked."""
    stale: Tuple[bytes, ...]
    env: Mapping[str, str]
    remove: str = ""
    """What takes the package away, for people."""
    fetch: str = ""
    """What makes `install` fetch and do no more; empty where it cannot."""


# rpm(8): one line for each that is installed (there may be one of each architecture), else words on
# standard output and exit code 1.
_RPM = ("rpm", "-q", "--queryformat", "installed %{VERSION}-%{RELEASE}\\n", "{}")
# Of dnf 4 ("Error: Unable to find a match: ...") and dnf 5, both exit code 1.
_UNKNOWN_TO_DNF = (b"No match for argument", b"Status code: 404")

MANAGERS: Mapping[str, Manager] = {
    "apt": Manager(
        program="/usr/bin/apt-get",
        installed=("dpkg-query", "-W", "-f=${db:Status-Status} ${Version}\n", "{}"),
        # Nothing else may be taken away or upgraded for it, and no file of the administrator's
        # replaced.
        install=(
            *("apt-get", "install", "--yes", "--no-install-recommends", "--no-remove"),
            *("--no-upgrade", "-o", "Dpkg::Options::=--force-confold"),
            *("-o", "DPkg::Lock::Timeout=60", "{}"),
        ),
        refresh=("apt-get", "update", "-o", "DPkg::Lock::Timeout=60"),
        known=("apt-cache", "policy"),
        stale=(b"Unable to locate package", b"has no installation candidate", b"404"),
        # needrestart would restart other people's services.
        env={
            "DEBIAN_FRONTEND": "noninteractive",
            "APT_LISTCHANGES_FRONTEND": "none",
            "NEEDRESTART_SUSPEND": "1",
        },
        remove="apt-get remove {}",
        fetch="--download-only",
    ),
    "dnf": Manager(
        program="/usr/bin/dnf",
        installed=_RPM,
        # It waits for another run of itself. Without --allowerasing nothing is taken away for it.
        install=("dnf", "install", "--assumeyes", "--setopt=install_weak_deps=False", "{}"),
        refresh=("dnf", "makecache"),
        known=(),
        stale=_UNKNOWN_TO_DNF,
        env={},
        remove="dnf remove {}",
        fetch="--downloadonly",
    ),
    "yum": Manager(
        program="/usr/bin/yum",
        installed=_RPM,
        install=("yum", "install", "--assumeyes", "{}"),
        refresh=("yum", "makecache"),
        known=(),
        stale=(b"No package", b"404"),
        env={},
        remove="yum remove {}",
        fetch="--downloadonly",
    ),
}
"""By name, in the order in which they are looked for: Debian may have dnf, and dnf brings a yum."""


@dataclass(frozen=True)
class Installation:
    """What came of an installation. `enabled` are the units that the package had enabled for the
    next boot, and that were disabled again.
    """

    done: Completed
    enabled: Tuple[str, ...] = ()


def manager(system: System) -> Optional[Manager]:
    """The package manager of this host, None where we know none."""
    return MANAGERS.get(manager_name(system))


def manager_name(system: System) -> str:
    """Which of MANAGERS this host has, empty where none. Raises OSError."""
    return next((name for name, each in MANAGERS.items() if system.stat(each.program)), "")


def installed(system: System, name: str) -> str:
    """The version of an installed package, else empty."""
    status, version = _status(system, name)
    return version if status == "installed" else ""


def half(system: System, name: str) -> str:
    """How far a package came whose installation failed (a word of dpkg's, `half-configured`); empty
    where it is installed, or nothing of it is.
    """
    status, _ = _status(system, name)
    return status if status in _HALF else ""


_HALF = ("half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending")
"""dpkg(1), package states; rpm has none between the two."""


def _status(system: System, name: str) -> Tuple[str, str]:
    found = manager(system)
    if not found:
        return "", ""
    said = _say(system, found.installed, name).out.decode("utf-8", "replace")
    status, _, version = said.partition("\n")[0].partition(" ")
    return status, version.strip()


def known(system: System, names: Iterable[str]) -> Mapping[str, str]:
    """Of these packages those that the package manager knows: name to installed version, empty
    where it could be installed. A manager that would fetch lists for it tells the installed alone.
    """
    found = manager(system)
    if not found:
        return {}
    if not found.known:
        present = {name: installed(system, name) for name in names}
        return {name: version for name, version in present.items() if version}
    out = system.run([*found.known, *names]).out.decode("utf-8", "replace")
    versions, candidates, name = {}, set(), ""
    for line in out.splitlines():
        key, _, value = line.strip().partition(": ")
        if line and not line.startswith(" "):
            name = line.rstrip(":")
        elif key == "Installed":
            versions[name] = value.replace("(none)", "")
        elif key == "Candidate" and value != "(none)":
            candidates.add(name)
    return {name: version for name, version in versions.items() if version or name in candidates}


def install(system: System, name: str) -> Installation:
    """Installs a package; none of its services is started now or enabled for the next boot. One
    that is installed is left as it is. Waits 60 s for another run of the package manager.
    """
    found = manager(system)
    if not found:
        return Installation(Completed((), 127, b"", b"no package manager that we know"))
    if installed(system, name):
        return Installation(Completed((), 0, b"already installed", b""))
    forget_guard(system)
    enabled: Tuple[str, ...] = ()
    try:
        _set_guard(system)
        done = _say(system, found.install, name, found.env)
        if not done.ok and any(complaint in done.err + done.out for complaint in found.stale):
            refreshed = _say(system, found.refresh, name, found.env)
            done = _say(system, found.install, name, found.env) if refreshed.ok else refreshed
    finally:
        enabled = forget_guard(system)
    # Success means that at least one of them is enabled. A unit that is generated from
    # a SysV script is still listed when its script is disabled.
    if enabled and system.run(["systemctl", "is-enabled", "--quiet", "--", *enabled]).ok:
        complaint = "could not be disabled; run: systemctl disable " + " ".join(enabled)
        done = Completed(done.argv, done.code or 1, done.out, complaint.encode())
    return Installation(done, enabled)


def fetching(found: Manager, names: Iterable[str]) -> str:
    """The words for a shell that fetch packages and install nothing; empty where that cannot be."""
    if not found.fetch:
        return ""
    lines = []
    for name in names:
        words = [name if word == "{}" else word for word in (*found.install, found.fetch)]
        lines.append(" ".join(map(shlex.quote, words)))
    fetch = " && ".join(lines)
    return "%s || { %s && %s; }" % (fetch, " ".join(map(shlex.quote, found.refresh)), fetch)


def forget_guard(system: System) -> Tuple[str, ...]:
    """Disables what was enabled since our policy-rc.d came, takes it away and gives the
    administrator's back, whatever point a killed run had come to. The units that it disabled. Does
    nothing where there is nothing of ours.
    """
    guard = _ours(system)
    enabled: Tuple[str, ...] = ()
    if guard is not None:
        lines = guard.decode("utf-8", "replace").splitlines()
        before = {line[len(_BEFORE) :] for line in lines if line.startswith(_BEFORE)}
        enabled = tuple(sorted(_enabled(system) - before))
        # One by one: a power loss may have left one whose script is empty, and systemctl stops at
        # the first that fails. Now: after a kill and a boot they run already.
        for unit in enabled:
            system.run(["systemctl", "disable", "--now", "--", unit])
    if system.stat(KEPT):
        if guard is not None or not system.stat(GUARD):
            _copy(system, KEPT, GUARD)
        system.remove(KEPT)
    elif guard is not None:
        system.remove(GUARD)
    return enabled


def _set_guard(system: System) -> None:
    before = "".join("%s%s\n" % (_BEFORE, unit) for unit in sorted(_enabled(system)))
    if system.stat(GUARD):
        _copy(system, GUARD, KEPT)
    # Where there was a link, the write replaces the link itself.
    content = b"#!/bin/sh\n%s\n%sexit 101\n" % (MARKER, before.encode())
    system.write(GUARD, content, Meta(0o755, 0, 0))


def _ours(system: System) -> Optional[bytes]:
    """The content of our policy-rc.d, None where there is none of ours."""
    found = system.stat(GUARD)
    content = system.read(GUARD) if found and found.kind == "file" else b""
    return content if MARKER in content else None


def _copy(system: System, source: str, target: str) -> None:
    """A file or a link with all that belongs to it."""
    found = system.stat(source)
    if found and found.kind == "link":
        system.remove(target)
        system.symlink(target, found.target)
    elif found:
        system.write(target, system.read(source), found.meta)


def _say(
    system: System,
    words: Tuple[str, ...],
    name: str,
    env: Optional[Mapping[str, str]] = None,
) -> Completed:
    argv = [name if word == "{}" else word for word in words]
    return system.run(argv, timeout=INSTALL_SECONDS, env=env)


def _enabled(system: System) -> FrozenSet[str]:
    """The units that start at boot: enabled, or generated from a SysV script."""
    if not units.is_systemd(system):
        return frozenset()
    done = system.run(
        ["systemctl", "list-unit-files", "--state=enabled,generated", "--no-legend", "--plain"]
    )
    lines = done.out.decode("utf-8", "replace").splitlines()
    return frozenset(line.split()[0] for line in lines if line.strip())
