"""A simulated host with dnf or yum, whose rpm(8) and dnf(8) answer as those of Rocky Linux 9 do."""

from __future__ import annotations

from mailseal.system.base import Completed
from mailseal.system.memory import MemorySystem, Package

STUNNEL = Package("5.71-2.el9", {"/usr/bin/stunnel": b"\x7fELF"})
RELEASE = b'ID="rocky"\nVERSION_ID="9.4"\nPRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"\n'
MISSING = "No match for argument: %s\nError: Unable to find a match: %s\n"


class Rocky(MemorySystem):
    """`stale`: how often dnf knows no package, until its lists are fetched."""

    def __init__(self, manager: str = "dnf", stale: bool = False) -> None:
        super().__init__()
        self.remove("/usr/bin/apt-get")
        self.put("/usr/lib/os-release", RELEASE)
        for each in ("rpm", manager, "systemd-sysusers"):
            self.put("/usr/bin/" + each, b"\x7fELF", 0o755)
        del self.programs["apt-get"], self.programs["apt-cache"], self.programs["dpkg-query"]
        self.available = {"stunnel": STUNNEL, "xinetd": self.available["xinetd"]}
        self.programs["rpm"], self.programs[manager] = self._rpm, self._dnf
        stunnel4 = self.programs["stunnel4"]
        self.programs["stunnel"] = lambda argv, data: (
            Completed(argv, 0, b"stunnel 5.71 on x86_64-redhat-linux-gnu platform\n", b"")
            if argv[1:] == ("-version",) and "/usr/bin/stunnel" in self.nodes
            else stunnel4(argv, data)
        )
        self.asked: list[tuple[str, ...]] = []
        self.stale = stale
        self.on_exec = self._executed

    def _rpm(self, argv: tuple[str, ...], data: bytes) -> Completed:
        assert argv[:3] == ("rpm", "-q", "--queryformat")
        version = self.packages.get(argv[-1])
        if version is None:
            return Completed(argv, 1, b"package %s is not installed\n" % argv[-1].encode(), b"")
        return Completed(argv, 0, b"installed %s\n" % version.encode(), b"")

    def _dnf(self, argv: tuple[str, ...], data: bytes) -> Completed:
        self.asked.append(argv)
        if "makecache" in argv:
            self.stale = False
            return Completed(argv, 0, b"Metadata cache created.\n", b"")
        assert "--assumeyes" in argv
        name = argv[-1]
        if self.stale or name not in self.available:
            return Completed(argv, 1, b"", (MISSING % (name, name)).encode())
        self.install(name)
        return Completed(argv, 0, b"Complete!\n", b"")

    def _executed(self, argv: tuple[str, ...]) -> int:
        if argv[0] == "/usr/bin/systemd-sysusers":
            self.users["stunnel4"] = self.groups["stunnel4"] = 990
        return 0
