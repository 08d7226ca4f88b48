"""A copy of a host at the other end of ssh: here an `ssh` that runs the command on this machine."""

from pathlib import Path

import pytest

from mailseal.apply.executor import Refused
from mailseal.system.copyplace import Place
from mailseal.workflow import BadInput
from mailseal.workflow.copies import copied
from mailseal.workflow.hosts import HostUnreachable
from tests.workflow.test_hosts import LOCAL, ssh_says

__all__ = ["ssh_says"]

# The agent arrives and goes; what it would answer to `copy` is made up.
MADE_UP = """#!/bin/sh
for last; do :; done
case $last in *" copy "*)
    printf '%%s\\n' "$last" >>"$LOG"
    %s
;; esac
exec sh -c "$last"
"""


def agents() -> set[Path]:
    return set(Path("/tmp").glob("mailseal-????????"))


def test_a_host_that_cannot_be_copied_refuses_and_keeps_nothing(ssh_says):
    before = agents()
    ssh_says(LOCAL)
    # Neither systemd as init nor root is to be had where tests run.
    with (
        pytest.raises(Refused, match="copy") as refused,
        copied("ssh://mailhost", ("stunnel4",), "mailhost", lambda line: None),
    ):
        pass
    assert "Nothing was rehearsed." in refused.value.problems
    assert agents() == before


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("echo 'Connection closed' >&2; exit 255", "exit status 255.*Connection closed"),
        ("echo garbage; exit 0", "JSON"),
        ('echo \'{"type": "Place"}\'; cat >/dev/null; exit 0', "version None"),
    ],
)
def test_an_answer_that_is_none_ends_it(ssh_says, answer: str, says: str):
    before = agents()
    ssh_says(MADE_UP % answer)
    with (
        pytest.raises((HostUnreachable, ValueError), match=says),
        copied("ssh://mailhost", (), "mailhost", lambda line: None),
    ):
        pass
    assert agents() == before


def test_a_target_that_is_none():
    with pytest.raises(BadInput, match="is not ssh://"), copied("ssh://-l@h", (), "h", print):
        pass


def test_words_for_the_copy_reach_it_as_they_are():
    words = Place(12, 34).words(["printf", "$HOME", "a b"], 60)
    assert words[:2] == ("nsenter", "--target=34")
    assert words[-3:] == ("printf", "$$HOME", "a b")
    assert "--property=RuntimeMaxSec=60" in words
    assert Place(12, 34).street == ("nsenter", "--net=/proc/12/root/tmp/street", "--")
