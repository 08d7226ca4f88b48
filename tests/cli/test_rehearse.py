"""`mailseal rehearse` with what it cannot use: one clear line, and nothing begun."""

import json
from pathlib import Path

from mailseal.facts.gather import gather
from mailseal.model import codec
from tests.cli.program import mailseal
from tests.plan import hosts


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
