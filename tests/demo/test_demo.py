"""`mailseal demo` as a user runs it: as root and not, to its end, interrupted, killed, and failing;
and that nothing is left. Everything it starts inherits TMPDIR, which is how it is found again.
"""

import contextlib
import functools
import io
import ipaddress
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailseal.apply import executor
from mailseal.apply.journal import Journal
from mailseal.demo import eavesdrop, story, superserver, toyhost
from mailseal.demo.stage import Stage, free_port
from mailseal.model import codec
from mailseal.model.change import Control
from mailseal.model.plan import RunState
from mailseal.plan import Options
from mailseal.report.style import PLAIN
from mailseal.system import units
from mailseal.system.base import Meta
from mailseal.system.live import LiveSystem
from mailseal.system.netns import sweep
from mailseal.workflow import plans

SRC = Path(__file__).parents[2] / "src"
RUN = (
    "import sys; from mailseal.demo.story import run; sys.exit(run(sys.stdout, sys.stderr, False))"
)
ROOT = os.geteuid() == 0
# env(1) in between starts the program with the rights of nobody; setpriv itself still has root's.
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", "env")

pytestmark = [
    # The demo takes loopback's port 10109: one at a time.
    pytest.mark.xdist_group("demo"),
    pytest.mark.skipif(
        not (shutil.which("stunnel4") or shutil.which("stunnel")), reason="no stunnel here"
    ),
]
needs_root = pytest.mark.skipif(not ROOT, reason="network namespaces need root")


@functools.cache
def can_be_root_of_a_network() -> str:
    """Why this root cannot make network namespaces; empty where it can."""
    name = "mailseal-%d-0000" % os.getpid()
    done = LiveSystem().run(["ip", "netns", "add", name])
    if done.ok:
        LiveSystem().run(["ip", "netns", "delete", name])
    return "" if done.ok else done.words()


@functools.cache
def unprivileged_python() -> str:
    """A Python that an ordinary user can run, with this checkout; empty where there is none."""
    words = ("-c", "import sys, mailseal.demo.story; assert sys.version_info >= (3, 11)")
    for python in (sys.executable, "/usr/bin/python3"):
        done = LiveSystem().run([*NOBODY, python, *words], env={"PYTHONPATH": str(SRC)})
        if done.ok:
            return python
    return ""


class Play:
    """One demo: its command, and the directory that is its TMPDIR."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def start(self, unprivileged: bool = False) -> subprocess.Popen[str]:
        python: str = sys.executable
        prefix: tuple[str, ...] = ()
        if unprivileged and ROOT:
            python, prefix = unprivileged_python(), NOBODY
            if not python:
                pytest.skip("an ordinary user can run no Python here that finds this checkout")
        return subprocess.Popen(
            [*prefix, python, "-c", RUN],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(SRC),
                "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": str(self.directory),
            },
        )

    def processes(self) -> list[int]:
        """Processes that were started by the demo: its TMPDIR is theirs."""
        mark = b"TMPDIR=" + os.fsencode(self.directory) + b"\0"
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def gone(self, seconds: float = 0.0) -> bool:
        """No process is left, now or within this time."""
        end = time.monotonic() + seconds
        while self.processes() and time.monotonic() < end:
            time.sleep(0.05)
        return not self.processes()


def namespaces(pid: int) -> list[str]:
    """The demo's network namespaces, by its process."""
    root = Path("/run/netns")
    return [p.name for p in root.glob(f"mailseal-{pid}-*")] if root.is_dir() else []


def of_this_machine() -> dict[str, list[str]]:
    """What a plan would change if it got at the real host."""
    places = ("/etc", "/etc/systemd/system", "/var/lib", "/var/mail")
    inetd = Path("/etc/inetd.conf")
    found = {place: sorted(os.listdir(place)) for place in places if os.path.isdir(place)}
    found["inetd.conf"] = [inetd.read_text()] if inetd.exists() else []
    return found


@pytest.fixture
def play() -> Iterator[Play]:
    # Not pytest's own directory: the path of a Unix socket has at most 107 octets.
    with tempfile.TemporaryDirectory(prefix="msd-") as name:
        os.chmod(name, 0o777)
        yield Play(Path(name))


def finish(play: Play, process: subprocess.Popen[str]) -> tuple[int, str, str]:
    with process:
        out, err = process.communicate(timeout=90)
    return process.returncode, out, err


def assert_nothing_left(play: Play, pid: int) -> None:
    assert play.processes() == []
    assert namespaces(pid) == []
    assert list(play.directory.iterdir()) == []


# -- to the end ------------------------------------------------------------------------------------


@needs_root
@pytest.mark.slow
def test_as_root_the_whole_story(play: Play) -> None:
    if can_be_root_of_a_network():
        pytest.skip("no network namespaces: " + can_be_root_of_a_network())
    before = of_this_machine()
    began = time.monotonic()
    process = play.start()
    code, out, err = finish(play, process)
    assert code == 0, err
    assert time.monotonic() - began < 60
    rows = {line[:18].strip(): line[18:].split("  ") for line in out.splitlines() if "  " in line}
    exposed = ["exposed (accepted)", "exposed (accepted)", "user, password, mail"]
    assert [word.strip() for word in rows["before"] if word.strip()] == exposed
    assert [word.strip() for word in rows["after rollback"] if word.strip()] == exposed
    sealed = [word.strip() for word in rows["sealed"] if word.strip()]
    assert sealed[:2] == ["refused", "refused"]
    assert sealed[2].startswith("nothing, of ")
    assert "[2001:db8::10]:109" in out
    assert "Not shown" not in out + err
    assert "mailseal seal ssh://mailhost" in out
    assert "wire> C: HELO postmaster ***************" in err
    assert "The password is masked here" in err
    assert "-pop2 stream tcp nowait" in err
    assert "confirmed by a look from another host" in err
    assert "bytes, owner, mode, time as before" in err
    assert "\x1b" not in out + err
    assert_nothing_left(play, process.pid)
    assert of_this_machine() == before


@pytest.mark.slow
def test_an_ordinary_user_is_told_what_cannot_be_shown(play: Play) -> None:
    before = of_this_machine()
    process = play.start(unprivileged=True)
    code, out, err = finish(play, process)
    assert code == 0, err
    assert "exposed (accepted)" in out
    assert "refused " in out
    assert "packet capture needs root" in out
    assert "packet capture needs root" in err
    assert "user, password, mail" not in out
    assert "wire>" not in err
    assert "logged in inside TLSv1.3" in err
    assert "byte for byte" in err
    assert_nothing_left(play, process.pid)
    assert of_this_machine() == before


# -- not to the end --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "after"),
    [
        (signal.SIGTERM, "mailseal demo"),
        (signal.SIGINT, "1. A legacy POP2 service"),
        (signal.SIGTERM, "| start mailseal@"),
        (signal.SIGHUP, "| stop mailseal@"),
    ],
)
def test_a_signal_in_the_middle_leaves_nothing(
    play: Play, number: signal.Signals, after: str
) -> None:
    process = play.start()
    assert process.stderr is not None
    with process:
        for line in process.stderr:
            if after in line:
                break
        assert play.processes(), "nothing runs: there is nothing to clean up"
        process.send_signal(number)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == story.INTERRUPTED, err
    assert "Interrupted" in err
    assert "Traceback" not in err
    assert out == ""
    assert_nothing_left(play, process.pid)


@pytest.mark.slow
def test_killed_it_takes_its_programs_along_and_the_next_sweeps_its_networks(play: Play) -> None:
    process = play.start()
    assert process.stderr is not None
    with process:
        for line in process.stderr:
            if "| start mailseal@" in line:
                break
        assert len(play.processes()) > 2
        process.kill()
        process.communicate(timeout=60)
    assert play.gone(10), "programs outlived the demo"
    if ROOT:
        sweep(LiveSystem())
    assert namespaces(process.pid) == []
    for left in play.directory.iterdir():
        shutil.rmtree(left)


def test_without_stunnel_it_says_which_package(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "PROGRAMS", ())
    monkeypatch.setenv("PATH", str(play.directory))
    out, err = io.StringIO(), io.StringIO()
    assert story.run(out, err, False) == story.REFUSED
    assert "apt-get install stunnel4" in err.getvalue()
    assert out.getvalue() == ""


@pytest.mark.slow
def test_a_stunnel_that_does_not_start_is_undone_and_told(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = story.needed(os.environ["PATH"] + ":/usr/bin")["stunnel4"]
    broken = play.directory / "stunnel"
    broken.write_text(f'#!/bin/sh\n[ "$1" = -version ] && exec {real} -version\nexit 1\n')
    broken.chmod(0o755)
    monkeypatch.setattr(story, "needed", lambda path: {"stunnel4": str(broken)})
    monkeypatch.setattr(tempfile, "tempdir", str(play.directory))
    out, err = io.StringIO(), io.StringIO()
    assert story.run(out, err, False) == story.FAILED
    assert "not sealed: stunnel does not listen with the planned options" in err.getvalue()
    assert out.getvalue() == ""
    assert list(play.directory.iterdir()) == [broken]
    assert namespaces(os.getpid()) == []


@pytest.mark.slow
def test_the_dead_man_undoes_what_nobody_confirmed(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(play.directory))
    stunnel = story.needed(os.environ["PATH"] + ":/usr/bin")["stunnel4"]
    with contextlib.ExitStack() as stack:
        told = story._Story(stack, story._Talk(io.StringIO(), PLAIN), stunnel)
        toy, host = told._toy, told._host
        told._service_comes_up()
        before = told._snapshot()
        wish = plans.Wish(told._stage.port, Options(name="mail.example"))
        made, _ = plans.make(host, wish)
        receipt = host.apply(codec.dumps(made).encode(), 0.5, lambda line: None, Control())
        assert receipt.state is RunState.HELD
        assert told._snapshot() != before
        directory = f"{executor.RUNS}/{receipt.run}"
        for _ in range(300):
            state = Journal(toy, executor.journal_path(directory)).state
            if state is RunState.UNDONE:
                break
            time.sleep(0.1)
        assert state is RunState.UNDONE
        assert told._snapshot() == before
    assert list(play.directory.iterdir()) == []


@pytest.mark.parametrize("kind", ["private", "long", "fitting"])
def test_the_toy_host_lies_where_sockets_and_users_can_be(
    play: Play, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    directory = play.directory / ("x" * 60 if kind == "long" else kind)
    directory.mkdir()
    directory.chmod(0o700 if kind == "private" else 0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    fits = kind == "fitting" or (kind == "private" and not ROOT)
    assert (story.place() == str(directory)) is fits


# -- the toy host ----------------------------------------------------------------------------------


@pytest.fixture
def toy(play: Play) -> Iterator[toyhost.ToyHost]:
    stage = Stage(free_port(), ("127.0.0.2",), (("127.0.0.2:", "tcp"),), ("127.0.0.1",))
    directory = play.directory / "d"
    with toyhost.toy_host(directory, stage, "secret", "/bin/false", print) as host:
        yield host


@pytest.mark.parametrize(
    "argv",
    [
        ["rm", "-rf", "/etc/mailseal"],
        ["ip", "netns", "add", "mailseal-1-0000"],
        ["python3", "-c", "print()"],
        ["stunnel4", "/etc/stunnel/x.conf"],
        ["apt-get", "install", "stunnel4"],
    ],
)
def test_a_plan_gets_at_nothing_of_this_machine(toy: toyhost.ToyHost, argv: list[str]) -> None:
    assert not toy.run(argv).ok


def test_paths_lie_below_the_directory(toy: toyhost.ToyHost, play: Play) -> None:
    assert toy.read("/etc/hostname") == b"mail.example\n"
    toy.write("/etc/new", b"x", Meta(0o640, 0, 0))
    assert (play.directory / "d/host/etc/new").read_bytes() == b"x"
    found = toy.stat("/etc/new")
    assert found is not None
    assert (found.meta.mode, found.meta.uid, found.meta.gid) == (0o640, 0, 0)
    assert toy.listdir("/home") == ()
    with pytest.raises(LookupError):
        toy.ids("root", "nobody-of-that-name")


def test_units_answer_as_systemctl_does(toy: toyhost.ToyHost) -> None:
    assert units.state(toy, "no.service").load == "not-found"
    assert not units.act(toy, "no.service", "start").ok
    assert not units.act(toy, "inetd.service", "reload").ok
    assert units.act(toy, "inetd.service", "start").ok
    fact = units.state(toy, "inetd.service")
    assert (fact.load, fact.active, fact.enabled) == ("loaded", "active", "disabled")
    (listener,) = [each for each in toy.listeners() if each.unit]
    assert (listener.address, listener.unit) == ("127.0.0.2", "inetd.service")
    assert listener.executable == "/usr/sbin/inetd"
    toy.remove("/etc/services")
    assert units.act(toy, "inetd.service", "stop").ok
    assert units.state(toy, "inetd.service").active == "inactive"
    assert not units.act(toy, "inetd.service", "start").ok
    assert units.state(toy, "inetd.service").active == "failed"


# -- the parts -------------------------------------------------------------------------------------


def frame(source: str, target: str, sequence: int, payload: bytes, flags: int = 0x10) -> bytes:
    """An Ethernet frame with a TCP segment, padded as short frames are."""
    tcp = struct.pack("!HHIIBBHHH", 40000, 109, sequence, 0, 5 << 4, flags, 0, 0, 0) + payload
    ends = [ipaddress.ip_address(end).packed for end in (source, target)]
    if len(ends[0]) == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0)
        kind = 0x0800
    else:
        head = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64)
        kind = 0x86DD
    whole = b"\0" * 12 + struct.pack("!H", kind) + head + b"".join(ends) + tcp
    return whole.ljust(60, b"\0")


@pytest.mark.parametrize(
    ("source", "target"), [("192.0.2.20", "192.0.2.10"), ("2001:db8::20", "2001:db8::10")]
)
def test_the_eavesdropper_puts_octets_in_order(source: str, target: str) -> None:
    captured = [
        frame(source, target, 99, b"", flags=0x02),
        frame(source, target, 105, b"secret\r\n"),
        frame(source, target, 100, b"HELO "),
        frame(source, target, 100, b"HELO se"),
        b"\0" * 60,
        b"short",
    ]
    flow = eavesdrop.Flow(source, 40000, target, 109)
    assert eavesdrop.streams(captured) == {flow: b"HELO secret\r\n"}


def test_what_is_split_over_frames_is_heard_all_the_same() -> None:
    ends = ("192.0.2.20", "192.0.2.10")
    heard = story.Heard((frame(*ends, 1, b"HELO post"), frame(*ends, 10, b"master x\r\n")))
    assert heard.has("postmaster")
    assert not heard.has("HELO x")


def test_frames_survive_the_file_and_a_cut_end() -> None:
    data = b"".join(struct.pack("!I", len(each)) + each for each in (b"one", b"", b"three"))
    assert eavesdrop.frames(data + b"\0\0") == (b"one", b"", b"three")


def test_inetd_serves_what_its_table_says(tmp_path: Path) -> None:
    (tmp_path / "services").write_text("pop2 109/tcp\n")
    (tmp_path / "inetd.conf").write_text(
        "pop2 stream tcp nowait root /usr/sbin/ipop2d ipop2d\n"
        "pop2 stream tcp6 nowait root /usr/sbin/ipop2d ipop2d\n"
        "127.0.0.2:110 stream tcp nowait root /usr/sbin/ipop2d ipop2d\n"
        "# pop2 stream tcp nowait root /usr/sbin/other other\n"
        "pop3 stream tcp nowait root /usr/sbin/ipop2d ipop2d\n"
    )
    programs = {"/usr/sbin/ipop2d": ["pop2d"]}
    files = (tmp_path / "inetd.conf", tmp_path / "services")
    keys = set(superserver.inetd_table(*files, programs))
    assert keys == {("0.0.0.0", 109), ("::", 109), ("127.0.0.2", 110)}
