"""Change control on booted hosts: the howto page as typed, by two people, and what they cannot do.

Strategy: the page's policy is put on the mail host, its commands run in their order on the desk, by
root and (what approves) by another account. Which of them is refused stands here.
"""

from __future__ import annotations

import re
import shlex

import pytest

from lab import Lab
from tests.lab.story import ROOT, Ran, desk, mailseal, ran, scene
from tests.lab.test_docs import commands

PAGE = ROOT / "docs" / "howto" / "approve-a-change.md"
POLICY = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
RECORD = "/var/lib/mailseal/changes.ndjson"


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_change_that_a_policy_asks_approval_for(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd")
    mail, here = on.mail, desk(on)
    mail.run(["mkdir", "-m", "755", "/etc/mailseal"])
    mail.write("/etc/mailseal/change.toml", POLICY.encode())
    here.run(["useradd", "alice"])
    here.run(["mkdir", "/srv/change"])
    typed = iter(commands(PAGE))

    def next_command(code: int = 0, user: str | None = None) -> Ran:
        """Runs the page's next command in a directory of alice's."""
        here.run(["chown", "-R", "alice", "/srv/change"])
        words = shlex.split(next(typed))
        done = ran(here, "env", "-C", "/srv/change", *words, user=user)
        assert done.code == code, "%s\n%s" % (words, done.said)
        return done

    next_command()
    assert "wanted are approvals of 1, and 0 count" in next_command(code=6).err
    on.check_cleartext()
    # Root approves its own change.
    own = ran(here, "env", "-C", "/srv/change", "mailseal", "approve", "plan.json")
    assert own.code == 0, own.said
    refused = mailseal(here, "apply", "/srv/change/plan.json", "--on", "ssh://mailhost", "--yes")
    assert refused.code == 6, refused.said
    assert "that of root is of an account that may not approve" in refused.err
    sealing = mailseal(here, "seal", "ssh://mailhost", "--name", "mail.example", "--yes")
    assert sealing.code == 6, sealing.said
    on.check_cleartext()

    assert "by alice (uid 1000) on desk, ticket CHG-1234" in next_command(user="alice").out
    next_command()
    on.check_sealed()
    shown = next_command().out
    assert [each for each in ("applied", "confirmed") if "Z  %-11s" % each in shown]
    assert "  by        root (uid 0) on desk" in shown
    assert "ticket CHG-1234" in shown
    assert "whole: 2 lines" in shown
    next_command()
    on.check_cleartext()
    assert list(typed) == []

    mail.run(["sed", "-i", "s/CHG-1234/CHG-4321/", RECORD])
    altered = mailseal(mail, "receipts", "--verify")
    assert altered.code == 1, altered.said
    assert "BROKEN: line 2 does not carry the hash of the line before it" in altered.out
    assert "BROKEN: line 1 does not say what the journal of the run" in altered.out
