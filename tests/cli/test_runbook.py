"""Runbooks on the command line, and the commands of their page as typed."""

import re
import shlex
from pathlib import Path

import pytest

from mailseal.cli import runbook as command
from mailseal.workflow import runbook as workflow
from tests.cli.program import mailseal
from tests.project.tree import ROOT


def test_the_command_offers_every_system():
    assert command._SYSTEMS == workflow.SYSTEMS


def test_the_commands_of_the_page_work_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "howto" / "other-systems.md").read_text()
    lines = re.findall(r"^\$ mailseal (.*)$", page, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        done = mailseal(*shlex.split(line))
        assert done.returncode == 0, done.stderr
    assert b"IMAP of mail.example, port 143" in done.stdout
    assert "accept = 2001:db8::10:109" in (tmp_path / "freebsd.md").read_text()
    assert "hMailServer" in (tmp_path / "windows.md").read_text()
    again = mailseal(*shlex.split(lines[0]))
    assert again.returncode == 2
    assert b"overwrite" in again.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("amiga", "192.0.2.10:109"), b"is not one of"),
        (("freebsd", "192.0.2.10:109", "192.0.2.11:110"), b"for one port"),
        (("freebsd", "192.0.2.0/24"), b"a network is no service"),
        (("freebsd", "192.0.2.10:9999"), b"give --protocol"),
        (("freebsd", "192.0.2.10:109", "--protocol", "smtp"), b"open relay"),
        (("freebsd", "192.0.2.10:109", "--protocol", "ftp"), b"no runbook for"),
        (("freebsd", "192.0.2.10:109", "--name", "a b"), b"no host name"),
        (("freebsd", "0.0.0.0:109"), b"no address at which others"),
    ],
)
def test_what_is_refused_says_why_in_one_line(words: tuple[str, ...], says: bytes):
    done = mailseal("runbook", *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == b""
