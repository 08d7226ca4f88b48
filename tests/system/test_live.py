"""The real machine: durable writes, no links followed, bounded programs, sockets from /proc."""

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mailseal.system.base import Completed, Meta, Stat
from mailseal.system.live import MAX_OUTPUT, TEMPORARY, LiveSystem

SYSTEM = LiveSystem()


def mine(
    mode: int,
    xattrs: tuple[tuple[str, bytes], ...] = (),
    modified_ns: int | None = None,
) -> Meta:
    return Meta(mode, os.geteuid(), os.getegid(), xattrs, modified_ns)


def seen(path: str) -> Stat:
    found = SYSTEM.stat(path)
    assert found
    return found


def leftovers(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.startswith(TEMPORARY)]


@pytest.fixture
def xattrs_work(tmp_path):
    probe = tmp_path / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.test", b"1")
    except OSError:
        pytest.skip("this file system takes no extended attributes")
    probe.unlink()


# -- files ----------------------------------------------------------------------------------------


def test_a_written_file_is_as_asked(tmp_path, xattrs_work):
    path = str(tmp_path / "file")
    meta = mine(0o4750, (("user.mailseal", b"\x00label"),), 1_500_000_000_123_456_789)
    SYSTEM.write(path, b"bytes\0", meta)
    assert SYSTEM.read(path) == b"bytes\0"
    assert seen(path).meta == meta
    assert seen(path).kind == "file"
    assert seen(path).size == 6


def test_the_mode_does_not_depend_on_the_umask(tmp_path):
    old = os.umask(0o077)
    try:
        SYSTEM.write(str(tmp_path / "file"), b"", mine(0o666))
        SYSTEM.mkdir(str(tmp_path / "directory"), mine(0o775))
    finally:
        os.umask(old)
    assert seen(str(tmp_path / "file")).meta.mode == 0o666
    assert seen(str(tmp_path / "directory")).meta.mode == 0o775


def test_the_file_is_complete_and_synced_before_it_is_visible(tmp_path, monkeypatch):
    """The order in which power may fail at any moment."""
    said = []

    def spy_on(name: str) -> None:
        real = getattr(os, name)

        def spy(*args, **keywords):
            kind = ""
            if name == "fsync":
                kind = " directory" if stat.S_ISDIR(os.fstat(args[0]).st_mode) else " file"
            said.append(name + kind)
            return real(*args, **keywords)

        monkeypatch.setattr(os, name, spy)

    for name in ("fchown", "fchmod", "utime", "fsync", "rename"):
        spy_on(name)
    SYSTEM.write(str(tmp_path / "file"), b"x", mine(0o600, modified_ns=1))
    assert said == ["fchown", "fchmod", "utime", "fsync file", "rename", "fsync directory"]


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "fchown"])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*args, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        SYSTEM.write(str(path), b"new", mine(0o600))
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_a_write_replaces_a_link_and_never_what_it_points_to(tmp_path):
    (tmp_path / "victim").write_bytes(b"theirs")
    (tmp_path / "link").symlink_to("victim")
    SYSTEM.write(str(tmp_path / "link"), b"ours", mine(0o600))
    assert (tmp_path / "victim").read_bytes() == b"theirs"
    assert seen(str(tmp_path / "link")).kind == "file"


@pytest.mark.parametrize(
    "touch",
    [
        SYSTEM.read,
        lambda path: SYSTEM.append(path, b"x"),
        lambda path: SYSTEM.lock(path).__enter__(),
    ],
    ids=["read", "append", "lock"],
)
def test_a_link_is_not_followed(tmp_path, touch):
    (tmp_path / "victim").write_bytes(b"theirs")
    (tmp_path / "link").symlink_to("victim")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        touch(str(tmp_path / "link"))
    assert (tmp_path / "victim").read_bytes() == b"theirs"


def test_a_fifo_neither_hangs_nor_is_taken_for_a_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        SYSTEM.read(str(tmp_path / "fifo"))
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        SYSTEM.append(str(tmp_path / "fifo"), b"x")


def test_append_creates_closed_and_adds(tmp_path):
    path = str(tmp_path / "journal")
    SYSTEM.append(path, b"one\n")
    SYSTEM.append(path, b"two\n")
    assert SYSTEM.read(path) == b"one\ntwo\n"
    assert seen(path).meta.mode == 0o600


def test_an_append_that_fails_takes_its_bytes_back(tmp_path, monkeypatch):
    path = str(tmp_path / "journal")
    SYSTEM.append(path, b"one\n")

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        SYSTEM.append(path, b"two\n")
    assert SYSTEM.read(path) == b"one\n"


def test_a_link_a_directory_and_their_removal(tmp_path):
    link, directory = str(tmp_path / "link"), str(tmp_path / "directory")
    SYSTEM.symlink(link, "../nowhere")
    SYSTEM.mkdir(directory, mine(0o750))
    assert (seen(link).kind, seen(link).target) == ("link", "../nowhere")
    assert seen(directory).kind == "directory"
    assert SYSTEM.listdir(str(tmp_path)) == ("directory", "link")
    with pytest.raises(FileExistsError):
        SYSTEM.symlink(link, "x")
    with pytest.raises(FileExistsError):
        SYSTEM.mkdir(directory, mine(0o750))
    SYSTEM.remove(link)
    SYSTEM.remove(directory)
    SYSTEM.remove(directory)
    assert SYSTEM.listdir(str(tmp_path)) == ()


def test_what_is_not_there_is_not_there(tmp_path):
    nothing = str(tmp_path / "no" / "thing")
    assert SYSTEM.stat(nothing) is None
    assert SYSTEM.listdir(nothing) == ()
    SYSTEM.remove(nothing)
    with pytest.raises(FileNotFoundError):
        SYSTEM.read(nothing)


def test_paths_are_absolute():
    with pytest.raises(ValueError, match="absolute"):
        SYSTEM.write("relative", b"", mine(0o600))


def test_one_holds_the_lock(tmp_path):
    path = str(tmp_path / "lock")
    with SYSTEM.lock(path) as first:
        with SYSTEM.lock(path) as second:
            assert (first, second) == (True, False)
        assert seen(path).meta.mode == 0o600
    with SYSTEM.lock(path) as third:
        assert third


# -- programs -------------------------------------------------------------------------------------


def test_a_program_gets_its_input_and_gives_its_output():
    done = SYSTEM.run(["sh", "-c", "cat; echo bad >&2; exit 3"], data=b"x" * 300_000)
    assert (done.code, len(done.out), done.err) == (3, 300_000, b"bad\n")


def test_programs_speak_a_locale_we_can_read(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    done = SYSTEM.run(["sh", "-c", 'echo "$LC_ALL/$LANGUAGE/$EXTRA"'], env={"EXTRA": "yes"})
    assert done.out == b"C.UTF-8//yes\n"


@pytest.mark.parametrize(
    ("argv", "code"),
    [(["/no/such/program"], 127), (["/etc/passwd"], 126), (["sh", "-c", "kill -9 $$"], -9)],
)
def test_the_codes_of_those_that_did_not_exit(argv, code):
    assert SYSTEM.run(argv).code == code


def test_a_program_that_does_not_read_is_no_error():
    assert SYSTEM.run(["true"], data=b"x" * 1_000_000).code == 0


def test_output_is_bounded():
    done = SYSTEM.run(["sh", "-c", "head -c 6000000 /dev/zero; echo end >&2"])
    assert (done.code, len(done.out), done.err) == (0, MAX_OUTPUT, b"end\n")


def test_a_program_that_takes_too_long_ends_with_its_children(tmp_path):
    pid = tmp_path / "pid"
    began = time.monotonic()
    done = SYSTEM.run(["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"], timeout=0.5)
    assert done.code == 124
    assert time.monotonic() - began < 5
    # Gone, or a corpse that the init of this machine has yet to bury.
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", pid.read_text().strip()], capture_output=True, text=True
    ).stdout
    assert state.strip()[:1] in ("", "Z")


def test_a_daemon_that_keeps_the_output_open_holds_nobody_up():
    began = time.monotonic()
    done = SYSTEM.run(["sh", "-c", "sleep 30 & echo $!"])
    assert done.code == 0
    assert time.monotonic() - began < 5
    os.kill(int(done.out), signal.SIGTERM)


# -- sockets --------------------------------------------------------------------------------------


def listen(family: int, address: str, v6only: int | None = None) -> socket.socket:
    server = socket.socket(family)
    if v6only is not None:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    server.bind((address, 0))
    server.listen()
    return server


def test_listeners_name_address_process_and_family():
    with (
        listen(socket.AF_INET, "127.0.0.1") as four,
        listen(socket.AF_INET6, "::1") as six,
    ):
        found = {each.port: each for each in SYSTEM.listeners()}
        one, other = (found[server.getsockname()[1]] for server in (four, six))
    assert (one.address, other.address) == ("127.0.0.1", "::1")
    assert one.pid == other.pid == os.getpid()
    assert one.executable == os.readlink("/proc/self/exe")
    assert one.process
    assert not one.dual
    assert not other.dual


def test_a_socket_of_both_families_says_so(monkeypatch):
    with (
        listen(socket.AF_INET6, "::", v6only=1) as alone,
        listen(socket.AF_INET6, "::", v6only=0) as both,
    ):
        ports = [server.getsockname()[1] for server in (alone, both)]
        found = {each.port: each for each in SYSTEM.listeners()}
        assert [found[port].dual for port in ports] == [False, True]
        # Without ss the sysctl is all there is to go by.
        real = LiveSystem.run
        missing = Completed(("ss",), 127, b"", b"")
        monkeypatch.setattr(
            LiveSystem,
            "run",
            lambda self, argv, **more: missing if argv[0] == "ss" else real(self, argv, **more),
        )
        default = Path("/proc/sys/net/ipv6/bindv6only").read_text().strip() == "0"
        found = {each.port: each for each in SYSTEM.listeners()}
        assert [found[port].dual for port in ports] == [default, default]


def test_sockets_name_who_holds_them():
    with listen(socket.AF_INET6, "::", v6only=0) as both:
        found = {each.port: each for each in SYSTEM.sockets() if each.namespace is None}
        one = found[both.getsockname()[1]]
        assert one.inode == os.fstat(both.fileno()).st_ino
    assert (one.address, one.dual, one.uid) == ("::", True, os.geteuid())
    (holder,) = one.holders
    assert (holder.pid, holder.uid) == (os.getpid(), os.geteuid())
    assert (holder.executable, holder.program) == (os.readlink("/proc/self/exe"), "here")
    assert holder.cgroup == Path("/proc/self/cgroup").read_text()
    assert holder.arguments


_ANOTHER = """
import os, socket
server = socket.create_server(("::", 1109), family=socket.AF_INET6, dualstack_ipv6=True)
print(os.getpid(), flush=True)
input()
"""


def test_another_network_namespace_is_read_too():
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    command = ["unshare", "--net", sys.executable, "-c", _ANOTHER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        pid = int(child.stdout.readline())
        inode = os.stat("/proc/%d/ns/net" % pid).st_ino
        within = [e for e in SYSTEM.sockets() if e.namespace and e.namespace.inode == inode]
        child.communicate(b"\n")
    (one,) = within
    assert (one.address, one.port, one.dual) == ("::", 1109, True)
    assert [each.pid for each in one.holders] == [pid]
    assert one.namespace
    assert one.namespace.process.pid == pid


def test_users_by_name():
    assert SYSTEM.ids("root", "root") == (0, 0)
    with pytest.raises(LookupError):
        SYSTEM.ids("nobody-of-this-name", "root")
    assert SYSTEM.uid() == os.geteuid()
    assert abs(SYSTEM.now() - time.time()) < 5
