"""The scripts work from anywhere with bash alone, on machines that have prepared nothing."""

import subprocess
from pathlib import Path

import pytest

from tests.project.tree import ROOT

SCRIPTS = [
    path for path in sorted((ROOT / "script").iterdir()) if path.is_file() and not path.suffix
] + [ROOT / ".ci" / "run"]
LIB = ROOT / "script" / "lib.sh"


def lib(command: str, **options) -> subprocess.CompletedProcess[str]:
    script = f"set -euo pipefail; . {LIB}; {command}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, **options)


@pytest.mark.parametrize("path", [*SCRIPTS, LIB], ids=lambda path: path.name)
def test_bash_can_read_it(path: Path):
    run = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_it_is_executable_strict_and_says_what_it_is_for(path: Path):
    lines = path.read_text().splitlines()
    assert path.stat().st_mode & 0o111 == 0o111
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[1].startswith("# ")
    assert "set -euo pipefail" in lines


def test_ci_runs_what_a_developer_runs():
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec script/test"


def test_packages_are_taken_by_group():
    assert "stunnel4" in lib("packages demo").stdout.split()
    assert "nmap" not in lib("packages demo").stdout.split()
    assert lib("packages").stdout.split() == []


def test_a_quiet_command_is_heard_when_it_fails():
    assert lib("quietly Trying echo heard").stderr == "Trying ...\n"
    failed = lib("quietly Trying bash -c 'echo heard; exit 3'")
    assert failed.returncode == 3
    assert "heard" in failed.stderr


def test_what_cannot_be_installed_is_named(tmp_path: Path):
    """Neither root nor sudo: the message is the command to give to somebody who is."""
    for tool in ("dirname", "grep"):
        (tmp_path / tool).symlink_to(Path("/usr/bin") / tool)
    for tool, text in {"apt-get": "exit 1", "id": "echo 1000", "dpkg-query": "exit 1"}.items():
        (tmp_path / tool).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / tool).chmod(0o755)
    script = f"set -euo pipefail; . {LIB}; need stunnel4 tcpdump"
    run = subprocess.run(
        ["/bin/bash", "-c", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "apt-get install stunnel4 tcpdump" in run.stderr


def test_a_closed_stdin_does_no_harm():
    run = lib("cat; echo done", preexec_fn=lambda: __import__("os").close(0))
    assert (run.stdout, run.stderr) == ("done\n", "")


def test_the_lock_holds_hashes_and_nothing_else_of_where_it_came_from():
    lines = (ROOT / "requirements" / "dev.txt").read_text().splitlines()
    pins = [line for line in lines if line and line[0] not in " #"]
    assert len(pins) > 20
    assert all("==" in pin for pin in pins)
    assert sum("--hash=sha256:" in line for line in lines) >= len(pins)
    assert not [line for line in pins if line.startswith("-")]
