"""Every example of the help is typed: here those that need no other host, the rest on booted hosts.

Strategy: a folder for each command, with the files that its examples read, and its lines typed by a
shell on a terminal, in order. What the files are is a table; so is every line that exits otherwise
than with 0. An example that neither this file nor the story of tests/lab/test_examples.py can type
fails.
"""

from __future__ import annotations

import dataclasses
import gzip
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mailseal.cli.exits import Exit
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.store import Filter, Store
from tests.capture import make as captures
from tests.cli.program import environment, mailseal
from tests.cli.terminal import converse
from tests.docs import story
from tests.docs.shown import examples, loose
from tests.plan import hosts
from tests.probe import peers
from tests.project.tree import ROOT
from tests.store.make import judged, login, look, record

TESTS = ROOT / "tests"
FRAMES = captures.frames_of(captures.conversation(captures.POP3))
LOUD = (TESTS / "lint/stunnel-debug/bad.stunnel.conf").read_bytes()

READ: Mapping[str, tuple[str, ...]] = {
    "scan": ("hosts.txt",),
    "import": ("scan.nessus", "gvm.xml"),
    "logs": ("exim_mainlog.gz",),
    "wire": ("mail.pcap", "ring.pcap0", "ring.pcap1", "ring.pcap2", "all.pcapng.gz"),
    "findings": ("store.sqlite3",),
    "report": ("store.sqlite3", "changes.ndjson"),
    "purge": ("store.sqlite3",),
    "plan": ("mailhost.json",),
    "facts": ("mailhost.json",),
    "approve": ("plan.json",),
    "export": ("plan.json", "a.json", "b.json", "ca.crt"),
    "lint": ("stunnel.conf",),
    "policy": ("store.sqlite3",),
    "check": ("store.sqlite3", "mailseal.toml", "roles", "playbooks"),
}
"""What lies in the folder of a command before its first example is typed."""
FOLDERS = {"completion": (".zfunc", ".config/fish/completions")}
PROGRAMS = {
    "nmap": "imports/reports/nmap.xml",
    "ss": "imports/reports/ss.txt",
    "journalctl": "logs/recorded/journal.export",
    "ssh": "lab/recorded/dovecot-2.3.pcap",
}
"""Programs of others that write what the example reads; and what they write."""
ANSWERS = {r"\[y/N\]: $": "y\n"}
ELSEWHERE = {*story.LINES, *story.ELSEWHERE}
"""Lines that are typed on booted hosts, or by another test."""
CODES: Mapping[str, tuple[int, ...]] = {
    "scan": (1, 1, 1),
    "import": (1, 3, 1, 3, 3),
    "logs": (1, 1),
    "wire": (1, 1, 1, 1),
    "findings": (1, 1, 0, 1, 1, 1, 3, 1),
    "check": (1, 1, 0, 1, 1, 1),
}
"""Of the lines that are typed here, where one is not 0."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with every file that an example reads, and in `bin` the programs."""
    folder = tmp_path_factory.mktemp("desk")
    with peers.serving(peers.pop2) as endpoint:
        write_plans(folder)
        for name, content in files(str(endpoint)).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        with Store.open(str(folder / "store.sqlite3")) as store:
            record(store, look("exposed", 1))
            store.record_logins(judged(login()), "mail.log")
        program = f'exec {shlex.quote(sys.executable)} -m mailseal "$@"'
        writers = {name: f"exec cat {TESTS / path}" for name, path in PROGRAMS.items()}
        for name, does in {"mailseal": program, **writers}.items():
            path = folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\n{does}\n")
            path.chmod(0o755)
        yield folder


def write_plans(folder: Path) -> None:
    """plan.json and a.json of the host whose facts are in mailhost.json, b.json of another."""
    mail = gather(hosts.inetd())
    other = dataclasses.replace(mail, host="other", machine="0" * 32)
    for facts, of, plans in ((mail, "mailhost", ("plan", "a")), (other, "other", ("b",))):
        (folder / f"{of}.json").write_text(codec.dumps(facts))
        for plan in plans:
            wish = ("--name", "mail.example", "-o", str(folder / f"{plan}.json"))
            done = mailseal("plan", "--facts", str(folder / f"{of}.json"), *wish)
            assert done.returncode == Exit.CLEAN, done.stderr


def files(endpoint: str) -> dict[str, bytes]:
    """Name to content of the others; `endpoint` is the service that can be looked at."""
    reports = TESTS / "imports/reports"
    ring = [FRAMES[:4], FRAMES[4:8], FRAMES[8:]]
    return {
        "hosts.txt": endpoint.encode(),
        "scan.nessus": local((reports / "scan.nessus").read_bytes()),
        "gvm.xml": local((reports / "gvm.xml").read_bytes()),
        "exim_mainlog.gz": gzip.compress((TESTS / "logs/recorded/exim.log").read_bytes()),
        "mail.pcap": captures.pcap(FRAMES),
        **{f"ring.pcap{number}": captures.pcap(part) for number, part in enumerate(ring)},
        "all.pcapng.gz": gzip.compress(captures.pcapng(FRAMES)),
        "ca.crt": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "changes.ndjson": b"",
        "stunnel.conf": LOUD,
        "roles/mail/files/stunnel.conf": LOUD,
        "playbooks/seal.yml": b"- hosts: mail\n  roles: [mail]\n",
        "mailseal.toml": f'targets = ["{endpoint}"]\n'.encode(),
    }


def local(report: bytes) -> bytes:
    """A report about this machine: nobody else's is looked at."""
    for network, own in ((b"192.0.2.", b"127.0.0."), (b"198.51.100.", b"127.0.0.")):
        report = report.replace(network, own)
    return report.replace(b"2001:db8::7", b"::1")


HERE = {
    command: [line for line in lines if line not in ELSEWHERE]
    for command, lines in examples().items()
    if not ELSEWHERE.issuperset(lines)
}


@pytest.mark.slow
@pytest.mark.parametrize("command", HERE)
def test_the_examples_of_a_command_work_as_typed(command: str, desk: Path, tmp_path: Path):
    for name in READ.get(command, ()):
        if (desk / name).is_dir():
            shutil.copytree(desk / name, tmp_path / name)
        else:
            shutil.copy(desk / name, tmp_path / name)
    for name in FOLDERS.get(command, ()):
        (tmp_path / name).mkdir(parents=True)
    env = environment(
        HOME=str(tmp_path),
        MAILSEAL_STORE=str(tmp_path / "store.sqlite3"),
        PATH=f"{desk / 'bin'}:{os.environ['PATH']}",
        TERM="dumb",
    )
    codes = []
    for line in HERE[command]:
        typed = line.replace("3f2a", finding(tmp_path)) if "3f2a" in line else line
        code, shown = converse(["bash", "-c", typed], env, ANSWERS, cwd=str(tmp_path))
        print(f"$ {typed}\n{shown}")
        codes.append(code)
        assert "Traceback" not in shown
    assert codes == list(CODES.get(command, [0] * len(HERE[command])))


def finding(folder: Path) -> str:
    """The id of what is open, as a list of findings begins with it."""
    with Store.open(str(folder / "store.sqlite3")) as store:
        return next(known.finding.id for known in store.findings(Filter()))


def test_no_line_of_a_page_is_left_to_nobody():
    left = [
        (page, line)
        for page, lines in loose().items()
        for line in lines
        if line not in ELSEWHERE
        and not (page in story.PAGES and re.match(story.PAGES[page][0], line))
    ]
    assert not left


@pytest.mark.parametrize(
    "place",
    sorted({*filter(None, story.ELSEWHERE.values()), *(at for _, at in story.PAGES.values())}),
)
def test_the_test_that_is_said_to_run_a_line_is_there(place: str):
    assert (TESTS / place).exists()


def test_no_row_is_about_a_line_that_is_gone():
    lines = {line for lines in [*examples().values(), *loose().values()] for line in lines}
    assert story.ELSEWHERE.keys() <= lines
    assert story.PAGES.keys() <= loose().keys()
    assert {*READ, *FOLDERS, *CODES} <= HERE.keys()
