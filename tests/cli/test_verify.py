"""`mailseal verify` as it is used: real processes, and servers on loopback."""

import json
import os
from pathlib import Path

import pytest

from mailseal.cli.exits import Exit
from mailseal.model import codec
from mailseal.model.verification import Verification
from tests.cli.program import mailseal
from tests.probe import peers
from tests.probe.certificates import NAME
from tests.workflow import services
from tests.workflow.services import PASSWORD, USER, Authority, sealed_pop2

QUICK = ("--protocol", "pop2", "--timeout", "0.6", "--name", NAME)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def verify(*words: str, stdin: bytes = b"") -> tuple[int, str, str]:
    done = mailseal("verify", *words, stdin=stdin)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def result_of(out: str, kind: str) -> str:
    made = codec.loads(Verification, out.encode(), lenient=False)
    return next(each.result.value for each in made.proofs if each.claim.kind.value == kind)


def test_a_real_account_by_a_file_or_by_stdin_is_shown_nowhere(ca: Authority, tmp_path: Path):
    file = tmp_path / "alice.txt"
    file.write_text(PASSWORD + "\nnot this line\n")
    account = ("--login", USER, "--password-file")
    with peers.serving(sealed_pop2(ca.context())) as endpoint:
        words = (str(endpoint), *QUICK, "--ca", ca.path, "--format", "json")
        for path, stdin in ((str(file), b""), ("-", PASSWORD.encode() + b"\n")):
            _, out, err = verify(*words, *account, path, stdin=stdin)
            assert result_of(out, "login-works") == "pass", out
            assert PASSWORD not in out + err
        _, out, err = verify(*words, *account, "-", stdin=b"wrong\n")
    assert result_of(out, "login-works") == "fail"


def test_the_exit_code_is_one_where_a_line_fails(ca: Authority):
    with peers.serving(services.pop2) as endpoint:
        code, out, _ = verify(str(endpoint), *QUICK)
    assert code == Exit.EXPOSED
    assert "FAIL            cleartext-refused" in out


def test_the_exit_code_is_three_where_nothing_could_be_seen():
    code, out, _ = verify("nowhere.invalid:109", "--timeout", "0.6")
    assert code == Exit.INCONCLUSIVE
    assert "nowhere.invalid: the name does not resolve" in out


BAD = {
    # a command line, and a word of what is said
    "no CA there": (("127.0.0.1:109", "--ca", "/nowhere.pem"), "cannot be used"),
    "no certificate there": (("127.0.0.1:109", "--cert", "/nowhere.pem"), "cannot be read"),
    "a CA that is none": (("127.0.0.1:109", "--ca", "/dev/null"), "cannot be used"),
    "a login without its file": (("127.0.0.1:109", "--login", "alice"), "go together"),
    "a file without its login": (("127.0.0.1:109", "--password-file", "-"), "go together"),
    "no password": (
        ("127.0.0.1:109", "--login", "alice", "--password-file", "/dev/null"),
        "no password in its first line",
    ),
    "a user of two words": (
        ("127.0.0.1:109", "--login", "a b", "--password-file", "-"),
        "one word each",
    ),
    "a port without a protocol": (("127.0.0.1:10110",), "give --protocol"),
    "no target": (("mail example",), "no host name"),
    "another host by its bare name": (("127.0.0.1:109", "--from", "other"), "ssh://other"),
    "a reload of nobody": (("192.0.2.1:109", "--reload"), "--on ssh://HOST"),
    "a plan that is not there": (("plan.json",), "there is no plan plan.json"),
    "a path of nothing": (("./plan",), "there is no plan ./plan"),
    "no plan": (("/etc/hostname",), "not JSON"),
    "a port that is none": (("127.0.0.1:109", "--closed", "0"), "--closed"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_told_in_one_line(case: str):
    words, word = BAD[case]
    code, out, err = verify(*words, stdin=b"secret\n")
    assert code == Exit.USAGE, err
    assert out == ""
    assert word in err
    assert "Traceback" not in err
    assert "secret" not in err


def test_a_full_disk_is_told_and_nothing_is_claimed(ca: Authority):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    with peers.serving(sealed_pop2(ca.context())) as endpoint:
        code, _, err = verify(
            str(endpoint), *QUICK, "--ca", ca.path, "-o", "/dev/full", "--overwrite"
        )
    assert code == Exit.USAGE
    assert "cannot be written" in err


@pytest.mark.parametrize("form", ["text", "json", "ndjson", "markdown", "junit"])
def test_every_form_into_a_file(ca: Authority, tmp_path: Path, form: str):
    out = tmp_path / "out"
    with peers.serving(sealed_pop2(ca.context())) as endpoint:
        words = (str(endpoint), *QUICK, "--ca", ca.path, "--format", form, "-o", str(out))
        code, _, err = verify(*words)
        assert code in (Exit.CLEAN, Exit.INCONCLUSIVE), err
        assert verify(*words)[0] == Exit.USAGE, "a file that is there is not replaced"
    text = out.read_text()
    assert "tls-alone" in text
    if form == "json":
        assert json.loads(text)["type"] == "Verification"
