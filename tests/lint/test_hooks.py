"""The definitions for pre-commit and for GitHub, which others' machinery reads.

Neither runs here: the hook's pattern is held against the kinds, and the action's script is run by
the shell that would run it, with our program in the place of the installed one.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from mailseal.cli.commands import COMMANDS
from mailseal.lint.kinds import kind_of
from tests.lint.test_lint import GUIDE
from tests.project.tree import ROOT, SRC

HOOKS = (ROOT / ".pre-commit-hooks.yaml").read_text()
ACTION = (ROOT / "action.yml").read_text()
PAGE = (ROOT / "docs/howto/lint-configurations.md").read_text()


def value(name: str) -> str:
    found = re.search(rf"^  {name}: (.+)$", HOOKS, re.MULTILINE)
    assert found
    return found[1].strip("'")


def test_the_hook_runs_a_command_that_is_there():
    program, command = value("entry").split()
    assert program == "mailseal"
    assert command in COMMANDS
    assert re.search(r"^- id: (.+)$", HOOKS, re.MULTILINE)[1] in PAGE  # type: ignore[index]


@pytest.mark.parametrize(
    "path",
    [
        "stunnel.conf", "files/stunnel-pop2.conf", "etc/stunnel/pop2.conf", "stunnel4/a/b.conf",
        "inetd.conf", "etc/xinetd.d/pop3", "xinetd.conf", "units/mail.socket", "dovecot.conf",
        "dovecot/conf.d/10-auth.conf", "postfix/master.cf", "main.cf", "etc/imapd.conf",
        "cyrus.conf", "courier/imapd-ssl", "exim4/exim4.conf.localmacros", "exim4/conf.d/main/00_x",
        "units/x.service", "roles/mail/tasks/main.yml", "compose.yaml", "Dockerfile",
        "docker/Dockerfile.mail", "mail.dockerfile", "templates/stunnel.conf.j2", "main.cf.j2",
        "readme.md", "my.conf", "xinetd.d/pop3.bak", "stunnel.conf.bak", "courier/imapd",
        "tmpfiles.d/stunnel.conf", "filter.d/dovecot.conf",
        "default/stunnel4", "default/exim4", "exim4/conf.d/acl/x", "stunnel.conf.j2.orig",
    ],
)  # fmt: skip
def test_the_hook_is_for_the_names_that_have_a_kind(path: str):
    assert bool(re.search(value("files"), path)) == bool(kind_of(path, b""))


def script() -> str:
    """The last script of the action."""
    return textwrap.dedent(ACTION.rpartition("run: |\n")[2])


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [("stunnel.conf", GUIDE, 1), ("inetd.conf", b"\n", 0), ("readme", b"x", 3)],
)
def test_the_action_writes_sarif_and_fails_where_there_are_faults_or_nothing(
    tmp_path: Path, name: str, data: bytes, code: int
):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    program = tmp_path / "runner/mailseal/bin/mailseal"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mailseal "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "-a folder; exit 7"
    folder.mkdir()
    (folder / name).write_bytes(data)
    environment = {
        **os.environ,
        "PYTHONPATH": str(SRC),
        "RUNNER_TEMP": str(tmp_path / "runner"),
        "PATHS": f"{folder.name}\n",
        "SARIF": "out.sarif",
    }
    # As a runner starts `shell: bash`.
    run = subprocess.run(
        [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", script()],
        cwd=tmp_path, env=environment, capture_output=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == code, run.stderr
    assert b"2.1.0" in (tmp_path / "out.sarif").read_bytes()


def test_no_input_is_part_of_a_script():
    scripts = re.findall(r"run: \|\n((?: {8}.*\n)+)", ACTION)
    assert len(scripts) == ACTION.count("run: |") == 2
    assert not any("${{" in each for each in scripts)


def test_the_page_asks_for_what_is_defined():
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    commits, pull_requests = (yaml.safe_load(block) for block in blocks)
    (hook,) = commits["repos"][0]["hooks"]
    assert hook in [{"id": each["id"]} for each in yaml.safe_load(HOOKS)]
    inputs = yaml.safe_load(ACTION)["inputs"]
    _, lint, upload = pull_requests["steps"]
    assert set(lint["with"]) < set(inputs)
    assert upload["with"]["sarif_file"] == inputs["sarif"]["default"]
