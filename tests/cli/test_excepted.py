"""Exceptions on the command line: in the plan's text, and what is wrong with one is exit code 2."""

from pathlib import Path

import pytest

from mailseal.facts.gather import gather
from mailseal.model import codec
from tests.cli.program import mailseal
from tests.plan.test_native import dovecot

WHO = ("--owner", "alice", "--reason", "scanners")
DAY = ("--until", "2034-03-31")
NET = ("--except", "10.1.2.0/24")


@pytest.fixture
def facts(tmp_path: Path) -> str:
    path = tmp_path / "facts.json"
    path.write_text(codec.dumps(gather(dovecot(version="2.4.1"), (143,))))
    return str(path)


def planned(facts: str, *words: str):
    named = ("--port", "143", "--protocol", "imap", "--name", "mail.example")
    return mailseal("plan", "--facts", facts, *named, *words)


def test_the_plan_tells_of_each_exception(facts: str):
    done = planned(facts, *NET, "--except", "2001:db8::/32", *DAY, *WHO)
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode()
    assert "  10.1.2.0/24 until 2034-03-31, alice: scanners\n" in said
    assert "  2001:db8::/32 until 2034-03-31, alice: scanners\n" in said
    assert "start mailseal-except-143.timer" in said
    assert "cleartext-served at 192.0.2.10:143 (remote)" in said


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (NET, "--except needs --until, --owner, --reason too: when it ends, and for whom and why"),
        ((*NET, *DAY, "--owner", "alice"), "--except needs --reason too"),
        ((*NET, "--until", "2020-03-31", *WHO), "--until 2020-03-31: that day is over"),
        (("--except", "0.0.0.0/0", *DAY, *WHO), "--except 0.0.0.0/0: too wide"),
        (("--except", "::/0", *DAY, *WHO), "--except ::/0: too wide"),
        (DAY, "--until is about an exception"),
        ((*NET, *DAY, *WHO, "--stage", "offer"), "--except is for stage enforce"),
    ],
)
def test_what_is_wrong_with_one_is_a_line_and_code_2(facts: str, words: tuple[str, ...], line: str):
    done = planned(facts, *words)
    assert done.returncode == 2, done.stderr
    said = done.stderr.decode()
    assert line in said
    assert said.count("\n") == 1
