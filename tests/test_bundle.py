"""The agent's bundle: whole, the same twice, and able to bundle itself."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from mailseal import bundle
from mailseal.model import codec
from mailseal.model.look import Observation, Reach, Vantage
from mailseal.probe.look import Question
from tests.probe import peers


def test_equal_sources_give_equal_bytes() -> None:
    assert bundle.build() == bundle.build()


def test_it_holds_the_agents_rooms_and_nothing_else() -> None:
    names = zipfile.ZipFile(io.BytesIO(bundle.build())).namelist()
    rooms = {name.split("/")[1].removesuffix(".py") for name in names if "/" in name}
    assert rooms == {*bundle.PACKAGES, *bundle.MODULES}
    assert "__main__.py" in names


def run(path: Path, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-I", str(path), *words]
    return subprocess.run(argv, input=data, capture_output=True, timeout=60)


def test_it_runs_by_itself_and_carries_itself_on(tmp_path: Path) -> None:
    path = tmp_path / "mailseal.pyz"
    path.write_bytes(bundle.build())
    code = "import sys; sys.path.insert(0, %r)\nfrom mailseal import bundle\n" % str(path)
    code += "sys.stdout.buffer.write(bundle.build())"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == bundle.build()


def test_the_script_builds_an_executable_file(tmp_path: Path) -> None:
    path = tmp_path / "mailseal.pyz"
    argv = [sys.executable, "-m", "mailseal.bundle", str(path)]
    assert subprocess.run(argv, timeout=60).returncode == 0
    done = run(path, "facts")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["type"] == "HostFacts"


def test_words_it_does_not_know_show_the_commands(tmp_path: Path) -> None:
    path = tmp_path / "mailseal.pyz"
    path.write_bytes(bundle.build())
    for words in ([], ["surprise"], ["apply"]):
        done = run(path, *words)
        assert done.returncode == 2
        assert b"recover DIRECTORY" in done.stderr


def test_a_plan_that_is_none_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "mailseal.pyz"
    path.write_bytes(bundle.build())
    done = run(path, "apply", "60", data=b'{"type": "Plan"}')
    assert done.returncode == 2
    assert b"bad input" in done.stderr


def test_a_look_loads_no_more_than_a_look_needs(tmp_path: Path) -> None:
    path = tmp_path / "mailseal.pyz"
    path.write_bytes(bundle.build())
    with peers.closed() as endpoint:
        asked = codec.dumps(Question(endpoint, Vantage.SELF)).encode()
    argv = [sys.executable, "-I", "-v", str(path), "look"]
    done = subprocess.run(argv, input=asked, capture_output=True, timeout=60)
    assert codec.loads(Observation, done.stdout, lenient=False).reach is Reach.CLOSED
    loaded = set(re.findall(rb"^import 'mailseal\.(\w+)", done.stderr, re.MULTILINE))
    assert loaded <= {b"model", b"probe", b"protocols", b"system"}
    assert run(path, "look", data=asked).stdout.startswith(b"{")


def test_a_question_that_is_none_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "mailseal.pyz"
    path.write_bytes(bundle.build())
    done = run(path, "look", data=b"[]")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"bad input: ")
