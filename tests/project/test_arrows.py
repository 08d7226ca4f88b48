"""The import contracts hold for the project, and the contract of our own can fail."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.tree import ROOT

SETTINGS = """
[importlinter]
root_package = house
contract_types =
    arrows: tests.project.arrows.Arrows

[importlinter:contract:arrows]
name = arrows
type = arrows
arrows =
    model ->
    wire -> model
    not_built_yet -> wire
"""


def lint_imports(*args: str, path: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    return subprocess.run(
        [*command, "--no-cache", *args],
        cwd=ROOT,
        env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_project_keeps_its_contracts():
    run = lint_imports()
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("room", "text", "said"),
    [
        ("wire", "from house.model import Value", ""),
        ("wire", "import json", ""),
        ("model", "import house.wire", "house.model (line 1) imports house.wire"),
        (
            "model",
            "def late():\n    from house import wire",
            "house.model (line 2) imports house.wire",
        ),
        ("annexe", "", "house.annexe: the room annexe has no line"),
    ],
)
def test_an_arrow_against_the_table_is_named(tmp_path: Path, room: str, text: str, said: str):
    house = tmp_path / "house"
    house.mkdir()
    for name in ("__init__", "model", "wire", room):
        (house / f"{name}.py").write_text("")
    (house / f"{room}.py").write_text(text)
    settings = tmp_path / "importlinter.ini"
    settings.write_text(SETTINGS)

    run = lint_imports("--config", str(settings), path=str(tmp_path))

    assert (run.returncode, said in run.stdout) == (1 if said else 0, True), run.stdout + run.stderr
