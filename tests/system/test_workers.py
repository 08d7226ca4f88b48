"""Processes of our own: fed, read from, ended; and told of when they end by themselves."""

import fcntl
import os
import signal
import time
from pathlib import Path

import pytest

from mailseal.system.workers import Workers


def echo(source: int, sink: int) -> None:
    """Gives every line back, in capitals; "die" ends it, "fail" is a fault."""
    partial = b""
    os.set_blocking(source, True)
    while data := os.read(source, 1000):
        *lines, partial = (partial + data).split(b"\n")
        for line in lines:
            if line == b"die":
                os.kill(os.getpid(), signal.SIGKILL)
            if line == b"fail":
                raise ValueError("told to")
            out = line.upper() + b"\n"
            while out:
                out = out[os.write(sink, out) :]


def received(workers: Workers, count: int) -> list[tuple[int, bytes | None]]:
    """So many lines and ends, or what came in ten seconds."""
    came: list[tuple[int, bytes | None]] = []
    end = time.monotonic() + 10
    while len(came) < count and time.monotonic() < end:
        came += workers.receive(0.1)
    return came


def test_lines_go_there_and_back():
    with Workers(echo, 2) as workers:
        for number in (0, 1, 0):
            workers.send(number, b"hello %d\n" % number)
        assert sorted(received(workers, 3)) == [(0, b"HELLO 0"), (0, b"HELLO 0"), (1, b"HELLO 1")]
        pids = workers.pids()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_much_is_kept_until_it_is_read():
    line = b"x" * 5000 + b"\n"
    with Workers(echo, 1) as workers:
        sent = 0
        while workers.room(0):
            workers.send(0, line)
            sent += 1
        came = received(workers, sent)
        assert workers.room(0)
    assert came == [(0, line[:-1].upper())] * sent
    assert sent < 200


@pytest.mark.parametrize(("word", "status"), [(b"die\n", -signal.SIGKILL), (b"fail\n", 70)])
def test_an_end_is_told_of(word: bytes, status: int):
    with Workers(echo, 2) as workers:
        workers.send(0, b"one\n" + word)
        assert received(workers, 2) == [(0, b"ONE"), (0, None)]
        assert (workers.status(0), workers.status(1)) == (status, None)
        assert not workers.room(0)
        workers.send(0, b"lost\n")
        workers.send(1, b"two\n")
        assert received(workers, 1) == [(1, b"TWO")]


def test_a_child_holds_nothing_of_its_parents(tmp_path: Path):
    with open(tmp_path / "locked", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with Workers(echo, 3) as workers:
            for pid in workers.pids():
                end = time.monotonic() + 5
                while len(os.listdir(f"/proc/{pid}/fd")) > 5 and time.monotonic() < end:
                    time.sleep(0.01)
                links = [
                    os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
                ]
                assert str(tmp_path / "locked") not in links
                assert len([link for link in links if link.startswith("pipe:")]) <= 2 + 3


def test_no_descriptor_and_no_child_is_left():
    before = len(os.listdir("/proc/self/fd"))
    with Workers(echo, 4):
        pass
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
