"""`mailseal rehearse`: what it cannot use in one clear line, and its exit codes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.cli.exits import Exit
from mailseal.cli.rehearse import exit_code
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.model.plan import RunState
from mailseal.workflow.rehearse import Rehearsal
from mailseal.workflow.seal import Sealed
from tests.cli.program import mailseal
from tests.plan import hosts
from tests.workflow.fakes import RECEIPT


def test_a_plan_that_is_none_is_told_in_one_line(tmp_path: Path):
    for path, says in ((Path("/nothing"), b"/nothing cannot be read"), (tmp_path / "x", b"")):
        (tmp_path / "x").write_text("no plan")
        done = mailseal("rehearse", str(path))
        assert (done.returncode, done.stdout) == (2, b"")
        assert says in done.stderr
        assert done.stderr.count(b"\n") == 1


def test_an_edited_plan_is_refused(tmp_path: Path):
    facts, plan = tmp_path / "facts.json", tmp_path / "plan.json"
    facts.write_text(codec.dumps(gather(hosts.inetd(stunnel=False))))
    assert mailseal("plan", "--facts", str(facts), "-o", str(plan)).returncode == 0
    made = json.loads(plan.read_text())
    plan.write_text(json.dumps({**made, "sha256": "0" * 64}))
    done = mailseal("rehearse", str(plan))
    assert (done.returncode, done.stdout) == (6, b"")
    assert b"was edited after it was made" in done.stderr


@pytest.mark.parametrize(
    ("applied", "sealed", "back", "code"),
    [
        (RunState.COMMITTED, True, RunState.UNDONE, Exit.CLEAN),
        (RunState.COMMITTED, False, RunState.UNDONE, Exit.INCONCLUSIVE),
        (RunState.COMMITTED, True, RunState.UNDO_FAILED, Exit.UNDO_FAILED),
        (RunState.UNDONE, False, None, Exit.UNDONE),
        (RunState.UNDO_FAILED, False, None, Exit.UNDO_FAILED),
    ],
)
def test_the_exit_code_is_that_of_apply_and_of_the_way_back(applied, sealed, back, code):
    there = replace(RECEIPT, state=applied)
    again = replace(RECEIPT, state=back) if back else None
    assert exit_code(Rehearsal(Sealed(there, (), sealed), again, ())) is code
