"""A change request: what, why, who is affected, risk, downtime, steps, checks, the way back, and
approvals left to fill in; good to paste into a ticket.

Strategy: every word that comes out of a plan stands in a code span or a code block, because nothing
is looked for there: no HTML, no link, no mention of a person. Both are fenced by more backticks
than they hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mailseal.export import steps
from mailseal.export.base import File, Source, plain
from mailseal.model import ops
from mailseal.model.ops import Op

FORM = "markdown"
_BYTES = 4000
"""Of a file's content that is shown; the plan has the rest."""


def export(source: Source) -> tuple[File, ...]:
    """`change-request.md`. Raises CannotExport."""
    plan = source.plan
    lines = [
        "# Change request: cleartext logins at %s of %s"
        % (_code("%s port %d" % (plan.protocol.upper(), plan.endpoint.port)), _code(plan.host)),
        "",
        "| | |",
        "|---|---|",
        "| Host | %s (machine %s) |" % (_code(plan.host), _code(plan.machine)),
        "| Service | %s at %s |" % (_code(plan.protocol.upper()), _code(str(plan.endpoint))),
        "| Change | %s, stage %s |" % (_code(plan.strategy), _code(plan.stage)),
        "| Plan | made %s, SHA-256 %s |" % (_code(plan.made), _code(source.sha256)),
        "",
        "## Why",
        "",
        "The service takes logins without TLS: whoever is on the path reads user names and",
        "passwords (CWE-319). RFC 8314 declares cleartext access to mail obsolete.",
        "",
        "## What changes, and who is affected",
        "",
        *_block(plan.headline),
        "",
        "## Downtime",
        "",
        *_block([plan.gap]),
        "",
        "## Risk",
        "",
        *_block(plan.risks or ("none beyond what is said above",)),
        "",
        "## Steps",
        "",
    ]
    forward = [(op, steps.step(op, FORM)) for op in plan.ops]
    for number, (op, words) in enumerate((each for each in forward if each[1].what), 1):
        lines += ["%d. %s" % (number, _code(words.what))]
        lines += ["    " + line if line else "" for line in _content(op)]
        if words.check:
            lines.append("    - check: %s" % _code(words.check))
    lines += [
        "",
        "`mailseal apply` does these steps as one transaction: each is journaled, a failure undoes",
        "them all, and the change undoes itself unless it is confirmed.",
        "",
        "## Verification",
        "",
        "| what must hold | at | seen from |",
        "|---|---|---|",
    ]
    for claim in plan.claims:
        kind, where = _code(claim.kind.value), _code(str(claim.endpoint))
        lines.append("| %s | %s | %s |" % (kind, where, _code(claim.vantage.value)))
    lines += [
        "",
        "`mailseal verify` proves it from another host; so does one login through TLS.",
        "",
        "## Undo",
        "",
        "`mailseal rollback` on the host does this, and proves that the old service is back:",
        "",
    ]
    back = [words.undo for _, words in reversed(forward) if words.undo]
    lines += ["%d. %s" % (number, _code(words)) for number, words in enumerate(back, 1)]
    lines += ["", "After it these hold again:", ""]
    lines += _block("%s at %s" % (each.kind.value, each.endpoint) for each in plan.before)
    lines += ["", "## Approvals", "", "| role | name | decision | date |", "|---|---|---|---|"]
    lines += ["| %s | | | |" % role for role in ("Requested by", "Service owner", "Security")]
    lines += ["| Change window | | | |", ""]
    text = "\n".join(lines)
    return (File("change-request.md", 0o600, text.encode("utf-8", "backslashreplace")),)


def _content(op: Op) -> list[str]:
    """What a step writes, as a block."""
    if isinstance(op, ops.WriteFile):
        cut = op.content[:_BYTES]
        shown = cut.decode("utf-8", "backslashreplace").splitlines()
        more = len(op.content) - len(cut)
        return _block([*shown, "... %d bytes more" % more] if more else shown)
    if isinstance(op, ops.EditFile):
        return _block(steps.difference(op), "diff")
    return []


def _code(words: str) -> str:
    """A code span that fits a cell too: `|` would end the cell, so it becomes a number."""
    words = plain(words).replace("|", "\\x7c")
    if not words.strip():
        return "(none)"
    ticks = _longer_than_in([words], 1)
    pad = " " if "`" in (words[0], words[-1]) else ""
    return ticks + pad + words + pad + ticks


def _block(lines: Iterable[str], language: str = "text") -> list[str]:
    shown = [plain(line.replace("\t", "    ")) for line in lines]
    fence = _longer_than_in(shown, 3)
    return [fence + language, *shown, fence]


def _longer_than_in(lines: Iterable[str], least: int) -> str:
    """Backticks in a row, more than there are anywhere in the lines."""
    runs = [len(run) for line in lines for run in re.findall("`+", line)]
    return "`" * max(least, 1 + max(runs, default=0))
