"""What a real daemon answers is written down as it was said."""

from pathlib import Path

import pytest

from lab import missing
from lab.record import record

pytestmark = [pytest.mark.lab]


def test_a_session_with_a_real_daemon_is_written_down(tmp_path: Path):
    if reasons := missing():
        pytest.skip("; ".join(reasons))
    (path,) = record("popa3d", tmp_path)
    assert path == tmp_path / "pop3/popa3d-permitted.txt"
    opening, *lines = path.read_text().splitlines()
    assert opening.startswith("# popa3d 1.")
    assert opening.endswith(", permitted, asked by stranger, pop3")
    clear, upgrade = (lines.index(f"# -- port 110, {how}") for how in (CLEAR, UPGRADE))
    assert lines[clear + 1 : clear + 6] == [
        "S: +OK", "C: CAPA", "S: -ERR", "C: USER mailseal-nobody", "S: +OK",
    ]  # fmt: skip
    assert lines[upgrade + 1 :] == ["S: +OK", "C: STLS", "S: -ERR", "# no TLS to be had"]


CLEAR = "in cleartext"
UPGRADE = "from cleartext into TLS"
