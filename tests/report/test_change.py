"""The record of changes for people: who, what, with whose yes; harmless whatever was written."""

from mailseal.model.change import Actor, Approval, ChangeEvent, ChangeHistory, ChangeLine
from mailseal.model.look import Endpoint
from mailseal.report import change

ALICE = Actor("alice", 1000, "desk")
AT = "2026-01-15T12:00:00.000Z"
YES = Approval("5" * 64, ALICE, "the \x1bboard", "CHG-1", AT, "2026-01-16T12:00:00.000Z")
LINE = ChangeLine(
    event=ChangeEvent.ROLLED_BACK, run="R", entry=9, at=AT, host="mail",
    endpoint=Endpoint("192.0.2.10", 109), strategy="wrap", stage="enforce", plan_sha="5" * 64,
    actor=None, reason="nobody confirmed", approvals=(YES,),
)  # fmt: skip


def test_a_line_of_the_record():
    assert list(change.line(LINE)) == [
        f"{AT}  rolled-back  R 192.0.2.10:109 wrap, stage enforce",
        "  by        mailseal itself",
        "  reason    nobody confirmed",
        "  plan      " + "5" * 64,
        f"  approved  {AT} by alice (uid 1000) on desk for the \\x1bboard, ticket CHG-1, "
        "until 2026-01-16T12:00:00.000Z",
    ]


def test_the_judgement():
    assert list(change.judgement(ChangeHistory((LINE,), (), "abc"))) == [
        "whole: 1 line, each with the hash of the one before",
        "the hash of the last line is abc",
    ]
    broken = ChangeHistory((), ("line 1 is \x1bnot right",), "")
    assert list(change.judgement(broken)) == [
        "BROKEN: line 1 is \\x1bnot right",
        "the hash of the last line is none: there is no line",
    ]
