"""The lines for a shell that open a port and close it, run by a real shell with the real nft."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mailseal.export import firewall
from mailseal.model.ops import Firewall, OpenPort

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a packet filter of one's own needs root"),
    pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed"),
]

OP = OpenPort(Firewall.NFTABLES, 995, "inet filter input", last=True)
SETUP = """
set -eu
nft 'add table inet filter; add chain inet filter input { type filter hook input priority 0; }'
nft add rule inet filter input tcp dport 22 accept
"""
SHOW = "nft list chain inet filter input | grep dport"


def shown(note: Path, *parts: list[str] | str) -> list[str]:
    """What SHOW printed, after all these lines in a network of their own."""
    lines = ["export NOTE=" + str(note), SETUP]
    for part in parts:
        lines += [part] if isinstance(part, str) else part
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return [line.strip() for line in done.stdout.splitlines()]


FORWARD, BACK = firewall.forward(OP, "$NOTE"), firewall.back(OP, "$NOTE")
SSH = "tcp dport 22 accept"
OURS = 'tcp dport 995 accept comment "mailseal port 995"'


def test_there_and_back_each_twice(tmp_path: Path) -> None:
    said = shown(tmp_path / "a", FORWARD, FORWARD, SHOW, BACK, BACK, SHOW)
    assert said == [SSH, OURS, SSH]
    assert list(tmp_path.iterdir()) == []


def test_a_rule_that_was_there_is_left(tmp_path: Path) -> None:
    add = FORWARD[2]
    assert shown(tmp_path / "a", add, FORWARD, SHOW, BACK, SHOW) == [SSH, OURS] * 2


def test_a_run_that_was_stopped_between_the_note_and_the_rule(tmp_path: Path) -> None:
    note = FORWARD[1]
    assert shown(tmp_path / "a", note, BACK, SHOW) == [SSH]
    assert shown(tmp_path / "a", note, FORWARD, SHOW, BACK, SHOW) == [SSH, OURS, SSH]


def test_a_chain_that_is_gone_has_nothing_to_take(tmp_path: Path) -> None:
    gone = "nft flush ruleset"
    assert shown(tmp_path / "a", FORWARD, gone, BACK) == []
    assert list(tmp_path.iterdir()) == []
