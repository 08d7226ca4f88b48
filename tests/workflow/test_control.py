"""Every policy that is found is asked, and none takes the place of another."""

from pathlib import Path

import pytest

from mailseal.workflow import BadInput
from mailseal.workflow.control import control
from tests.workflow.fakes import FakeHost


def test_all_that_are_found(tmp_path: Path):
    own, given = tmp_path / "own.toml", tmp_path / "given.toml"
    own.write_text("approvals = 2")
    given.write_text("approvals = 3")
    far = FakeHost(rules=b"approvals = 4")
    found = control(far, (), str(given), str(own)).policies
    assert [(each.source, each.approvals) for each in found] == [
        (str(given), 3),
        (str(own), 2),
        ("/etc/mailseal/change.toml of mailhost", 4),
    ]
    near = FakeHost(remote=False, names=(), rules=b"approvals = 4")
    assert [each.approvals for each in control(near, (), None, str(own)).policies] == [4]


def test_none_is_none(tmp_path: Path):
    assert control(FakeHost(), (), None, str(tmp_path / "nothing")).policies == ()


def test_what_cannot_be_read_or_understood_is_said(tmp_path: Path):
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        control(FakeHost(), (), str(tmp_path / "nothing"))
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        control(FakeHost(), (), None, str(tmp_path))
    with pytest.raises(BadInput, match=r"policy of change control .* of mailhost: unknown key 'x'"):
        control(FakeHost(rules=b"x = 1"), (), None, str(tmp_path / "nothing"))
