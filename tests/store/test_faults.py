"""What can go wrong with a file: each is one clear error, and what was committed stays."""

import contextlib
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailseal.model.look import Endpoint
from mailseal.store import Filter, Store, StoreError, path_of, schema
from mailseal.store.place import COMPANIONS
from tests.project.tree import ROOT, SRC
from tests.store.make import look, record, rows

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which needs root")

# Records one endpoint after the other; says how many are committed.
RECORDER = """
import sys
from mailseal.store import Store, StoreError
from mailseal.model.look import Endpoint
from tests.store.make import look, record
try:
    with Store.open(sys.argv[1]) as store:
        for number in range(int(sys.argv[2]), int(sys.argv[3])):
            place = Endpoint("192.0.2.%d" % (number % 256), 1 + number)
            record(store, look("exposed", endpoint=place))
            print(number, flush=True)
except StoreError as error:
    print(error, flush=True)
    sys.exit(7)
"""


def recorder(path: Path, first: int, end: int, *before: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*before, sys.executable, "-c", RECORDER, str(path), str(first), str(end)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={"PYTHONPATH": f"{SRC}:{ROOT}", "PATH": os.environ["PATH"]},
    )  # fmt: skip


def known(path: Path) -> int:
    with Store.open(str(path), make=False) as store:
        return sum(1 for _ in store.findings(Filter()))


def intact(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite3"
    with Store.open(str(path)) as store:
        record(store, look("exposed"))
    return path


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


# -- where it is -----------------------------------------------------------------------------------


def test_where_it_lies():
    assert path_of("x", {}) == os.path.abspath("x")
    assert path_of(None, {"MAILSEAL_STORE": "/a/b", "XDG_DATA_HOME": "/c"}) == "/a/b"
    tail = "mailseal/store.sqlite3"
    assert path_of(None, {"XDG_DATA_HOME": "/c", "HOME": "/d"}) == f"/c/{tail}"
    assert path_of(None, {"XDG_DATA_HOME": "c", "HOME": "/d"}) == f"/d/.local/share/{tail}"


def test_a_user_without_home_has_the_one_of_the_password_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HOME", raising=False)
    home = os.path.expanduser("~")
    assert os.path.isabs(home)
    assert path_of(None, {}) == f"{home}/.local/share/mailseal/store.sqlite3"


def test_a_user_who_is_nobody_is_told_to_name_a_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(StoreError, match="--store"):
        path_of(None, {})


# -- who may read it -------------------------------------------------------------------------------


def test_it_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path):
    path = tmp_path / "new" / "store.sqlite3"
    before = os.umask(0)
    try:
        with Store.open(str(path)) as store:
            record(store, look("exposed"))
            assert mode(path.parent) == 0o700
            assert [mode(f"{path}{end}") for end in ("", *COMPANIONS)] == [0o600] * 3
    finally:
        os.umask(before)
    assert mode(path) == 0o600


def test_what_others_could_read_is_closed_to_them_and_said(path: Path):
    with Store.open(str(path)) as store:
        record(store, look("refused", 1))
        for end in ("", *COMPANIONS):
            os.chmod(f"{path}{end}", 0o644)
        with Store.open(str(path)) as other:
            assert "closed to them" in " ".join(other.notes)
            assert [mode(f"{path}{end}") for end in ("", *COMPANIONS)] == [0o600] * 3
    with Store.open(str(path)) as store:
        assert store.notes == ()


# -- what it is not --------------------------------------------------------------------------------


def refusal(path: Path, **options) -> str:
    with pytest.raises(StoreError) as error, Store.open(str(path), **options) as store:
        list(store.findings(Filter(fixed=True)))
    return str(error.value)


def test_none_where_none_is_to_be_made(tmp_path: Path):
    assert "mailseal scan" in refusal(tmp_path / "x", make=False)
    assert not (tmp_path / "x").exists()


def test_text_is_no_store(path: Path):
    path.write_text("hello\n" * 1000)
    assert "no store of mailseal" in refusal(path)
    assert path.read_text() == "hello\n" * 1000


def test_another_program_s_database_is_left_alone(tmp_path: Path):
    path = tmp_path / "other.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE x (y)")
    before = path.read_bytes()
    assert "another program's database" in refusal(path)
    assert path.read_bytes() == before


def test_a_folder_and_a_pipe_are_no_file(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert "no plain file" in refusal(tmp_path)
    assert "no plain file" in refusal(tmp_path / "pipe")
    (tmp_path / "file").touch()
    assert "cannot be opened" in refusal(tmp_path / "file" / "store.sqlite3")


def test_memory_is_a_name_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with Store.open(":memory:") as store:
        record(store, look("exposed"))
    assert known(tmp_path / ":memory:") == 1


def test_a_newer_one_is_refused(path: Path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "written by a newer mailseal" in refusal(path)


# -- forms -----------------------------------------------------------------------------------------

NEXT = (*schema.MIGRATIONS, ("ALTER TABLE endpoint ADD COLUMN more TEXT NOT NULL DEFAULT 'x'",))


def version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_an_older_form_becomes_the_newest_and_keeps_what_it_has(path: Path):
    with Store.open(str(path), migrations=NEXT) as store:
        assert len(list(store.findings(Filter()))) == 1
    assert version(path) == len(NEXT)
    assert rows(path)[0][-1] == "x"


@pytest.mark.parametrize("form", range(1, len(schema.MIGRATIONS) + 1))
def test_every_form_there_was_becomes_the_newest(tmp_path: Path, form: int):
    path = tmp_path / "store.sqlite3"
    Store.open(str(path), migrations=schema.MIGRATIONS[:form]).close()
    assert version(path) == form
    with Store.open(str(path)) as store:
        record(store, look("exposed"))
    assert known(path) == 1


def test_a_migration_that_fails_changes_nothing(path: Path):
    before = rows(path)
    failing = (*schema.MIGRATIONS, ("ALTER TABLE endpoint ADD COLUMN more TEXT", "nonsense"))
    assert "shape" in refusal(path, migrations=failing)
    assert version(path) == len(schema.MIGRATIONS)
    assert rows(path) == before


# -- several at once -------------------------------------------------------------------------------


def test_two_processes_record_at_once(tmp_path: Path):
    path = tmp_path / "store.sqlite3"
    with recorder(path, 0, 40) as one, recorder(path, 100, 140) as other:
        said = [process.communicate(timeout=60)[0] for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], said
    assert known(path) == 80
    assert intact(path)


def test_a_lock_that_is_held_is_waited_for_and_then_said(path: Path):
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with contextlib.closing(holder):
        holder.execute("BEGIN IMMEDIATE")
        with Store.open(str(path), patience=0.2) as store:
            started = time.monotonic()
            with pytest.raises(StoreError, match="another program has held it"):
                record(store, look("refused", 5))
            assert time.monotonic() - started >= 0.2
        release = threading.Timer(0.2, holder.rollback)
        release.start()
        with Store.open(str(path), patience=30) as store:
            record(store, look("refused", 5))
        release.join()
    assert known(path) == 0


def test_a_kill_in_the_middle_loses_nothing_that_was_committed(tmp_path: Path):
    path = tmp_path / "store.sqlite3"
    with recorder(path, 0, 100_000) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "20\n":
                process.send_signal(signal.SIGKILL)
                break
        committed = int((["20", *process.stdout.read().split("\n")[:-1]])[-1])
    assert known(path) >= committed + 1
    assert intact(path)


# -- disks -----------------------------------------------------------------------------------------


@ROOT_ONLY
def test_a_full_disk_is_said_and_what_was_committed_stays(tmp_path: Path):
    mounted = 'mount -t tmpfs -o size=1m x "$0" && "$@"; code=$?; cp "$0"/* "$0.saved"; exit $code'
    disk, saved = tmp_path / "disk", tmp_path / "disk.saved"
    disk.mkdir()
    saved.mkdir()
    before = ("unshare", "--mount", "sh", "-c", mounted, str(disk))
    with recorder(disk / "store.sqlite3", 0, 10_000, *before) as process:
        said = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 7, said
    assert "the disk is full: make room" in said[-1]
    assert known(saved / "store.sqlite3") == len(said) - 1 > 10
    assert intact(saved / "store.sqlite3")


@ROOT_ONLY
def test_a_read_only_disk_is_said(path: Path):
    mounted = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && "$@"'
    before = ("unshare", "--mount", "sh", "-c", mounted, str(path.parent))
    with recorder(path, 0, 1, *before) as process:
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 7, said
    assert "or name a copy elsewhere (--store)" in said


def test_a_file_size_limit_is_said(path: Path):
    before = ("sh", "-c", 'ulimit -f 200 && exec "$0" "$@"')
    with recorder(path, 0, 10_000, *before) as process:
        said = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 7, said
    assert "disk" in said[-1]
    assert known(path) == len(said) - 1 + 1


# -- damage ----------------------------------------------------------------------------------------


def damaged(data: bytes, chance: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(chance.choice((1, 3, 30, 300))):
        made[chance.randrange(len(made))] = chance.randrange(256)
    return bytes(made[: chance.choice((len(made), len(made), chance.randrange(len(made))))])


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("filled") / "store.sqlite3"
    with Store.open(str(path)) as store:
        for number in range(8):
            for minute, kind in enumerate(("exposed", "refused", "exposed")):
                record(store, look(kind, minute, endpoint=Endpoint(f"192.0.2.{number}", 109)))
    return path.read_bytes()


def everything(store: Store) -> Iterator[object]:
    for asked in (Filter(fixed=True), Filter()):
        yield from store.findings(asked)
    yield store.endpoints(Filter())
    for finding in store.ids("", 100):
        yield store.history(finding)


@pytest.mark.parametrize("seed", range(60))
def test_octets_that_were_changed_are_an_error_or_not_noticed(
    filled: bytes, tmp_path: Path, seed: int
):
    path = tmp_path / "store.sqlite3"
    path.write_bytes(damaged(filled, random.Random(seed)))
    with contextlib.suppress(StoreError), Store.open(str(path), patience=0.1) as store:
        list(everything(store))
    with contextlib.suppress(StoreError), Store.open(str(path), patience=0.1) as store:
        for number in range(8):
            record(store, look("closed", 9, endpoint=Endpoint(f"192.0.2.{number}", 109)))


@pytest.mark.parametrize("value", ["'{'", "x'ff'", "cast(x'ff' AS TEXT)", "'[]'", "'{}'"])
@pytest.mark.parametrize("table", ["finding", "period"])
def test_a_record_that_is_none_is_said(path: Path, table: str, value: str):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE {table} SET record = {value}")
    with Store.open(str(path)) as store, pytest.raises(StoreError, match="move it away"):
        list(everything(store))
