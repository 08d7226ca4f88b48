"""Approvals and the record of changes for people."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.model.change import Approval, ChangeEvent, ChangeHistory, ChangeLine
from mailseal.model.plan import STAGED
from mailseal.report.style import PLAIN, Style, harmless

_HOW = {
    ChangeEvent.APPLIED: "bold",
    ChangeEvent.CONFIRMED: "green",
    ChangeEvent.ROLLED_BACK: "yellow",
    ChangeEvent.UNDO_FAILED: "red",
}


def approval(made: Approval) -> str:
    """An approval in a line."""
    words = "%s by %s" % (made.at, made.actor)
    words += " for %s" % made.by if made.by != made.actor.account else ""
    words += ", ticket %s" % made.ticket if made.ticket else ""
    words += ", until %s" % made.until if made.until else ""
    return harmless(words)


def line(made: ChangeLine, style: Style = PLAIN) -> Iterator[str]:
    """A line of the record: what happened, who asked, to which plan, with whose approval."""
    event = style.paint("%-11s" % made.event.value, _HOW[made.event])
    what = (
        "%s, stage %s" % (made.strategy, made.stage) if made.strategy in STAGED else made.strategy
    )
    about = harmless("%s %s %s" % (made.run, made.endpoint, what))
    yield "%s  %s  %s" % (harmless(made.at), event, about)
    yield "  by        " + harmless(str(made.actor) if made.actor else "mailseal itself")
    if made.reason:
        yield "  reason    " + harmless(made.reason)
    yield "  plan      " + harmless(made.plan_sha)
    for each in made.approvals:
        yield "  approved  " + approval(each)


def judgement(history: ChangeHistory, style: Style = PLAIN) -> Iterator[str]:
    """Whether the record is whole."""
    for problem in history.problems:
        yield style.paint("BROKEN: ", "red") + harmless(problem)
    if not history.problems:
        count = len(history.lines)
        words = "whole: %d line%s, each with the hash of the one before"
        yield style.paint(words % (count, "" if count == 1 else "s"), "green")
    yield "the hash of the last line is %s" % (harmless(history.head) or "none: there is no line")
