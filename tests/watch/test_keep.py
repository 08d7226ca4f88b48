"""The state: whole or not at all, for its owner alone, for one process at a time."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.model import codec
from mailseal.model.watching import Ledger, Served, Told, WatchState
from mailseal.watch.keep import StateError, held, load, path_of, save, write_whole
from tests.watch.receivers import notice, trouble

MOMENT = "2026-01-31T12:00:00.000Z"


def state(size: int = 1) -> WatchState:
    told = {f"a{n}": Told(trouble(f"a{n}"), MOMENT, MOMENT) for n in range(size)}
    served = Served("192.0.2.7", 109, "default", "pop2", "mail.example", "refused", MOMENT)
    return WatchState(MOMENT, MOMENT, {"desk": Ledger(told, (notice(),))}, (served,))


def test_what_is_saved_is_loaded_and_for_its_owner_alone(tmp_path: Path):
    path = str(tmp_path / "watch.json")
    assert load(path) == WatchState()
    before = os.umask(0)
    try:
        save(path, state())
    finally:
        os.umask(before)
    assert load(path) == state()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["watch.json"]


def test_where_it_lies():
    home = {"HOME": "/there"}
    assert path_of(None, home) == "/there/.local/state/mailseal/watch.json"
    assert path_of(None, {**home, "XDG_STATE_HOME": "/s"}) == "/s/mailseal/watch.json"
    assert path_of(None, {**home, "XDG_STATE_HOME": "s"}) == path_of(None, home)
    assert path_of("/x/y", home) == "/x/y"


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[" * 100000, b"\xff", b'{"type":"WatchState","version":2}', b"null"]
)
def test_a_damaged_state_is_refused_with_what_to_do(tmp_path: Path, damage: bytes):
    path = tmp_path / "watch.json"
    path.write_bytes(damage)
    with pytest.raises(StateError, match=r"is damaged .*: move it away to begin anew"):
        load(str(path))


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_any_octets_are_a_state_or_a_state_error(tmp_path_factory, octets: bytes, cut: int):
    path = tmp_path_factory.getbasetemp() / "any.json"
    whole = codec.dumps(state()).encode()
    for content in (octets, whole[:cut] + octets + whole[cut + len(octets) :]):
        path.write_bytes(content)
        try:
            assert isinstance(load(str(path)), WatchState)
        except StateError:
            pass


def test_one_process_at_a_time(tmp_path: Path):
    path = str(tmp_path / "folder" / "watch.json")
    refused = pytest.raises(StateError, match="another `mailseal watch` works with it")
    with held(path), refused, held(path):
        pass
    with held(path):
        pass
    assert stat.S_IMODE(os.stat(tmp_path / "folder").st_mode) == 0o700


def test_where_nothing_can_be_written_the_old_one_stays_and_nothing_is_left(tmp_path: Path):
    path = tmp_path / "watch.json"
    save(str(path), state())
    limit = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from mailseal.watch.keep import write_whole; write_whole(sys.argv[1], b'x' * 5000, 0o600)"
    )
    done = subprocess.run(
        [sys.executable, "-c", limit, str(path)], check=False, capture_output=True
    )
    assert b"File too large" in done.stderr
    assert load(str(path)) == state()
    assert os.listdir(tmp_path) == ["watch.json"]


def test_a_link_that_somebody_laid_is_not_followed(tmp_path: Path):
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / ".file.new").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        write_whole(str(tmp_path / "file"), b"x", 0o644)
    assert target.read_text() == "precious"


def test_a_device_a_folder_and_a_link_are_not_replaced_by_a_file(tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    os.mkfifo(tmp_path / "fifo")
    for path in (str(tmp_path), str(link), str(tmp_path / "fifo"), "/dev/null"):
        with pytest.raises(OSError, match="it is there, and is no file"):
            write_whole(path, b"x", 0o644)
    assert os.path.exists("/dev/null")
    assert link.is_symlink()


def test_a_kill_in_the_middle_of_writing_leaves_one_of_the_two(tmp_path: Path):
    path = str(tmp_path / "watch.json")
    endless = (
        "import sys; from tests.watch.test_keep import state, save\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1; save(sys.argv[1], state(200 + n % 2)); print(n, flush=True)\n"
    )
    for round in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", endless, path],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout
        with process:
            process.stdout.readline()
            time.sleep(0.003 * round)
            process.send_signal(signal.SIGKILL)
        assert load(path) in (state(200), state(201))
