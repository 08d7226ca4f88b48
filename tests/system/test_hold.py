"""A program that is held stays, and goes however its holder does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mailseal.system import hold

STAYS = """
import os, sys, time
from mailseal.system import hold
hold.PATIENCE = float(sys.argv[1])
def end():
    open(sys.argv[2], "w").close()
    os._exit(0)
hold.when_let_go(end)
print("here", flush=True)
print("at work", file=sys.stderr, flush=True)
time.sleep(60)
"""


def held(ended: Path, patience: float = 5.0) -> list[str]:
    return [sys.executable, "-c", STAYS, str(patience), str(ended)]


def appears(path: Path) -> bool:
    deadline = time.monotonic() + 10
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return path.exists()


def test_it_stays_for_the_time_of_the_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hold, "BEAT", 0.1)
    said: list[str] = []
    with hold.hold(held(tmp_path / "ended", 1.0), said.append, 10.0, 10.0) as done:
        assert (done.code, done.out) == (0, b"here\n")
        time.sleep(1.5)
        assert not (tmp_path / "ended").exists()
    assert (tmp_path / "ended").exists()
    assert said == ["at work"]


def test_it_goes_where_nothing_is_heard_any_more(tmp_path: Path):
    with hold.hold(held(tmp_path / "ended", 0.3), print, 10.0, 10.0):
        assert appears(tmp_path / "ended")


def test_it_goes_with_a_holder_that_is_killed(tmp_path: Path):
    code = "import sys\nfrom mailseal.system import hold\n"
    code += "with hold.hold(sys.argv[1:], print, 10.0, 10.0):\n    print('held', flush=True)\n"
    code += "    import time; time.sleep(60)\n"
    argv = [sys.executable, "-c", code, *held(tmp_path / "ended", 60.0)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        while b"held" not in holder.stdout.readline():
            pass
        os.kill(holder.pid, signal.SIGKILL)
    assert appears(tmp_path / "ended")


@pytest.mark.parametrize(
    ("script", "code"), [("echo no >&2; exit 6", 6), ("exit 0", 1), ("exec sleep 60", -9)]
)
def test_one_that_says_nothing_is_told_by_its_end(script: str, code: int):
    with hold.hold(["sh", "-c", script], print, 0.5, 1.0) as done:
        assert (done.code, done.out) == (code, b"")
        assert done.err == (b"no\n" if code == 6 else b"")


def test_one_that_does_not_end_is_killed():
    began = time.monotonic()
    with hold.hold(["sh", "-c", "echo here; exec sleep 60"], print, 5.0, 0.2) as done:
        assert done.out == b"here\n"
    assert time.monotonic() - began < 5
