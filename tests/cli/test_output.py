"""Files of results: whole or not at all, and what was there is kept until then."""

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.output import opened


def write(
    path: Path,
    text: str,
    *,
    overwrite: bool = False,
    streamed: bool = False,
    then: Callable[[], object] = int,
) -> None:
    """A line to a file; `then` is what happens before it is closed."""
    with opened(str(path), overwrite, streamed=streamed) as out:
        out.line(text)
        then()


def fail(error: BaseException) -> Callable[[], object]:
    def then() -> None:
        raise error

    return then


def test_a_file_comes_about_at_the_end_for_its_owner_alone(tmp_path: Path):
    path = tmp_path / "results"
    write(path, "one", then=lambda: not path.exists() or pytest.fail("it is there already"))
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("one\n", 0o600)
    assert os.listdir(tmp_path) == ["results"]


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path):
    path = tmp_path / "results"
    path.write_text("precious")
    with pytest.raises(Stop, match="exists: choose another name, or give --overwrite"):
        write(path, "new")
    assert path.read_text() == "precious"


def test_what_came_about_meanwhile_is_not_replaced_either(tmp_path: Path):
    path = tmp_path / "results"
    with pytest.raises(Stop, match="give --overwrite"):
        write(path, "late", then=lambda: path.write_text("precious"))
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["results"]


def test_what_is_replaced_keeps_its_mode_and_its_links(tmp_path: Path):
    path, link = tmp_path / "results", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o644)
    link.symlink_to(path)
    write(link, "new", overwrite=True)
    assert link.is_symlink()
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new\n", 0o644)


def test_a_fault_on_the_way_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "results"
    path.write_text("old")
    with pytest.raises(OSError, match="another file"):
        write(path, "half", overwrite=True, then=fail(OSError("another file")))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["results"]


def test_what_is_streamed_stays_however_it_ends(tmp_path: Path):
    path = tmp_path / "results"
    with pytest.raises(KeyboardInterrupt):
        write(path, "half", streamed=True, then=fail(KeyboardInterrupt()))
    assert path.read_text() == "half\n"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_folder_that_is_not_there_is_told(tmp_path: Path, streamed: bool):
    path = tmp_path / "no" / "results"
    with pytest.raises(Stop, match="cannot be written: No such file") as stopped:
        write(path, "new", overwrite=True, streamed=streamed)
    assert stopped.value.code is Exit.USAGE


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    if os.geteuid():
        pytest.skip("a disk of its own takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_loses_nothing(small: Path):
    path = small / "results"
    path.write_text("old")
    for overwrite, name in ((True, "results"), (False, "new")):
        with pytest.raises(Stop, match="No space left"):
            write(small / name, "x" * (1 << 17), overwrite=overwrite)
    assert path.read_text() == "old"
    assert os.listdir(small) == ["results"]
