"""The generated pages are what the program says now, and a stale one is found."""

import subprocess
import sys
from pathlib import Path

import pytest

from docs import generate
from docs.generate import main, pages
from mailseal.cli.commands import COMMANDS


def test_the_pages_of_the_project_are_fresh():
    # In a process of its own: click keeps each command's help option as it was first asked for.
    program = [sys.executable, generate.__file__, "--check"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_command_has_a_page_with_its_options_and_examples():
    made = pages()
    assert set(made) == {"index.md", *(f"{name}.md" for name in COMMANDS)}
    for name, page in made.items():
        assert "--help" in page
        assert "Example" in page or name == "index.md"
        assert not [line for line in page.splitlines() if len(line) > 110]


def test_what_is_stale_is_named_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = ["--folder", str(tmp_path / "cli")]
    assert main(["--check", *folder]) == 1
    assert main(folder) == 0
    assert main(["--check", *folder]) == 0
    (tmp_path / "cli" / "scan.md").write_text("old")
    (tmp_path / "cli" / "gone.md").write_text("of a command that is gone")
    capsys.readouterr()
    assert main(["--check", *folder]) == 1
    assert capsys.readouterr().err.split() == [
        *"stale: gone.md; run script/docs".split(),
        *"stale: scan.md; run script/docs".split(),
    ]
    assert main(folder) == 0
    assert not (tmp_path / "cli" / "gone.md").exists()
