"""Updates told apart as their archives say, nothing on the host changed, and no answer made up."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.model.local import Package, Software
from mailseal.model.moment import seconds
from mailseal.system.base import Completed
from mailseal.system.memory import MemorySystem
from mailseal.system.reader import Reader
from mailseal.system.updates import LOGS, updates

NOW = seconds("2026-11-21T12:00:00.000Z")
LISTS = "/var/lib/apt/lists/"
SECURITY = "http://security.debian.org/debian-security bookworm-security/main amd64 Packages"
STABLE = "http://deb.debian.org/debian bookworm/main amd64 Packages"
BACKPORTS = "http://deb.debian.org/debian bookworm-backports/main amd64 Packages"
NEXT = "http://security.debian.org/debian-security trixie-security/main amd64 Packages"
OWN = "https://repo.example.org/debian ./ Packages"
# As apt 2.6.1 of Debian 12 gives it.
TARGETS = {
    SECURITY: ("bookworm-security", "oldstable-security", "Debian-Security", "Debian", "main"),
    STABLE: ("bookworm", "oldstable", "Debian", "Debian", "main"),
    BACKPORTS: ("bookworm-backports", "oldstable-backports", "Debian Backports", "Debian", "main"),
    NEXT: ("trixie-security", "stable-security", "Debian-Security", "Debian", "main"),
    OWN: ("$(CODENAME)", "$(SUITE)", "$(LABEL)", "example", "$(COMPONENT)"),
}
SUITE = "security.debian.org_debian-security_dists_bookworm-security_"
FILES = {
    SECURITY: SUITE + "main_binary-amd64_Packages",
    STABLE: "deb.debian.org_debian_dists_bookworm_main_binary-amd64_Packages.lz4",
}
STATUS = "/var/lib/dpkg/status"
OS_RELEASE = b"""\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
VERSION_ID="12"
VERSION_CODENAME=bookworm
ID=debian
"""


def policy(name: str, candidate: str, *versions: tuple[str, tuple[str, ...]]) -> str:
    """What `apt-cache policy` prints; the installed version begins with `*`."""
    installed = next(version[1:] for version, _ in versions if version.startswith("*"))
    lines = [f"{name}:", f"  Installed: {installed}", f"  Candidate: {candidate}"]
    lines.append("  Version table:")
    for version, sources in versions:
        mark = " ***" if version.startswith("*") else "    "
        lines.append(f"{mark} {version.lstrip('*')} 500")
        lines += [f"        500 {source}" for source in sources]
    return "\n".join(lines) + "\n"


class Debian(MemorySystem):
    """A host whose apt knows these lists and says this."""

    def __init__(self, said: str, targets: tuple[str, ...], held: str = "") -> None:
        super().__init__()
        self.asked: list[tuple[str, ...]] = []
        self.clock = NOW
        self.put("/usr/bin/apt-cache", b"")
        self.put("/usr/lib/os-release", OS_RELEASE)
        self.targets = "".join(
            "\t".join((each, *TARGETS[each], LISTS + FILES.get(each, "x_Packages"))) + "\n"
            for each in targets
        )
        self.said = {"apt-get": self.targets, "apt-cache": said, "dpkg-query": held}
        for name in self.said:
            self.programs[name] = self._answer
        self.dated(SUITE + "InRelease", 18)

    def _answer(self, argv: tuple[str, ...], data: bytes) -> Completed:
        self.asked.append(argv)
        return Completed(argv, 0, self.said[argv[0]].encode(), b"")

    def dated(self, name: str, day: int) -> None:
        self.put(LISTS + name, b"Suite: x\nDate: Wed, %d Nov 2026 22:17:41 UTC\n" % day)


def told(
    *versions: tuple[str, tuple[str, ...]],
    candidate: str = "",
    held: str = "",
    targets: tuple[str, ...] = (STABLE, SECURITY),
) -> Package:
    said = policy("dovecot-core", candidate or versions[0][0].lstrip("*"), *versions)
    found = updates(Reader(Debian(said, targets, held)), [("dovecot-core", "1.1")])
    (package,) = found.packages
    return package


INSTALLED = ("*1.1", (STABLE, STATUS))


def test_what_is_up_to_date_has_no_update():
    assert told(INSTALLED) == Package("dovecot-core", "1.1", "Debian", "main")


def test_security_and_ordinary_updates_are_told_apart():
    assert told(("1.2", (SECURITY,)), INSTALLED).security
    ordinary = told(("1.2", (STABLE,)), INSTALLED)
    assert (ordinary.update, ordinary.security) == ("1.2", False)


def test_a_point_release_on_top_of_a_security_update_is_one():
    # `apt list --upgradable` and `apt-get -s upgrade` show it as stable's.
    found = told(("1.3", (STABLE,)), ("1.2", (SECURITY,)), ("*1.1", (STATUS,)))
    assert (found.update, found.security, found.vendor) == ("1.3", True, "Debian")


def test_a_security_update_below_the_installed_version_is_none():
    found = told(("1.3", (STABLE,)), ("*1.2", (STATUS,)), ("1.1", (SECURITY,)))
    assert (found.update, found.security) == ("1.3", False)


def test_backports_that_are_no_candidate_are_no_update():
    found = told(("2.0", (BACKPORTS,)), INSTALLED, candidate="1.1", targets=(*TARGETS,))
    assert found.update == ""


def test_a_security_update_that_preferences_keep_away_is_told():
    # APT::Default-Release "bookworm" does this: release notes of Debian 11, 5.1.2.
    found = told(("1.2", (SECURITY,)), INSTALLED, candidate="1.1")
    assert (found.update, found.security) == ("1.2", True)
    assert "preferences" in found.blocked
    both = told(("1.3", (SECURITY,)), ("1.2", (STABLE,)), INSTALLED, candidate="1.2")
    assert (both.update, both.security, bool(both.blocked)) == ("1.3", True, True)


def test_a_security_update_of_the_next_release_is_not_this_one_s():
    found = told(("2.0", (NEXT,)), INSTALLED, candidate="1.1", targets=(*TARGETS,))
    assert found.update == ""


def test_an_archive_that_tells_no_security_updates_leaves_it_open():
    found = told(("1.2", (OWN,)), ("*1.1", (STATUS,)), targets=(*TARGETS,))
    assert (found.update, found.security, found.vendor) == ("1.2", None, "example")
    assert told(("1.2", (STABLE,)), INSTALLED, targets=(STABLE,)).security is None


def test_a_package_on_hold_is_told():
    found = told(("1.2", (SECURITY,)), INSTALLED, held="dovecot-core hold\n")
    assert found.blocked == "it is on hold"


def test_whose_a_package_is():
    own = told(("*1.1", (OWN, STATUS)), targets=(*TARGETS,))
    assert (own.vendor, own.component, own.unknown) == ("example", "", "")
    nobody = told(("*1.1", (STATUS,)))
    assert nobody.vendor == ""
    assert "no package list" in nobody.unknown


def software(machine: MemorySystem) -> Software:
    return updates(Reader(machine), [("dovecot-core", "1.1")])


def test_the_lists_are_as_old_as_the_security_archive_says():
    machine = Debian(policy("dovecot-core", "1.1", INSTALLED), (STABLE, SECURITY))
    machine.dated("deb.debian.org_debian_dists_bookworm_InRelease", 20)
    found = software(machine)
    assert found.fresh == "2026-11-18T22:17:41.000Z"
    assert (found.distribution, found.manager, found.gaps) == ("debian 12", "apt", ())
    machine.clock += 30 * 86400
    assert software(machine).gaps == (
        "updates: the package lists are of 2026-11-18, older than 8 days",
    )


@pytest.mark.parametrize(
    ("targets", "gap"),
    [((), "no package lists"), ((STABLE,), "no source of security updates")],
)
def test_what_keeps_an_update_out_of_sight_is_a_gap(targets: tuple[str, ...], gap: str):
    (found,) = software(Debian(policy("dovecot-core", "1.1", INSTALLED), targets)).gaps
    assert gap in found


@pytest.mark.parametrize(("code", "why"), [(124, "took longer than 20 s"), (100, "E: broken")])
def test_an_apt_that_fails_or_hangs_is_a_gap(code: int, why: str):
    machine = Debian("", (STABLE, SECURITY))
    machine.programs["apt-cache"] = lambda argv, data: Completed(argv, code, b"", b"E: broken")
    found = software(machine)
    assert why in found.gaps[-1]
    assert found.packages[0].unknown == "apt tells nothing of it"


def test_apt_is_asked_so_that_it_writes_no_cache():
    machine = Debian(policy("dovecot-core", "1.1", INSTALLED), (STABLE, SECURITY))
    software(machine)
    (asked,) = [argv for argv in machine.asked if argv[0] == "apt-cache"]
    assert "Dir::Cache::pkgcache=" in asked
    assert "Dir::Cache::srcpkgcache=" in asked
    assert not any("update" in argv or "upgrade" in argv for argv in machine.asked)


def test_a_host_without_a_manager_that_we_know():
    machine = MemorySystem()
    machine.remove("/usr/bin/apt-cache")
    assert software(machine).gaps == ("updates: no package manager that is known here",)


@pytest.mark.parametrize(
    "date",
    [b"", b"Date: x", b"Date: 1 Jan 99999", b"\xff"],
)
def test_a_date_that_is_none_is_a_gap(date: bytes):
    machine = Debian(policy("dovecot-core", "1.1", INSTALLED), (SECURITY,))
    machine.put(LISTS + SUITE + "InRelease", date)
    assert software(machine).gaps == ("updates: how old the package lists are is not told",)


@given(st.text(max_size=400))
def test_whatever_apt_prints_is_no_crash(noise: str):
    machine = Debian("dovecot-core:\n  Candidate: " + noise, (STABLE, SECURITY))
    machine.said["apt-get"] += noise
    machine.said["dpkg-query"] = noise
    (package,) = software(machine).packages
    assert package.name == "dovecot-core"


# -- dnf -------------------------------------------------------------------------------------------

# Recorded: dnf 4.14.0 over a repository with updateinfo.xml as Rocky Linux 9 has it.
CHECK_UPDATE = """
dovecot.x86_64                        1:2.3.16-6.el9                        appstream
postfix.x86_64                        2:3.5.9-19.el9                        baseos
"""
UPDATEINFO = """\
RLSA-2026:1234 Important/Sec. dovecot-1:2.3.16-5.el9.x86_64
RLBA-2026:1300 bugfix         dovecot-1:2.3.16-6.el9.x86_64
RLBA-2026:1300 bugfix         postfix-2:3.5.9-19.el9.x86_64
"""
# In the columns of dnf5-advisory(8).
ADVISORIES = """\
Name           Type     Severity  Package                         Issued
RLSA-2026:1234 security Important dovecot-1:2.3.16-5.el9.x86_64   2026-10-01 00:00:00
RLBA-2026:1300 bugfix   None      postfix-2:3.5.9-19.el9.x86_64   2026-10-09 00:00:00
"""
VENDORS = "dovecot\tRocky Enterprise Software Foundation\npostfix\t(none)\n"
INSTALLED_RPMS = [("dovecot", "2.3.16-3.el9"), ("postfix", "3.5.9-18.el9"), ("inetd", "1-1")]


class Rocky(MemorySystem):
    def __init__(self, said: Mapping[str, tuple[int, str]], cache: bool = True) -> None:
        super().__init__()
        self.remove("/usr/bin/apt-cache")
        self.put("/usr/bin/dnf", b"")
        release = b'ID="rocky"\nVERSION_ID="9.4"\nPRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"\n'
        self.put("/usr/lib/os-release", release)
        self.clock = NOW
        if cache:
            for name in ("repomd.xml", "01-updateinfo.xml.gz"):
                self.put("/var/cache/dnf/baseos-0123/repodata/" + name, b"<x/>")
                self.put("/var/cache/dnf/appstream-0123/repodata/" + name, b"<x/>")
        self.said = said
        self.programs["dnf"] = self._dnf
        self.programs["rpm"] = lambda argv, data: Completed(argv, 1, VENDORS.encode(), b"")

    def _dnf(self, argv: tuple[str, ...], data: bytes) -> Completed:
        assert {"--cacheonly", "--setopt=logdir=" + LOGS} <= set(argv)
        self.put(LOGS + "/dnf.log", b"x")
        code, out = self.said["updateinfo" if "updateinfo" in argv else "check-update"]
        return Completed(argv, code, out.encode(), b"Error: broken" if code == 1 else b"")


@pytest.mark.parametrize("listed", [UPDATEINFO, ADVISORIES], ids=["dnf4", "dnf5"])
def test_dnf_tells_security_and_ordinary_apart(listed: str):
    machine = Rocky({"check-update": (100, CHECK_UPDATE), "updateinfo": (0, listed)})
    found = updates(Reader(machine), INSTALLED_RPMS)
    assert [(each.update, each.security) for each in found.packages] == [
        ("1:2.3.16-6.el9", True),
        ("2:3.5.9-19.el9", False),
        ("", None),
    ]
    assert found.packages[0].vendor == "Rocky Enterprise Software Foundation"
    assert (found.distribution, found.fresh[:10], found.gaps) == ("rocky 9.4", "2026-11-21", ())
    assert machine.listdir(LOGS) == ()
    assert machine.stat(LOGS) is None


def test_a_repository_without_advisories_leaves_it_open():
    machine = Rocky({"check-update": (100, CHECK_UPDATE), "updateinfo": (0, "")})
    machine.remove("/var/cache/dnf/baseos-0123/repodata/01-updateinfo.xml.gz")
    found = updates(Reader(machine), INSTALLED_RPMS).packages
    assert [each.security for each in found] == [False, None, None]


def test_dnf_without_lists_is_not_asked():
    assert updates(Reader(Rocky({}, cache=False)), INSTALLED_RPMS).gaps == (
        "updates: dnf has no package lists: run dnf makecache",
    )


def test_dnf_that_fails_is_a_gap():
    machine = Rocky({"check-update": (1, ""), "updateinfo": (0, "")})
    (gap,) = updates(Reader(machine), INSTALLED_RPMS).gaps
    assert "Error: broken" in gap


def test_dnf_is_not_asked_by_others_than_root():
    machine = Rocky({})
    machine.user = 1000
    (gap,) = updates(Reader(machine), INSTALLED_RPMS).gaps
    assert "run as root" in gap


@given(st.text(max_size=400))
def test_whatever_dnf_prints_is_no_crash(noise: str):
    machine = Rocky({"check-update": (100, noise), "updateinfo": (0, noise)})
    assert len(updates(Reader(machine), INSTALLED_RPMS).packages) == 3
