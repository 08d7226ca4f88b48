"""Where no copy of a host can be made, it is said why, and what would help; nothing is begun."""

from collections.abc import Callable

import pytest

from mailseal.system.hostcopy import LOCK, NEEDS, CannotCopy, HostCopy, obstacle
from mailseal.system.memory import MemorySystem

GIB = 1024 * 1024


def host(memory: int = GIB) -> MemorySystem:
    """One that could be copied; `memory` in KiB."""
    system = MemorySystem()
    system.manager.boot()
    for program in NEEDS:
        system.put("/usr/bin/" + program, b"\x7fELF")
    system.put("/proc/meminfo", b"MemTotal: 9 kB\nMemAvailable:   %d kB\n" % memory)
    return system


def no_root(system: MemorySystem) -> None:
    system.user = 1000


def no_systemd(system: MemorySystem) -> None:
    system.remove("/run/systemd/system")


def no_nspawn(system: MemorySystem) -> None:
    system.remove("/usr/bin/systemd-nspawn")


def no_ip(system: MemorySystem) -> None:
    system.remove("/usr/bin/ip")


def no_memory(system: MemorySystem) -> None:
    system.put("/proc/meminfo", b"MemAvailable:   102400 kB\n")


def test_a_host_that_has_everything_can_be_copied():
    assert obstacle(host()) == ""


@pytest.mark.parametrize(
    ("take", "says"),
    [
        (no_root, "needs root: run it with sudo"),
        (no_systemd, "systemd is not this host's init"),
        (no_nspawn, "no systemd-nspawn here: install the package systemd-container"),
        (no_ip, "no ip here: install the package iproute2"),
        (no_memory, "100 MiB of memory are free, and a copy needs 256: free some"),
    ],
)
def test_what_is_missing_is_told_and_nothing_begun(take: Callable[[MemorySystem], None], says: str):
    system = host()
    take(system)
    before = system.snapshot()
    with pytest.raises(CannotCopy, match=says), HostCopy(system, (), print):
        pytest.fail("a copy was made")
    assert system.snapshot() == before


def test_two_rehearsals_do_not_meet():
    system = host()
    with (
        system.lock(LOCK) as first,
        pytest.raises(CannotCopy, match="another rehearsal is under way"),
        HostCopy(system, (), print),
    ):
        pytest.fail("a copy was made")
    assert first
