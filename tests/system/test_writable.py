"""What stops root from writing a file is told before it is tried."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.system.base import Completed, Meta
from mailseal.system.live import LiveSystem
from mailseal.system.memory import MemorySystem
from mailseal.system.writable import MOUNTS, Mount, mounts, obstacles

ROOT = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"
USR = "22 21 8:2 / /usr ro,relatime shared:2 - ext4 /dev/sda2 rw"
BROKEN = "23 21 8:3 / /var rw - ext4 /dev/sda3 ro,errors=remount-ro"
INETD = "24 21 8:1 /x /etc/inetd.conf rw - ext4 /dev/sda1 rw"
ODD = r"25 21 8:1 /x /srv/a\040b ro - ext4 /dev/sda1 rw"


def host(*lines: str, locked: str = "") -> MemorySystem:
    system = MemorySystem()
    system.put("/etc/inetd.conf", b"")
    system.put(MOUNTS, "\n".join((ROOT, *lines, "")).encode())
    system.programs["lsattr"] = lambda argv, data: Completed(argv, 1, locked.encode(), b"no")
    return system


@pytest.mark.parametrize(
    ("line", "path", "says"),
    [
        (USR, "/usr/sbin/policy-rc.d", "/usr is mounted read-only. Mount it for writing"),
        (BROKEN, "/var/lib/mailseal/runs/x", "/var is mounted read-only"),
        (INETD, "/etc/inetd.conf", "/etc/inetd.conf is a mount of its own. Unmount it"),
        (ODD, "/srv/a b/c", "/srv/a b is mounted read-only"),
        (USR, "/usrlocal/x", ""),
        (USR, "/etc/inetd.conf", ""),
        (INETD, "/etc/inetd.confs", ""),
    ],
)
def test_a_mount(line: str, path: str, says: str):
    found = obstacles(host(line), [path])
    assert len(found) == bool(says)
    assert says in "".join(found)
    assert all(each.startswith(path + " cannot be written: ") for each in found)


def test_the_last_mount_at_a_path_counts():
    again = USR.replace("ro,", "rw,")
    assert obstacles(host(USR, again), ["/usr/x"]) == []
    assert len(obstacles(host(again, USR), ["/usr/x"])) == 1


@pytest.mark.parametrize(
    ("locked", "says"),
    [
        ("----i---------e------- /etc/inetd.conf\n", "/etc/inetd.conf is immutable"),
        ("-----a--------e------- /etc/inetd.conf\n", "`chattr -a /etc/inetd.conf`"),
        ("----i---------e------- /etc\n", "/etc is immutable"),
        ("--------------e------- /etc/inetd.conf\n", ""),
    ],
)
def test_an_attribute_of_the_file_or_its_directory(locked: str, says: str):
    assert says in "".join(obstacles(host(locked=locked), ["/etc/inetd.conf"]))
    assert bool(says) == bool(obstacles(host(locked=locked), ["/etc/inetd.conf"]))


def test_a_directory_that_is_yet_to_be_made_counts_as_the_one_above():
    locked = "----i---------e------- /etc\n"
    (said,) = obstacles(host(locked=locked), ["/etc/a/b/c", "/etc/a/b/d"])
    assert said.startswith("/etc/a/b/c cannot be written: /etc is immutable")


def test_where_nothing_can_be_asked_nothing_is_said():
    assert obstacles(MemorySystem(), ["/etc/inetd.conf"]) == []


@given(st.text())
def test_any_text_is_read(text: str):
    assert all(isinstance(each, Mount) for each in mounts(text))


def test_what_a_real_machine_says(tmp_path: Path):
    system = LiveSystem()
    assert Mount("/proc", False) in mounts(Path(MOUNTS).read_text(encoding="utf-8"))
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert obstacles(system, [str(file), str(tmp_path / "no" / "such")]) == []
    if os.geteuid() or subprocess.run(["chattr", "+i", file], capture_output=True).returncode:
        pytest.skip("no file can be made immutable here: not root, or the file system has no such")
    try:
        (said,) = obstacles(system, [str(file)])
        with pytest.raises(PermissionError):
            system.write(str(file), b"x", Meta(0o644, 0, 0))
    finally:
        subprocess.run(["chattr", "-i", file], check=True)
    assert f"{file} is immutable" in said
