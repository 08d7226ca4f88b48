"""Packages come without their services, and a killed installation can be cleaned up after."""

from dataclasses import replace

import pytest

from mailseal.system.base import Completed, Meta
from mailseal.system.memory import Killed, MemorySystem, Package, kill_at
from mailseal.system.packages import (
    GUARD,
    KEPT,
    fetching,
    forget_guard,
    install,
    installed,
    known,
    manager,
    manager_name,
)
from tests.system.rocky import Rocky

THEIRS = b"#!/bin/sh\n# the administrator's own\nexit 0\n"


def host() -> MemorySystem:
    system = MemorySystem()
    system.manager.boot()
    return system


def test_what_is_installed():
    system = host()
    assert installed(system, "xinetd") == ""
    assert known(system, ["stunnel4", "xinetd", "no-such"]) == {"stunnel4": "", "xinetd": ""}
    system.install("xinetd")
    assert installed(system, "xinetd") == "1:2.3.15.3-1+b1"
    assert known(system, ["xinetd"]) == {"xinetd": "1:2.3.15.3-1+b1"}


def test_nothing_starts_and_nothing_will():
    system = host()
    result = install(system, "xinetd")
    assert result.done.ok
    assert result.enabled == ("xinetd.service",)
    assert installed(system, "xinetd")
    assert system.manager.active == {}
    system.reboot()
    assert system.manager.active == {}
    assert system.stat(GUARD) is None


def test_a_unit_that_cannot_be_disabled_is_told():
    system = host()
    real = system.programs["systemctl"]

    def stubborn(argv: tuple[str, ...], data: bytes) -> Completed:
        return Completed(argv, 1, b"", b"no") if "disable" in argv else real(argv, data)

    system.programs["systemctl"] = stubborn
    done = install(system, "xinetd").done
    assert not done.ok
    assert "systemctl disable xinetd.service" in done.words()


def test_apt_get_would_have_started_it():
    """So that the test above can fail."""
    system = host()
    system.run(["apt-get", "install", "xinetd"])
    assert system.manager.active == {"xinetd.service": "active"}


def test_what_is_installed_stays_as_it_is():
    system = host()
    install(system, "xinetd")
    before = system.points
    assert install(system, "xinetd").done.ok
    assert system.points == before


def administrator_s(system: MemorySystem, kind: str) -> None:
    if kind == "file":
        system.put(GUARD, b"", 0o700)
        system.write(GUARD, THEIRS, Meta(0o700, 0, 0, (("user.a", b"b"),), 12345))
    elif kind == "link":
        system.symlink(GUARD, "/etc/alternatives/policy-rc.d")


@pytest.mark.parametrize("kind", ["nothing", "file", "link"])
def test_an_administrator_s_policy_comes_back_from_every_kill(kind: str):
    def fresh() -> MemorySystem:
        system = host()
        administrator_s(system, kind)
        system.points = 0
        return system

    system = fresh()
    before = (system.nodes.get(GUARD), system.nodes.get(KEPT))
    install(system, "stunnel4")
    assert (system.nodes.get(GUARD), system.nodes.get(KEPT)) == before
    assert system.manager.active == {}
    assert system.points >= 9
    for number in range(system.points):
        system = fresh()
        system.fail = kill_at(number)
        with pytest.raises(Killed):
            install(system, "stunnel4")
        system.fail = None
        system.revive()
        forget_guard(system)
        assert "stunnel.target" not in system.manager.states(), number
        assert (system.nodes.get(GUARD), system.nodes.get(KEPT)) == before, number
        forget_guard(system)
        assert (system.nodes.get(GUARD), system.nodes.get(KEPT)) == before, number


def test_the_clean_up_itself_may_be_killed():
    for number in range(100):
        system = host()
        administrator_s(system, "link")
        before = system.nodes[GUARD]
        system.symlink(KEPT, "/etc/alternatives/policy-rc.d")
        system.write(GUARD, b"# mailseal: temporary, keeps a package's services from starting", M)
        system.points, system.fail = 0, kill_at(number)
        try:
            forget_guard(system)
        except Killed:
            system.revive()
            forget_guard(system)
        assert (system.nodes.get(GUARD), system.nodes.get(KEPT)) == (before, None)
        if system.points <= number:
            return
    pytest.fail("the clean-up has no end")


M = Meta(0o755, 0, 0)


def test_a_failure_is_a_value_and_leaves_nothing():
    system = host()
    before = system.snapshot()
    system.apt_error = "E: Could not get lock /var/lib/dpkg/lock-frontend"
    result = install(system, "stunnel4")
    assert not result.done.ok
    assert "Could not get lock" in result.done.words()
    assert system.snapshot() == before


def test_old_lists_are_refreshed_once():
    system = host()
    package = system.available.pop("stunnel4")
    real, asked = system.programs["apt-get"], []

    def apt_get(argv: tuple[str, ...], data: bytes) -> Completed:
        asked.append(argv[1])
        if argv[1] == "update":
            system.available["stunnel4"] = package
            return Completed(argv, 0, b"", b"")
        return real(argv, data)

    system.programs["apt-get"] = apt_get
    assert install(system, "stunnel4").done.ok
    assert asked == ["install", "update", "install"]
    asked.clear()
    assert not install(system, "no-such").done.ok
    assert asked == ["install", "update", "install"]


def test_a_host_of_another_kind():
    system = host()
    system.remove("/usr/bin/apt-get")
    assert manager(system) is None
    assert known(system, ["stunnel4"]) == {}
    assert install(system, "stunnel4").done.code == 127


def test_a_package_without_units():
    system = host()
    system.available["tool"] = Package("1")
    assert install(system, "tool").enabled == ()


def test_what_is_installed_later_can_be_fetched_first():
    found = manager(host())
    assert found is not None
    words = fetching(found, ["stunnel4"])
    fetch, _, again = words.partition(" || ")
    assert fetch.startswith("apt-get install --yes")
    assert fetch.endswith(" stunnel4 --download-only")
    assert again == "{ apt-get update -o DPkg::Lock::Timeout=60 && %s; }" % fetch
    assert fetching(replace(found, fetch=""), ["stunnel4"]) == ""


# -- dnf and yum -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dnf", "yum"])
def test_rpm_s_world_is_asked_in_its_own_words(name: str):
    system = Rocky(name)
    system.manager.boot()
    assert manager_name(system) == name
    assert installed(system, "stunnel") == ""
    assert known(system, ["stunnel4", "stunnel"]) == {}
    assert install(system, "stunnel").done.ok
    assert installed(system, "stunnel") == "5.71-2.el9"
    assert known(system, ["stunnel4", "stunnel"]) == {"stunnel": "5.71-2.el9"}
    assert system.asked[0][:3] == (name, "install", "--assumeyes")
    assert len(system.asked) == 1
    assert system.stat(GUARD) is None


def test_a_package_of_two_architectures_has_one_version():
    system = Rocky()
    both = b"installed 5.71-2.el9\ninstalled 5.71-2.el9\n"
    system.programs["rpm"] = lambda argv, data: Completed(argv, 0, both, b"")
    assert installed(system, "stunnel") == "5.71-2.el9"


def test_dnf_s_lists_are_fetched_once_where_they_do_not_know_the_package():
    system = Rocky(stale=True)
    system.manager.boot()
    assert install(system, "stunnel").done.ok
    assert [each[1] for each in system.asked] == ["install", "makecache", "install"]
    done = install(system, "no-such").done
    assert (done.code, "Unable to find a match" in done.words()) == (1, True)


def test_what_a_preset_enables_is_disabled_again():
    system = Rocky()
    system.manager.boot()
    assert install(system, "xinetd").enabled == ("xinetd.service",)
    assert system.manager.active == {}


def test_fetching_alone_has_its_option():
    found = manager(Rocky())
    assert found
    assert "dnf install --assumeyes" in fetching(found, ["stunnel"])
    assert "--downloadonly" in fetching(found, ["stunnel"])
