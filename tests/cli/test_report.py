"""`mailseal report` as it is used: real processes on a real store."""

import re
import shlex
from pathlib import Path

import pytest

from mailseal.cli.exits import Exit
from mailseal.model import codec
from mailseal.model.look import Endpoint
from mailseal.store import Store
from tests.cli.program import mailseal
from tests.project.tree import ROOT
from tests.report.status import status
from tests.store.make import judged, login, look, record

PAGE = ROOT / "docs/howto/report-to-others.md"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite3"
    with Store.open(str(path)) as store:
        record(store, look("exposed", 1))
        record(store, look("exposed", 2, endpoint=Endpoint("198.51.100.4", 109, "lab")))
        store.record_logins(judged(login()), "mail.log")
    return path


def test_a_report_of_something_exposed_was_written_all_the_same(path: Path, tmp_path: Path):
    made = tmp_path / "report.html"
    run = mailseal("report", "--store", str(path), "-o", str(made))
    assert (run.returncode, run.stdout, run.stderr) == (Exit.CLEAN, b"", b"")
    assert made.stat().st_mode & 0o777 == 0o600
    page = made.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "2 endpoints take passwords in cleartext" in page
    again = mailseal("report", "--store", str(path), "-o", str(made))
    assert (again.returncode, again.stderr.count(b"\n")) == (Exit.USAGE, 1)


def test_a_report_without_names_has_none(path: Path, tmp_path: Path):
    arguments = ("report", "--store", str(path), "--since", "2026-01-01")
    env = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    for form in ("html", "markdown"):
        open_one = mailseal(*arguments, "--format", form, env=env)
        hidden = mailseal(
            *arguments, "--format", form, "--redact-users", "--redact-clients", env=env
        )
        for name in (b"alice", b"198.51.100.7"):
            assert name in open_one.stdout
            assert name not in hidden.stdout


@pytest.mark.parametrize(
    "arguments", [("--since", "x"), ("--receipts", "/nonexistent"), ("--store", "/nonexistent")]
)
def test_what_cannot_be_used_is_one_line_and_exit_2(path: Path, arguments: tuple[str, ...]):
    run = mailseal("report", "--store", str(path), *arguments)
    assert (run.returncode, run.stdout) == (Exit.USAGE, b"")
    assert run.stderr.startswith(b"mailseal: ")
    assert run.stderr.count(b"\n") == 1


def test_the_commands_of_the_page_are_understood(path: Path, tmp_path: Path):
    changes = status().changes
    assert changes is not None
    record_of_changes = tmp_path / "changes.ndjson"
    record_of_changes.write_text(codec.dumps(changes.lines[0]) + "\n")
    lines = re.findall(r"^mailseal (report.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) == 5
    env = {"MAILSEAL_STORE": str(path), "XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path)}
    for each in lines:
        words = [
            str(tmp_path / word) if word.endswith((".html", ".ndjson")) else word
            for word in shlex.split(each)
        ]
        run = mailseal(*words, env=env)
        assert (run.returncode, run.stderr) == (Exit.CLEAN, b""), each
    assert "Change record" in (tmp_path / "with-changes.html").read_text()
