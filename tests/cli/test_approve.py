"""Approvals on the command line: exactly this plan, and one clear line where it cannot be."""

import json
import os
from pathlib import Path

import pytest

from mailseal.apply import changes
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.system import account
from tests.cli.program import mailseal
from tests.plan import hosts


@pytest.fixture
def plan(tmp_path: Path) -> str:
    facts, path = tmp_path / "facts.json", tmp_path / "plan.json"
    facts.write_text(codec.dumps(gather(hosts.inetd(stunnel=False))))
    done = mailseal("plan", "--facts", str(facts), "-o", str(path))
    assert done.returncode == 0, done.stderr
    return str(path)


def test_an_approval_is_shown_and_stands_in_the_file(plan: str):
    before = json.loads(Path(plan).read_text())
    done = mailseal("approve", plan, "--ticket", "CHG-1", "--by", "the board")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("EVERY EXISTING CLEARTEXT CLIENT")
    assert "Plan for mail, SHA-256 " + before["sha256"] in lines
    assert lines[-1].endswith("by %s for the board, ticket CHG-1" % account.who())
    after = json.loads(Path(plan).read_text())
    assert after == {**before, "approvals": after["approvals"]}
    assert [each["ticket"] for each in after["approvals"]] == ["CHG-1"]
    assert mailseal("approve", plan).returncode == 0
    assert len(json.loads(Path(plan).read_text())["approvals"]) == 2


def test_an_edited_plan_is_not_approved(plan: str):
    Path(plan).write_bytes(Path(plan).read_bytes().replace(b"825", b"826"))
    done = mailseal("approve", plan)
    assert (done.returncode, done.stdout) == (6, b"")
    assert b"was edited after it was made" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("approve", "/nothing"), "/nothing cannot be approved"),
        (("approve", "PLAN", "--until", "2001-01-01"), "is over: give a later day"),
        (("approve", "PLAN", "--ticket", "a\nb"), "--ticket: at most 200 printable"),
        (("apply", "PLAN", "--yes", "--change-policy", "/nothing"), "/nothing cannot be read"),
        (("apply", "PLAN", "--yes", "--change-policy", "PLAN"), "the policy of change control"),
        (("receipts", "--on", "mailhost"), "write it as ssh://mailhost"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line_and_exit_2(plan: str, words, says: str):
    done = mailseal(*(plan if word == "PLAN" else word for word in words))
    assert done.returncode == 2, done.stderr
    assert says in done.stderr.decode()


@pytest.mark.skipif(
    os.path.exists(changes.PATH) or os.geteuid() != 0,
    reason="needs root, on a machine that mailseal has never changed",
)
def test_a_host_that_was_never_changed_has_a_whole_record_of_nothing():
    done = mailseal("receipts", "--verify")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines() == [
        "whole: 0 lines, each with the hash of the one before",
        "the hash of the last line is none: there is no line",
    ]
    assert mailseal("receipts", "--format", "ndjson").stdout == b""
