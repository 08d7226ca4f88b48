"""`mailseal lint` as it is used: real processes on real files."""

import json
import os
import re
import shlex
import socket
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mailseal.cli.exits import Exit
from mailseal.model import codec
from mailseal.model.lint import LintReport
from tests.certs import make
from tests.cli.program import mailseal, on_terminal
from tests.lint.test_lint import GUIDE
from tests.project.tree import ROOT
from tests.report.test_sarif import validator

PAGE = ROOT / "docs/howto/lint-configurations.md"
GOOD = (ROOT / "tests/lint/stunnel-debug/good.stunnel.conf").read_bytes()
LOUD = (ROOT / "tests/lint/stunnel-debug/bad.stunnel.conf").read_bytes()


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "stunnel.conf"
    path.write_bytes(LOUD)
    return path


@pytest.mark.parametrize(
    ("data", "code"),
    [(GOOD, Exit.CLEAN), (LOUD, Exit.EXPOSED), (GUIDE, Exit.EXPOSED)],
    ids=["good", "loud", "guide"],
)
def test_the_exit_code_says_whether_there_are_faults(conf: Path, data: bytes, code: Exit):
    conf.write_bytes(data)
    assert mailseal("lint", str(conf)).returncode == code


def test_a_fault_has_its_place_its_words_and_its_fix(conf: Path):
    shown = mailseal("lint", str(conf)).stdout.decode().splitlines()
    assert shown == [
        f"{conf}:1:9: low: Everything is logged [stunnel-debug]",
        "    debug = 7",
        "    fix: Write debug = 5, the level without the line. (--fix does it)",
        "1 file, 1 fault, 1 for --fix",
    ]


def test_json_is_a_record_that_is_read_back(conf: Path):
    conf.write_bytes(GUIDE)
    report = codec.loads(
        LintReport, mailseal("lint", "--format", "json", str(conf)).stdout, lenient=False
    )
    (found,) = report.files
    assert found.kind == "stunnel"
    assert {fault.rule for fault in found.faults} == {each.rule for each in report.rules}


def test_sarif_is_valid_and_points_at_the_line(conf: Path, tmp_path: Path):
    conf.write_bytes(GUIDE + b"# \x1b]0;x\x07\n")
    (tmp_path / "odd").write_bytes(b"?")
    run = mailseal("lint", "--format", "sarif", str(conf), str(tmp_path / "odd"))
    log = json.loads(run.stdout)
    assert [error.message for error in validator().iter_errors(log)] == []
    (only,) = log["runs"]
    for each in only["results"]:
        assert only["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] == each["ruleId"]
    assert only["results"][-1]["kind"] == "open"
    regions = [each["locations"][0]["physicalLocation"]["region"] for each in only["results"]]
    assert {"startLine": 5, "startColumn": 11} in regions
    help_of = {
        rule["id"]: rule.get("help", {}).get("text") for rule in only["tool"]["driver"]["rules"]
    }
    assert help_of["stunnel-client-open"].startswith("# stunnel-client-open: ")


def test_a_folder_is_walked_and_no_link_is_followed(tmp_path: Path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder in (outside, inside / "etc/stunnel", inside / ".git"):
        folder.mkdir(parents=True)
    (outside / "stunnel.conf").write_bytes(LOUD)
    (inside / ".git" / "stunnel.conf").write_bytes(LOUD)
    (inside / "away").symlink_to(outside)
    (inside / "stunnel.conf").symlink_to(outside / "stunnel.conf")
    (inside / "stunnel.conf.bak").write_bytes(LOUD)
    os.mkfifo(inside / "stunnel-pipe.conf")
    (inside / "readme").write_text("text")
    (inside / "etc/stunnel/a.conf").write_bytes(GOOD)
    run = mailseal("lint", str(inside))
    assert run.returncode == Exit.CLEAN
    assert run.stdout == b"1 file, 0 faults, 1 of no known kind passed over\n"
    assert mailseal("lint", str(inside / "stunnel.conf")).returncode == Exit.EXPOSED


def test_a_folder_with_nothing_to_lint_is_not_clean(tmp_path: Path):
    (tmp_path / "readme").write_text("text")
    (tmp_path / "empty").mkdir()
    for name in (".", "empty"):
        run = mailseal("lint", "--format", "sarif", str(tmp_path / name))
        assert run.returncode == Exit.INCONCLUSIVE
        assert b"nothing to lint: name what holds a configuration" in run.stderr


@pytest.mark.parametrize("name", ["odd.txt", "pipe"])
def test_a_file_that_is_named_is_answered_for(tmp_path: Path, name: str):
    (tmp_path / "odd.txt").write_text("text")
    os.mkfifo(tmp_path / "pipe")
    run = mailseal("lint", str(tmp_path / name))
    assert run.returncode == Exit.INCONCLUSIVE
    assert b"not understood" in run.stdout


def test_what_is_included_is_not_understood(conf: Path):
    conf.write_bytes(GOOD + b"include = /etc/stunnel/more\n")
    run = mailseal("lint", str(conf))
    assert run.returncode == Exit.INCONCLUSIVE
    assert b"include is not followed" in run.stdout


def test_hostile_text_reaches_no_terminal(conf: Path):
    conf.write_bytes(b"[\x1b]0;x\x07]\nclient = yes\naccept = 1 \x1b[31m\xe2\x80\xae\n")
    run = mailseal("lint", str(conf))
    assert b"\x1b" not in run.stdout
    assert "\u202e" not in run.stdout.decode()


# -- fixes -----------------------------------------------------------------------------------------


def test_a_fix_is_shown_and_made_and_a_second_run_finds_nothing(conf: Path):
    conf.chmod(0o640)
    run = mailseal("lint", "--fix", "--yes", str(conf))
    assert run.returncode == Exit.CLEAN
    assert b"-debug = 7\n+debug = 5\n" in run.stderr
    assert conf.read_bytes() == GOOD
    assert stat.S_IMODE(conf.stat().st_mode) == 0o640
    assert [each.name for each in conf.parent.iterdir()] == ["stunnel.conf"]
    assert mailseal("lint", str(conf)).returncode == Exit.CLEAN


def test_without_a_terminal_nothing_is_changed(conf: Path):
    run = mailseal("lint", "--fix", str(conf))
    assert run.returncode == Exit.EXPOSED
    assert b"give --yes" in run.stderr
    assert conf.read_bytes() == LOUD


@pytest.mark.parametrize(("answer", "after"), [(b"y\n", GOOD), (b"n\n", LOUD)])
def test_on_a_terminal_it_asks(conf: Path, answer: bytes, after: bytes):
    code, shown = on_terminal("lint", "--fix", str(conf), types=answer)
    assert b"debug = 5" in shown
    assert conf.read_bytes() == after
    assert code == (Exit.CLEAN if after == GOOD else Exit.EXPOSED)


def test_a_fix_goes_through_a_link_that_was_named(conf: Path, tmp_path: Path):
    link = tmp_path / "link.conf"
    link.symlink_to(conf)
    assert mailseal("lint", "--fix", "--yes", str(link)).returncode == Exit.CLEAN
    assert link.is_symlink()
    assert conf.read_bytes() == GOOD


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("lint",), b"FILE|DIR"),
        (("lint", "/nothing/there"), b"/nothing/there is not there"),
        (("lint", "--yes", "/etc/hostname"), b"--yes goes with --fix"),
    ],
)
def test_what_cannot_be_used_is_usage(words: tuple[str, ...], says: bytes):
    run = mailseal(*words)
    assert run.returncode == Exit.USAGE
    assert says in run.stderr


# -- on the host -----------------------------------------------------------------------------------


def test_what_a_file_names_is_looked_at_on_the_host_alone(tmp_path: Path):
    conf, cert, key = (tmp_path / name for name in ("stunnel.conf", "c.pem", "k.pem"))
    ended = x509.load_der_x509_certificate(make.certificate(until="2025-02-01"))
    cert.write_bytes(b"text before\n" + ended.public_bytes(Encoding.PEM))
    key.write_text("-----BEGIN EC PRIVATE KEY-----\n")
    lines = (
        f"pid = {tmp_path}/run/pid", "foreground = yes", "setuid = mail", "[pop2]",
        "accept = ::1:1109", "connect = 192.0.2.1:0", f"cert = {cert}", f"key = {key}",
    )  # fmt: skip
    conf.write_text("\n".join(lines) + "\n")
    assert mailseal("lint", str(conf)).returncode == Exit.CLEAN
    seen = set()
    for mode in (0o604, 0o600):
        key.chmod(mode)
        run = mailseal("lint", "--here", str(conf))
        assert run.returncode == Exit.EXPOSED
        seen |= set(re.findall(r"\[(stunnel-.*)\]", run.stdout.decode()))
        assert b"expired on 2025-02-01T00:00:00.000Z" in run.stdout
    assert seen >= {"stunnel-certificate-expired", "stunnel-key-readable", "stunnel-missing-folder"}
    assert ("stunnel-setuid-key" in seen) == (os.geteuid() == 0)
    cert.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n")
    key.unlink()
    (tmp_path / "run").mkdir()
    run = mailseal("lint", "--here", str(conf))
    assert (b"[stunnel-unwritable-file]" in run.stdout) == (os.geteuid() == 0)
    (tmp_path / "run").chmod(0o777)
    assert mailseal("lint", "--here", str(conf)).returncode == Exit.CLEAN


def test_backends_are_asked_on_the_host_alone(tmp_path: Path):
    conf = tmp_path / "stunnel.conf"
    with socket.create_server(("127.0.0.1", 0)) as alive:
        lines = (
            "foreground = yes", "[a]", "accept = ::1:109", f"connect = {tmp_path}/none",
            f"connect = name.invalid:109\nconnect = 127.0.0.1:{alive.getsockname()[1]}",
            "PSKsecrets = /p", "ciphers = PSK",
        )  # fmt: skip
        conf.write_text("\n".join(lines) + "\n")
        without = mailseal("lint", str(conf)).stdout.decode()
        run = mailseal("lint", "--here", str(conf)).stdout.decode()
    assert re.findall(r"\[(stunnel-.*)\]", without) == ["stunnel-backend-port"]
    assert re.findall(r":(\d+):\d+: .*\[(stunnel-.*)\]", run) == [
        ("4", "stunnel-dead-backend"),
        ("5", "stunnel-unresolved-connect"),
        ("6", "stunnel-backend-port"),
    ]


# -- the page --------------------------------------------------------------------------------------


def test_the_commands_of_the_page(conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a folder of our own, which stands for /etc too."""
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^\$ mailseal (lint.*)$", PAGE.read_text(), re.MULTILINE)
    runs = [mailseal(*shlex.split(re.sub(r"/etc(/stunnel)?", ".", each))) for each in lines]
    assert [run.returncode for run in runs] == [
        Exit.EXPOSED, Exit.EXPOSED, Exit.EXPOSED, Exit.CLEAN, Exit.CLEAN,
        # On this host there is no backend.
        Exit.EXPOSED,
    ]  # fmt: skip
    assert json.loads((tmp_path / "lint.sarif").read_text())["version"] == "2.1.0"
