"""The fuzzer for a while: no crash, no hang, no growth."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.tree import ROOT

SECONDS = 120


@pytest.mark.soak
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no build for this Python"
)
@pytest.mark.parametrize("target", ["capture", "observer", "prober", "importer", "reader"])
def test_fuzzing_finds_nothing(target: str, tmp_path: Path):
    run = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz.harness", target, str(tmp_path),
            f"-max_total_time={SECONDS}", "-timeout=10", "-rss_limit_mb=512", "-max_len=16384",
            f"-artifact_prefix={tmp_path}/",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=SECONDS + 120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-4000:]
    print(run.stderr[-300:])
