"""What is installed is whole: pages of the rules, the role for Ansible, what exports for scanners
share, units and alert rules are data, and they travel with the program.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

from mailseal import lint
from mailseal.rules import RULES
from mailseal.watch.units import NAMES
from mailseal.workflow.export import KIT, kit, role
from tests.project.tree import ROOT


def test_a_wheel_has_the_pages_of_the_rules_the_role_and_the_units(tmp_path: Path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        assert len(names) == len(set(names))
        for rule in RULES:
            page = packed.read(f"mailseal/rules/pages/{rule.id}.md")
            assert page == (ROOT / rule.page).read_bytes()
        for fault in lint.RULES:
            page = packed.read(f"mailseal/lint/pages/{fault.id}.md")
            assert page == (ROOT / fault.page).read_bytes()
        for each in role():
            name = each.name.replace("roles/mailseal/", "mailseal/export/role/")
            assert packed.read(name) == each.content
        for file, content in kit().items():
            assert packed.read(f"mailseal/export/{KIT}/{file}") == content
        for unit in (*NAMES, "common"):
            packed.read(f"mailseal/watch/units/{unit}")
        packed.read("mailseal/watch/rules.yml")
