"""What is installed is whole: the pages of the rules are data, and they travel with the program."""

import subprocess
import sys
import zipfile
from pathlib import Path

from mailseal.rules import RULES
from tests.project.tree import ROOT


def test_a_wheel_has_the_pages_of_the_rules(tmp_path: Path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        assert len(names) == len(set(names))
        for rule in RULES:
            page = packed.read(f"mailseal/rules/pages/{rule.id}.md")
            assert page == (ROOT / rule.page).read_bytes()
