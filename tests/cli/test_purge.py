"""`mailseal purge` as it is used: real processes on a real store."""

import re
import shlex
from pathlib import Path

import pytest

from mailseal.cli.exits import Exit
from mailseal.store import LoginFilter, Store
from tests.cli.program import mailseal, on_terminal
from tests.project.tree import ROOT
from tests.store.make import judged, login

PAGE = ROOT / "docs/howto/keep-personal-data-short.md"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite3"
    with Store.open(str(path)) as store:
        store.record_logins(judged(login(), login("bob", client="203.0.113.9")), "x")
    return path


def users(path: Path) -> list[str | None]:
    with Store.open(str(path)) as store:
        return [each.login.user for each in store.logins(LoginFilter())]


def test_one_user_goes_and_nothing_of_the_name_is_left(path: Path):
    run = mailseal("purge", "--store", str(path), "--user", "Alice", "--yes")
    assert (run.returncode, run.stdout) == (Exit.CLEAN, b"deleted 1 kind of login\n")
    assert users(path) == ["bob"]
    assert b"alice" not in b"".join(each.read_bytes() for each in path.parent.iterdir())
    run = mailseal("purge", "--store", str(path), "--user", "Alice")
    assert (run.returncode, run.stdout) == (Exit.CLEAN, b"there are no such logins\n")


def test_without_a_yes_nothing_goes(path: Path):
    run = mailseal("purge", "--store", str(path), "--all-logins")
    assert run.returncode == Exit.REFUSED
    assert b"Delete 2 kinds of logins (users: 2)? no: there is no terminal" in run.stderr
    code, shown = on_terminal("purge", "--store", str(path), "--all-logins", types=b"n\n")
    assert (code, len(users(path))) == (Exit.REFUSED, 2), shown
    code, shown = on_terminal("purge", "--store", str(path), "--all-logins", types=b"y\n")
    assert (code, users(path)) == (Exit.CLEAN, []), shown


@pytest.mark.parametrize(
    "words", [(), ("--before", "x"), ("--older-than", "x"), ("--store", "/no")]
)
def test_what_cannot_be_meant_is_one_line_and_exit_2(path: Path, words: tuple[str, ...]):
    run = mailseal("purge", "--store", str(path), *words)
    assert (run.returncode, run.stdout) == (Exit.USAGE, b"")
    assert run.stderr.count(b"\n") == 1


def test_a_store_that_is_read_elsewhere_holds_on_to_what_was_deleted(path: Path):
    with Store.open(str(path)) as other:
        reading = other.logins(LoginFilter())
        next(reading)
        run = mailseal("purge", "--store", str(path), "--all-logins", "--yes")
        list(reading)
    assert run.returncode == Exit.INCONCLUSIVE
    assert b"run this again when it has ended" in run.stderr
    assert mailseal("purge", "--store", str(path), "--all-logins").returncode == Exit.CLEAN


def test_the_commands_of_the_page_are_understood(path: Path):
    lines = re.findall(r"^mailseal ((?:purge|findings).*)$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) > 4
    env = {"MAILSEAL_STORE": str(path), "XDG_DATA_HOME": str(path.parent)}
    for line in lines:
        run = mailseal(*shlex.split(line), env=env)
        assert run.returncode in (Exit.CLEAN, Exit.EXPOSED, Exit.INCONCLUSIVE, Exit.REFUSED), line
        assert b"Usage" not in run.stderr
