"""The units, judged by the real systemd-analyze(1)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mailseal.watch.units import NAMES, unit

FILES = {
    "service": "mailseal-watch.service",
    "once": "mailseal-watch-once.service",
    "timer": "mailseal-watch-once.timer",
}
MOST = 15
"""Tenths of systemd's measure of exposure, from 0 (safe) to 100: to look at services takes the
network, which counts 8 of them.
"""

analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with all units as they are printed, with a program that is there."""
    for name, file in FILES.items():
        (tmp_path / file).write_text(unit(name, "/bin/true"))
    return tmp_path


def analyzed(*words: str, folder: Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


@analyze
def test_systemd_understands_every_line(written: Path):
    paths = [f"./{file}" for file in FILES.values()]
    assert analyzed("verify", "--man=no", *paths, folder=written) == ""


@analyze
@pytest.mark.parametrize("name", ["service", "once"])
def test_a_service_may_do_what_it_needs_and_no_more(written: Path, name: str):
    words = ("security", "--offline=yes", "--no-pager", f"--threshold={MOST}", f"./{FILES[name]}")
    analyzed(*words, folder=written)


@analyze
def test_a_fault_would_be_noticed(written: Path):
    path = written / FILES["service"]
    path.write_text(path.read_text().replace("[Install]", "ProtectEverything=yes\n[Install]"))
    with pytest.raises(AssertionError, match="ProtectEverything"):
        assert analyzed("verify", "--man=no", f"./{path.name}", folder=written) == ""


def test_every_unit_is_named_in_itself_and_nothing_is_left_open():
    assert set(NAMES) == set(FILES)
    for name, file in FILES.items():
        text = unit(name, "/opt/mailseal/bin/mailseal")
        assert text.startswith(f"# /etc/systemd/system/{file}\n")
        assert "@" not in "".join(
            line for line in text.splitlines() if not line.startswith("SystemCallFilter")
        )


@analyze
def test_a_path_with_what_systemd_would_read_in_it_is_a_path(tmp_path: Path):
    odd = tmp_path / "a $b %c é"
    odd.mkdir()
    program = odd / "mailseal"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = tmp_path / FILES["service"]
    path.write_text(unit("service", str(program)))
    assert analyzed("verify", "--man=no", f"./{path.name}", folder=tmp_path) == ""


def test_a_path_that_systemd_does_not_take_is_refused():
    for path in ('/a"b', "/a'b", "/a\\b", "/a\nb"):
        with pytest.raises(ValueError, match="put a link elsewhere"):
            unit("service", path)
