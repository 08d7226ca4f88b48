"""An approval is for exactly one plan, by the account that gave it; the plan stays as it is."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.apply.executor import Refused
from mailseal.model import codec
from mailseal.model.change import Actor, Approval
from mailseal.model.codec import CodecError
from mailseal.model.plan import PlanFile
from mailseal.plan import Options, make
from mailseal.system import account
from mailseal.workflow import BadInput, plans
from mailseal.workflow.approve import Request, approve, approve_file
from mailseal.workflow.plans import EditedPlan
from tests.plan.hosts import facts

PLAN = make(facts("inetd"), 109, "pop2", Options(name="mail.example"))
TEXT = plans.file_text(PLAN).encode()
SHA = codec.loads(PlanFile, TEXT, lenient=False).sha256
ALICE, BOB = Actor("alice", 1000, "desk"), Actor("bob", 1001, "desk")


def clock() -> float:
    return 0.0


def test_approvals_are_added_and_the_plan_stays_as_it_is():
    one = approve(TEXT, Request(ticket="CHG-1", until="1970-01-02"), ALICE, clock)
    two = approve(one.text.encode(), Request(by="the board"), BOB, clock)
    filed = plans.read_approved(two.text.encode())
    assert (filed.plan, filed.payload) == (PLAN, plans.read_file(TEXT)[1])
    at = "1970-01-01T00:00:00.000Z"
    assert filed.approvals == two.approvals == (
        Approval(SHA, ALICE, "alice", "CHG-1", at, "1970-01-02T00:00:00.000Z"),
        Approval(SHA, BOB, "the board", "", at, ""),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(until="1969-12-31"), "--until 1969-12-31 is over"),
        (Request(until="tomorrow"), "is no day"),
        (Request(ticket="x" * 201), "--ticket: at most 200 printable"),
        (Request(by="a\x1bb"), "--by: at most 200 printable"),
    ],
)
def test_words_that_cannot_be_used(request_: Request, says: str):
    with pytest.raises(BadInput, match=says):
        approve(TEXT, request_, ALICE, clock)


def test_what_is_no_plan_or_was_edited_is_not_approved():
    with pytest.raises(EditedPlan):
        approve(TEXT.replace(b"mail.example", b"evil.example"), Request(), ALICE, clock)
    with pytest.raises(CodecError):
        approve(b"{}", Request(), ALICE, clock)


def test_a_draft_is_not_approved():
    draft = make(facts("inetd"), 109, "pop2", Options(name="mail.example"))
    text = plans.file_text(replace(draft, draft=("/etc/inetd.conf",)))
    with pytest.raises(Refused, match=r"it could not read: /etc/inetd\.conf"):
        approve(text.encode(), Request(), ALICE, clock)


def test_an_approval_whose_moment_is_none_is_no_record():
    text = approve(TEXT, Request(), ALICE, clock).text
    with pytest.raises(CodecError, match="is not UTC"):
        plans.read_approved(text.replace("1970-01-01T00:00:00.000Z", "soon").encode())


@given(st.binary(max_size=200))
def test_any_octets_are_refused_in_words(text: bytes):
    with pytest.raises((CodecError, EditedPlan)):
        approve(text, Request(), ALICE, clock)


def test_the_file_keeps_its_mode_and_what_cannot_be_written_stays(tmp_path: Path):
    path = tmp_path / "plan.json"
    path.write_bytes(TEXT)
    path.chmod(0o640)
    done = approve_file(str(path), Request(ticket="CHG-1"))
    assert path.read_text() == done.text
    assert path.stat().st_mode & 0o777 == 0o640
    assert done.approvals[-1].actor == account.who()
    assert os.listdir(tmp_path) == ["plan.json"]
    with pytest.raises(BadInput, match="cannot be approved: No such file"):
        approve_file(str(tmp_path / "nothing"), Request())
