"""A recorded /proc: tables of sockets of whatever bytes, holders, namespaces, programs, cgroups."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.system import proc
from mailseal.system.proc import Row, container_of, listening, unit_of

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
ROW = "   %d: %s 00000000:0000 0A 00000000:00000000 00:00000000 00000000 %d 0 %d 1\n"

little = pytest.mark.skipif(
    sys.byteorder != "little", reason="the table is in the byte order of the machine"
)


@little
def test_the_kernel_s_table():
    table = (
        HEAD
        + ROW % (0, "0100007F:006D", 101, 42)
        + "   1: 0100007F:006D 0100007F:9999 01 00000000:00000000 00:00000000 0 0 0 43 1\n"
        + ROW % (2, "0000000000000000FFFF00000A0200C0:006E", 0, 44)
        + ROW % (3, "00000000000000000000000000000000:0019", 0, 45)
    )
    assert list(listening(table)) == [
        Row("127.0.0.1", 109, 42, 101),
        Row("192.0.2.10", 110, 44, 0),
        Row("::", 25, 45, 0),
    ]


@given(st.text(st.characters(codec="utf-8"), max_size=400))
def test_any_text_is_read_as_a_table(said: str):
    assert all(0 < row.port < 65536 for row in listening(HEAD + said))


FIELDS = st.one_of(
    st.sampled_from(["0A", "0:", "0100007F:006D", "00000000:0000", "-1", "٣", "z", "1_0"]),
    st.text("0123456789ABCDEF:", max_size=40),
)


@given(st.lists(st.lists(FIELDS, min_size=8, max_size=12), max_size=5), st.integers(0, 9))
def test_any_line_that_looks_like_one_is_read_or_passed_over(lines: list[list[str]], at: int):
    for line in lines:
        line[3] = "0A"
    good = ROW % (at, "0100007F:006D", 0, 42)
    rows = list(listening(HEAD + "".join(" ".join(line) + "\n" for line in lines) + good))
    assert rows[-1].port == 109
    assert all(0 < row.port < 65536 for row in rows)


# -- a recorded tree -------------------------------------------------------------------------------


def put(root: Path, pid: int, start: int, sockets: list[int], namespace: int, exe: str) -> None:
    """A process as proc(5) shows it."""
    place = root / str(pid)
    (place / "fd").mkdir(parents=True)
    (place / "ns").mkdir()
    (place / "net").mkdir()
    fields = " ".join(["0"] * 18)
    (place / "stat").write_text(f"{pid} (a ) name) S {fields} {start} 0 0\n")
    (place / "comm").write_text("inetd\n")
    (place / "status").write_text("Name:\tinetd\nUid:\t0\t8\t0\t0\n")
    (place / "cgroup").write_text("0::/system.slice/inetd.service\n")
    (place / "cmdline").write_bytes(b"/usr/sbin/inetd\0-i\0")
    (place / "exe").symlink_to(exe)
    (place / "ns/net").symlink_to(f"net:[{namespace}]")
    for number, inode in enumerate(sockets):
        (place / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
    (place / "fd" / "99").symlink_to("/dev/null")


def test_one_pass_finds_holders_and_namespaces(tmp_path: Path):
    put(tmp_path, 10, 500, [42, 43], 1, "/x")
    put(tmp_path, 9, 700, [42], 1, "/x")
    put(tmp_path, 11, 600, [77], 2, "/x")
    (tmp_path / "12").mkdir()
    (tmp_path / "self").mkdir()
    found = proc.processes(str(tmp_path))
    assert found.holders == {42: (10, 9), 43: (10,), 77: (11,)}
    assert found.namespaces == {1: 10, 2: 11}
    assert proc.processes(str(tmp_path), {77}).holders == {77: (11,)}


def test_a_process_is_what_its_files_say(tmp_path: Path):
    program = tmp_path / "inetd"
    program.write_bytes(b"\x7fELF")
    put(tmp_path, 10, 500, [], 1, str(program))
    found = proc.process(10, {8: "mail"}, str(tmp_path))
    assert (found.name, found.executable, found.program) == ("inetd", str(program), "here")
    assert (found.uid, found.user) == (8, "mail")
    assert found.arguments == ("/usr/sbin/inetd", "-i")
    assert unit_of(found.cgroup) == "inetd.service"


def test_an_upgraded_program_is_told_from_the_one_at_its_path(tmp_path: Path):
    put(tmp_path, 10, 500, [], 1, "/usr/sbin/inetd (deleted)")
    found = proc.process(10, {}, str(tmp_path))
    assert (found.executable, found.program) == ("/usr/sbin/inetd", "replaced")


def test_a_program_that_is_not_at_its_path_here_is_a_container_s(tmp_path: Path):
    put(tmp_path, 10, 500, [], 1, "/no/such/inetd")
    assert proc.process(10, {}, str(tmp_path)).program == "elsewhere"


def test_a_process_that_ended_is_empty(tmp_path: Path):
    found = proc.process(10, {}, str(tmp_path))
    assert (found.name, found.executable, found.uid, found.cgroup) == ("", "", -1, "")
    assert proc.started("10", str(tmp_path)) == 0
    assert proc.namespace("10", str(tmp_path)) == 0
    assert proc.sockets("10", str(tmp_path)) == []


def test_this_machine_s_own_namespace():
    assert proc.namespace("self") == os.stat("/proc/self/ns/net").st_ino
    assert proc.names("/no/such/directory") == {}


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/inetd.service\n", "inetd.service"),
        ("0::/system.slice/stunnel@pop2.service/worker\n", "stunnel@pop2.service"),
        (
            "9:name=systemd:/system.slice/xinetd.service\n4:memory:/x.scope\n0::/\n",
            "xinetd.service",
        ),
        ("0::/user.slice/user-0.slice/user@0.service/a.scope\n", "a.scope"),
        ("9:name=systemd:/\n0::/init.scope\n", "init.scope"),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_the_unit_of_a_process(cgroup, unit):
    assert unit_of(cgroup) == unit


ID = "0123456789ab" + "cd" * 26


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        (f"0::/system.slice/docker-{ID}.scope\n", "docker 0123456789ab"),
        (f"12:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n", "docker 0123456789ab"),
        (f"0::/machine.slice/libpod-{ID}.scope/container\n", "podman 0123456789ab"),
        (f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope\n",
         "podman 0123456789ab"),
        (f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n",
         "kubernetes 0123456789ab"),
        ("0::/lxc.payload.mail/system.slice/inetd.service\n", "lxc mail"),
        ("9:name=systemd:/lxc/mail\n", "lxc mail"),
        ("0::/machine.slice/systemd-nspawn@mail.service/payload/init.scope\n", "nspawn mail"),
        ("0::/machine.slice/machine-old\\x2dmail.scope/payload\n", "machine old-mail"),
        ("0::/system.slice/docker.service\n", ""),
        ("0::/system.slice/lxcfs.service\n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_container_of_a_process(cgroup, container):
    assert container_of(cgroup) == container


@given(st.text(max_size=200))
def test_any_text_is_read_as_a_cgroup(cgroup: str):
    assert isinstance(unit_of(cgroup), str)
    assert isinstance(container_of(cgroup), str)
