"""`mailseal logs` as it is used: real processes, files and stdin, a log that grows; its page."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mailseal.cli import logs as cli
from mailseal.cli.exits import Exit
from mailseal.logs import NAMES
from mailseal.model import codec
from mailseal.model.login import JudgedLogin, Meaning, TlsFailure
from mailseal.report.logins import Logins
from tests.cli.program import PROGRAM, environment, mailseal, on_terminal
from tests.logs.common import RECORDED
from tests.project.tree import ROOT
from tests.workflow.test_logs import line

PAGE = ROOT / "docs/howto/who-still-uses-cleartext.md"
POSTFIX = str(RECORDED / "postfix.log")
ZONE = ("--zone", "UTC")


def test_a_login_in_cleartext_is_exit_1():
    done = mailseal("logs", *ZONE, POSTFIX)
    out = done.stdout.decode()
    assert done.returncode == Exit.EXPOSED
    assert out.startswith("Logins in cleartext\n  USER ")
    assert re.search(r"alice +192\.0\.2\.11 +mailhost smtp +PLAIN +rejected +3 ", out)
    assert re.search(r"Clients that fail at TLS\n.*\n +192\.0\.2\.11 .*no cipher in common", out)
    assert out.endswith("lines of mail servers, 56 logins\n")
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (line(b"alice"), Exit.EXPOSED),
        (line(b"alice", b", TLS"), Exit.CLEAN),
        (b"Nov 21 08:40:20 mail imapd[7]: Login user=a host=[192.0.2.11]\n", Exit.INCONCLUSIVE),
        (b"nothing\n", Exit.INCONCLUSIVE),
        (line(b"alice", b", TLS") + b"\x1f" * 200_000, Exit.CLEAN),
    ],
    ids=["cleartext", "tls", "cannot tell", "no mail log", "binary"],
)
def test_exit_codes(data: bytes, code: Exit):
    assert mailseal("logs", *ZONE, "-", stdin=data).returncode == code


def test_a_cut_file_is_said_and_is_never_clean(tmp_path: Path):
    path = tmp_path / "mail.log.gz"
    path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0")
    (tmp_path / "mail.log").write_bytes(line(b"alice", b", TLS"))
    done = mailseal("logs", *ZONE, str(path), str(tmp_path / "mail.log"))
    assert done.returncode == Exit.INCONCLUSIVE
    assert b"  missing   " in done.stdout
    assert b"is cut off" in done.stdout


def test_bad_input_is_one_line(tmp_path: Path):
    for arguments in (("none",), ("--zone", "x", POSTFIX), ("--since", "x", POSTFIX)):
        done = mailseal("logs", *arguments)
        assert done.returncode == Exit.USAGE
        assert done.stderr.count(b"\n") == 1
        assert done.stderr.startswith(b"mailseal: ")
    assert mailseal("logs").returncode == Exit.USAGE
    assert mailseal("logs", "--dialect", "sendmail", POSTFIX).returncode == Exit.USAGE


def test_forms_for_programs():
    printed = mailseal("logs", *ZONE, "--format", "json", POSTFIX).stdout
    document = codec.from_record(Logins, json.loads(printed), lenient=False)
    assert sum(each.login.count for each in document.logins) == 56
    lines = mailseal("logs", *ZONE, "--format", "ndjson", POSTFIX).stdout.splitlines()
    *records, last = map(json.loads, lines)
    assert {record["type"] for record in records} == {"JudgedLogin", "TlsFailure"}
    assert last["type"] == "Logins"
    rows = mailseal("logs", *ZONE, "--format", "csv", POSTFIX).stdout.splitlines()
    assert rows[0].startswith(b"meaning,user,client,service,")
    assert len(rows) == 1 + sum(record["type"] == "JudgedLogin" for record in records)


def test_results_to_a_file_that_its_owner_alone_reads(tmp_path: Path):
    path = tmp_path / "seen.txt"
    assert mailseal("logs", *ZONE, "-o", str(path), POSTFIX).returncode == Exit.EXPOSED
    assert path.stat().st_mode & 0o777 == 0o600
    assert "Logins in cleartext" in path.read_text()


def test_a_secret_of_a_debugging_log_is_nowhere(tmp_path: Path):
    path = tmp_path / "mail.log"
    secret = b"Password mismatch (given password: hunter2-SECRET)\n"
    path.write_bytes(line(b"alice") + b"Nov 21 08:40:20 mail dovecot: auth: Debug: " + secret)
    for form in ("text", "json", "ndjson", "csv"):
        done = mailseal("logs", *ZONE, "--format", form, str(path))
        assert b"alice" in done.stdout
        assert b"SECRET" not in done.stdout + done.stderr


def until(process: subprocess.Popen[bytes], word: bytes) -> bytes:
    """What it writes until a word comes."""
    assert process.stdout is not None
    shown = b""
    end = time.monotonic() + 20
    while word not in shown and time.monotonic() < end:
        more = process.stdout.readline()
        if not more:
            break
        shown += more
    return shown


def test_following_gives_each_login_as_it_comes(tmp_path: Path):
    path = tmp_path / "mail.log"
    path.write_bytes(line(b"alice"))
    command = [*PROGRAM, "logs", *ZONE, "--follow", "--format", "ndjson", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
        try:
            assert b"alice" in until(process, b"alice")
            with path.open("ab") as stream:
                stream.write(line(b"bob", b", TLS"))
            judged = codec.loads(JudgedLogin, until(process, b"bob").strip(), lenient=False)
            assert judged.meaning is Meaning.SAFE
            os.rename(path, tmp_path / "mail.log.1")
            path.write_bytes(line(b"carol"))
            assert b"carol" in until(process, b"carol")
            process.send_signal(signal.SIGINT)
            assert b'"logins": 3' in until(process, b'"Logins"').replace(b'":', b'": ')
            assert process.wait(10) == Exit.EXPOSED
        finally:
            process.kill()


def test_help_names_the_dialects():
    assert sorted(cli.DIALECTS) == sorted(NAMES)
    assert b"--follow" in mailseal("logs", "--help").stdout


def test_on_a_terminal_the_progress_goes_and_the_result_stays():
    code, shown = on_terminal("logs", *ZONE, POSTFIX)
    assert code == Exit.EXPOSED
    assert b"Logins in cleartext" in shown


def test_the_commands_of_the_page_work_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("mail.log").write_bytes((RECORDED / "dovecot-2.3.log").read_bytes())
    Path("stunnel.log").write_bytes(b"")
    Path("exim_mainlog").write_bytes((RECORDED / "exim.log").read_bytes())
    lines = re.findall(r"^\$ mailseal (logs .+)$", PAGE.read_text(), re.MULTILINE)
    assert lines
    codes = [mailseal(*shlex.split(line)).returncode for line in lines if "--follow" not in line]
    assert set(codes) == {Exit.EXPOSED}


def test_failures_have_a_record():
    lines = mailseal("logs", *ZONE, "--format", "ndjson", POSTFIX).stdout.splitlines()
    found = [each for each in lines if b'"TlsFailure"' in each[:30]]
    assert codec.loads(TlsFailure, found[0], lenient=False).client == "192.0.2.11"
