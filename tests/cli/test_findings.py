"""`mailseal findings` as it is used: real processes on a real store."""

import json
import re
import shlex
from pathlib import Path

import pytest

from mailseal.cli.exits import Exit
from mailseal.model.look import Channel, Endpoint
from mailseal.store import Filter, Store
from tests.cli.program import mailseal, on_terminal
from tests.project.tree import ROOT
from tests.store.make import judged, login, look, record

PAGE = ROOT / "docs/howto/keep-track.md"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mailseal" / "store.sqlite3"
    with Store.open(str(path)) as store:
        record(store, look("exposed", 1))
        record(store, look("exposed", 2))
        record(store, look("exposed", 2, endpoint=Endpoint("198.51.100.4", 109, "lab")))
        record(store, look("refused", 3, endpoint=Endpoint("198.51.100.4", 109, "lab")))
    return path


def ids(path: Path) -> list[str]:
    with Store.open(str(path)) as store:
        return [known.finding.id for known in store.findings(Filter())]


def test_what_is_open_is_a_line_and_exit_1(path: Path):
    run = mailseal("findings", "--store", str(path))
    assert (run.returncode, run.stderr) == (Exit.EXPOSED, b"")
    first, last = run.stdout.decode().splitlines()
    assert first.split() == [
        *ids(path), "high", "192.0.2.7:109", "pop2-cleartext-login", "accepted",
        "2026-01-15", "2026-01-15", "-", "open",
    ]  # fmt: skip
    assert last == "1 open; 2 endpoints known, 0 of them undecided"


@pytest.mark.parametrize("way", ["MAILSEAL_STORE", "XDG_DATA_HOME", "HOME"])
def test_where_the_store_is_looked_for(path: Path, way: str):
    value = {"MAILSEAL_STORE": path, "XDG_DATA_HOME": path.parent.parent, "HOME": "/nonexistent"}
    run = mailseal("findings", env={"MAILSEAL_STORE": "", way: str(value[way])})
    assert run.returncode == (Exit.USAGE if way == "HOME" else Exit.EXPOSED), run.stderr


def test_what_was_fixed_is_listed_where_it_is_asked_for(path: Path):
    run = mailseal("findings", "--store", str(path), "--all", "--site", "lab")
    assert run.returncode == Exit.CLEAN
    assert b"198.51.100.4:109 in lab" in run.stdout
    assert b"fixed 2026-01-15" in run.stdout
    run = mailseal("findings", "--store", str(path), "--fixed-since", "2026-01-16")
    assert run.stdout == b"0 open; 2 endpoints known, 0 of them undecided\n"


def test_undecided_and_unknown_are_exit_3(path: Path):
    with Store.open(str(path)) as store:
        record(store, look("silent", 1, endpoint=Endpoint("203.0.113.1", 109)))
    for network in ("203.0.113.0/24", "203.0.113.9"):
        run = mailseal("findings", "--store", str(path), "--network", network)
        assert run.returncode == Exit.INCONCLUSIVE
    assert b"nothing is known there" in run.stdout


def test_one_finding_with_its_history(path: Path):
    (finding,) = ids(path)
    run = mailseal("findings", "--store", str(path), finding[:4])
    assert run.returncode == Exit.EXPOSED
    assert b"next      mailseal plan 192.0.2.7:109 -o plan.json" in run.stdout
    run = mailseal("findings", "--store", str(path), finding, "--format", "json")
    record = json.loads(run.stdout)
    assert (record["type"], len(record["verdicts"])) == ("FindingHistory", 1)


def test_json_and_ndjson(path: Path):
    run = mailseal("findings", "--store", str(path), "--all", "--format", "json")
    assert len(json.loads(run.stdout)["findings"]) == 2
    run = mailseal("findings", "--store", str(path), "--all", "--format", "ndjson")
    kinds = [json.loads(line)["type"] for line in run.stdout.splitlines()]
    assert kinds == ["KnownFinding"] * 2


def test_a_terminal_gets_a_header(path: Path):
    code, shown = on_terminal("findings", "--store", str(path), env={"NO_COLOR": "1"})
    assert code == Exit.EXPOSED
    assert shown.startswith(b"ID            SEVERITY  ENDPOINT")


@pytest.mark.parametrize(
    "arguments",
    [("0123",), ("xyz",), ("--rule", "x"), ("--network", "192.0.2.0/99"), ("--fixed-since", "x")],
)
def test_what_cannot_be_meant_is_one_line_and_exit_2(path: Path, arguments: tuple[str, ...]):
    run = mailseal("findings", "--store", str(path), *arguments)
    assert (run.returncode, run.stdout) == (Exit.USAGE, b"")
    assert run.stderr.startswith(b"mailseal: ")
    assert run.stderr.count(b"\n") == 1


def test_no_store_and_a_damaged_one_are_one_line_and_exit_2(path: Path, tmp_path: Path):
    run = mailseal("findings", "--store", str(tmp_path / "none"))
    assert (run.returncode, run.stderr.count(b"\n")) == (Exit.USAGE, 1)
    path.write_bytes(path.read_bytes()[:5000])
    run = mailseal("findings", "--store", str(path))
    assert (run.returncode, run.stderr.count(b"\n")) == (Exit.USAGE, 1)
    assert b"move it away" in run.stderr


def test_the_commands_of_the_page_are_understood(path: Path):
    (finding,) = ids(path)
    lines = re.findall(r"^mailseal (findings.*)$", PAGE.read_text(), re.MULTILINE)
    env = {"MAILSEAL_STORE": str(path)}
    runs = [mailseal(*shlex.split(each.replace("ID", finding)), env=env) for each in lines]
    assert [run.returncode for run in runs] == [
        Exit.EXPOSED, Exit.EXPOSED, Exit.CLEAN, Exit.EXPOSED, Exit.EXPOSED, Exit.CLEAN,
    ]  # fmt: skip


# -- logins ----------------------------------------------------------------------------------------


@pytest.fixture
def used(path: Path) -> Path:
    seen = login("alice", client="198.51.100.77", notes=("alice came twice",))
    with Store.open(str(path)) as store:
        store.record_logins(judged(seen, login("bob", channel=Channel.TLS)), "/logs/alice.log")
    return path


def test_who_logs_in_is_listed(used: Path):
    run = mailseal("findings", "--store", str(used), "--logins")
    assert (run.returncode, run.stderr) == (Exit.EXPOSED, b"")
    assert run.stdout.startswith(b"Logins in cleartext\n")
    assert run.stdout.endswith(b"6 logins, 2 users, 1 of them in cleartext\n")
    run = mailseal("findings", "--store", str(used), "--logins", "--format", "json")
    assert json.loads(run.stdout)["type"] == "Logins"
    run = mailseal("findings", "--store", str(used), "--logins", "--format", "ndjson")
    kinds = [json.loads(line)["type"] for line in run.stdout.splitlines()]
    assert kinds == ["JudgedLogin", "JudgedLogin", "Logins"]
    run = mailseal("findings", "--store", str(used), "--logins", "--site", "lab")
    assert run.returncode == Exit.INCONCLUSIVE
    run = mailseal("findings", "--store", str(used), "--logins", ids(used)[0])
    assert run.returncode == Exit.USAGE


@pytest.mark.parametrize("form", ["text", "json", "ndjson"])
def test_nothing_of_a_name_leaves_where_it_is_hidden(used: Path, form: str):
    env = {"XDG_DATA_HOME": str(used.parent), "MAILSEAL_STORE": str(used)}
    pseudonyms = set()
    for words in (["--logins"], ids(used), []):
        run = mailseal("findings", *words, "--format", form, env=env)
        assert (b"alice" in run.stdout) is bool(words)
        hidden = ["--redact-users", "--redact-clients", "--format", form]
        run = mailseal("findings", *words, *hidden, env=env)
        assert run.returncode == Exit.EXPOSED, run.stderr
        for name in (b"alice", b"bob", b"198.51.100.7"):
            assert name not in run.stdout + run.stderr
        pseudonyms |= set(re.findall(rb"user-[0-9a-f]{8}", run.stdout))
    assert len(pseudonyms) == 2


def test_a_key_that_is_none_is_one_line_and_exit_2(used: Path):
    (used.parent / "mailseal").mkdir()
    (used.parent / "mailseal" / "redaction.key").touch()
    env = {"XDG_DATA_HOME": str(used.parent), "MAILSEAL_STORE": str(used)}
    run = mailseal("findings", "--redact-users", env=env)
    assert (run.returncode, run.stderr.count(b"\n")) == (Exit.USAGE, 1)
