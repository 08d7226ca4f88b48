"""`mailseal import` as it is used: real processes, files and stdin, and its page as typed."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailseal.cli import imports as cli
from mailseal.cli.exits import Exit, of_form
from mailseal.imports.base import MAIL_PORTS
from mailseal.model import codec
from mailseal.model.look import Endpoint
from mailseal.report.forms import FORMS
from mailseal.report.result import Recheck, Scan, ScanResult
from mailseal.workflow import imports
from tests.cli.program import mailseal
from tests.imports.common import REPORTS, SAMPLES
from tests.probe import peers
from tests.probe.test_canary import free_port
from tests.project.tree import ROOT
from tests.workflow.test_imports import nessus

PAGE = ROOT / "docs/howto/start-from-a-report.md"
PATIENCE = ("--timeout", "1")


@pytest.fixture
def exposed() -> Iterator[Endpoint]:
    with peers.serving(peers.pop2) as endpoint:
        yield endpoint


def test_a_scanner_s_word_is_exposed_by_report():
    done = mailseal("import", str(REPORTS / "scan.nessus"))
    out = done.stdout.decode()
    assert done.returncode == Exit.EXPOSED
    assert "192.0.2.7:109  EXPOSED, reported\n" in out
    assert 'nessus 15854: "POP2 Cleartext Logins Permitted", there called mail.example' in out
    assert "next      mailseal scan 192.0.2.7:109" in out
    assert b"left out: 1 (the report gives no address)" in done.stderr


def test_looking_again_says_confirmed_and_fixed(exposed: Endpoint, tmp_path: Path):
    path = nessus(tmp_path, exposed, Endpoint("127.0.0.1", free_port()))
    done = mailseal("import", "--verify", *PATIENCE, "--format", "ndjson", path)
    found = [codec.loads(ScanResult, line, lenient=False) for line in done.stdout.splitlines()]
    assert {result.recheck for result in found} == {Recheck.CONFIRMED, Recheck.FIXED}
    assert done.returncode == Exit.EXPOSED
    assert done.stderr == b"mailseal: looked again: 1 confirmed, 0 not confirmed, 1 fixed\n"
    text = mailseal("import", "--verify", *PATIENCE, path).stdout.decode()
    assert "EXPOSED, accepted, confirmed\n" in text
    assert "ABSENT, fixed\n" in text
    assert "conflict  the look and the report disagree" in text


def test_when_all_is_fixed_the_exit_code_is_that_of_clean(tmp_path: Path):
    path = nessus(tmp_path, Endpoint("127.0.0.1", free_port()))
    assert mailseal("import", "--verify", *PATIENCE, path).returncode == Exit.CLEAN


@pytest.mark.parametrize("form", FORMS)
def test_a_report_cut_off_is_said_and_what_it_held_is_printed(form: str):
    done = mailseal("import", "--format", form, "-", stdin=SAMPLES["scan.nessus"][:2400])
    assert done.returncode == of_form(form, Exit.USAGE)
    assert b"192.0.2.7" in done.stdout
    (complaint,) = done.stderr.splitlines()
    assert re.fullmatch(
        rb"mailseal: stdin: line \d+, byte 2\d+: the report ends early; .+", complaint
    )
    if form == "json":
        document = json.loads(done.stdout)
        assert len(codec.from_record(Scan, document, lenient=False).results) > 1


def test_a_bomb_is_one_line():
    bomb = b"<!DOCTYPE nmaprun [<!ENTITY a 'b'>]><nmaprun>&a;</nmaprun>"
    done = mailseal("import", "-", stdin=bomb)
    assert done.returncode == Exit.USAGE
    assert b"a document type that declares or fetches something" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_list_without_its_host_asks_for_it():
    done = mailseal("import", "-", stdin=SAMPLES["ss.txt"])
    assert done.returncode == Exit.USAGE
    assert b"--host ADDRESS" in done.stderr


def test_the_format_can_be_forced():
    done = mailseal("import", "--from", "nmap", str(REPORTS / "gvm.xml"))
    assert done.returncode == Exit.USAGE
    assert b"a <report>, not a <nmaprun>" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--from", "pdf", "x"), ("--ports", "x", "x")])
def test_bad_usage(arguments: tuple[str, ...]):
    assert mailseal("import", *arguments).returncode == Exit.USAGE


def test_help_says_what_the_workflow_has():
    assert sorted(cli.FORMATS) == sorted(imports.FORMATS)
    words = " ".join(mailseal("import", "--help").stdout.decode().split())
    assert ",".join(map(str, MAIL_PORTS)) in words


def test_the_commands_of_the_page_work_as_typed(
    exposed: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path(nessus(tmp_path, exposed)).rename("scan.nessus")
    Path("sockets.txt").write_bytes(b"LISTEN 0 128 0.0.0.0:109 0.0.0.0:*\n")
    lines = re.findall(r"^\$ mailseal (.+)$", PAGE.read_text(), re.MULTILINE)
    codes = [mailseal(*shlex.split(line)).returncode for line in lines]
    assert codes == [Exit.EXPOSED, Exit.INCONCLUSIVE, Exit.EXPOSED]
