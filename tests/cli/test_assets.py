"""Software and updates on the command line: `local` keeps them, `findings` and `report` tell."""

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailseal.cli.exits import Exit
from mailseal.model import codec
from mailseal.model.asset import Asset, Installed
from mailseal.model.local import Package, Program, Software
from mailseal.model.moment import rfc3339
from mailseal.report.assets import Assets
from mailseal.report.local import Local
from mailseal.store import Filter, Store
from tests.cli.program import mailseal
from tests.store.make import AT, look, record

PACKAGE = Package("dovecot-core", "1", "Debian", "main", update="2", security=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store whose endpoint is on a host with a security update, first seen long ago."""
    path = tmp_path / "store.sqlite3"
    long_ago = rfc3339(1768478400)
    software = Software("debian 13", "Debian 13", "apt", long_ago, (PACKAGE,))
    program = Program("/usr/sbin/dovecot", "dovecot-core", "1")
    with Store.open(str(path)) as store:
        record(store, look("exposed", 1))
        store.record_installed([Installed(AT, "mail", long_ago, (program,), software)])
    return path


def test_the_list_and_its_exit_code(path: Path):
    run = mailseal("findings", "--assets", "--store", str(path))
    assert (run.returncode, run.stderr) == (Exit.EXPOSED, b"")
    _, line, last = run.stdout.decode().splitlines()
    assert re.split(r"  +", line) == [
        "192.0.2.7:109", "unknown", "1 security", "2026-01-29 overdue", "never",
        "dovecot-core 1; UW 2007f.75",
    ]  # fmt: skip
    assert last.startswith("1 endpoint: 1 with an overdue update, 0 with software that nobody")


def test_as_records(path: Path):
    run = mailseal("findings", "--assets", "--store", str(path), "--format", "ndjson")
    (asset,) = [codec.loads(Asset, line, lenient=False) for line in run.stdout.splitlines()]
    assert (asset.endpoint, asset.updates[0].due, asset.overdue) == (AT, "2026-01-29", True)
    run = mailseal("findings", "--assets", "--store", str(path), "--format", "json")
    document = codec.from_record(Assets, json.loads(run.stdout), lenient=False)
    assert document.assets == (asset,)
    run = mailseal("findings", "--assets", "--store", str(path), "--host", "198.51.100.0/24")
    assert run.returncode == Exit.INCONCLUSIVE
    assert b"nothing is known there" in run.stdout


def test_a_review_is_kept_with_who_made_it(path: Path):
    with Store.open(str(path)) as store:
        (number,) = store.ids("")
    run = mailseal("findings", number[:4], "--reviewed", "--store", str(path))
    assert run.returncode == Exit.EXPOSED, run.stderr
    said = run.stdout.decode()
    assert re.search(rf"reviewed  \S+ by \S+ \(uid {os.getuid()}\) on \S+; next by \d{{4}}-", said)
    assert "dovecot-core 1 to 2, security, overdue since 2026-01-29" in said
    run = mailseal("report", "--store", str(path), "--format", "markdown")
    assert b"1 endpoint: 1 with an overdue update" in run.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--reviewed",), "name its id"),
        (("ffff", "--reviewed"), "no finding begins with ffff"),
        (("ffff", "--assets"), "--assets lists every endpoint"),
        (("--logins", "--assets"), "two lists"),
        (("--assets", "--severity", "high"), "--site and --host choose among them"),
    ],
)
def test_what_is_refused(path: Path, words: tuple[str, ...], says: str):
    run = mailseal("findings", *words, "--store", str(path))
    assert run.returncode == Exit.USAGE
    assert says in run.stderr.decode()


@pytest.fixture
def port() -> Iterator[int]:
    """A listener of our own, on every address."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield server.getsockname()[1]


def test_local_keeps_what_it_found_where_it_is_told_to(tmp_path: Path, port: int):
    store = tmp_path / "new" / "store.sqlite3"
    words = ("local", "--port", str(port), "--site", "lab", "--format", "json")
    run = mailseal(*words, "--store", str(store))
    assert run.returncode == Exit.CLEAN, run.stderr
    told = codec.from_record(Local, json.loads(run.stdout), lenient=False)
    at = next(n for n, each in enumerate(told.local.listeners) if each.port == port)
    assert told.assets[at] is not None
    with Store.open(str(store)) as opened:
        kept = [known.endpoint for known in opened.software(Filter(site="lab"))]
    own = [each for each in told.local.addresses if ":" not in each]
    assert sorted(each.address for each in kept if each.port == port) == sorted(own)


def test_local_makes_no_store_unasked(tmp_path: Path):
    home = {"XDG_DATA_HOME": str(tmp_path), "MAILSEAL_STORE": ""}
    assert mailseal("local", env=home).returncode == Exit.CLEAN
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_used_is_said(tmp_path: Path):
    broken = tmp_path / "store.sqlite3"
    broken.write_bytes(b"not a database at all, and long enough for a header" * 40)
    run = mailseal("local", "--store", str(broken))
    assert run.returncode == Exit.USAGE
    assert b"--no-store" in run.stderr
    assert mailseal("local", "--store", str(broken), "--no-store").returncode == Exit.CLEAN
