"""The runbook's text, in the hands of a real shell. What it does to a host is in tests/lab."""

from __future__ import annotations

import hashlib
import itertools
import re
import socket
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailseal.apply.operations import spliced
from mailseal.apply.runs import LOCK
from mailseal.export import shell
from mailseal.model.ops import CheckConfiguration, EditFile, Splice, TryTerminator, WriteFile
from tests.export.make import STARTERS, plan, sample, source

HOSTILE = "x\nexit 7\r\u2028'; exit 7; $(exit 7) `exit 7` END_OF_WORDS"


def sh(script: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    words = ["sh", *options]
    return subprocess.run(words, input=script.encode(), capture_output=True, timeout=30)


def scripts(**changes: object) -> list[str]:
    return [each.content.decode() for each in shell.export(source(**changes))]


@pytest.mark.parametrize("starter", STARTERS)
@pytest.mark.parametrize(
    ("strategy", "stage"), [("wrap", "enforce"), ("wrap", "offer"), ("retire", "enforce")]
)
def test_both_scripts_are_shell(starter: str, strategy: str, stage: str) -> None:
    made = plan(starter, strategy, stage)
    files = shell.export(source(made))
    assert [(each.name, each.mode) for each in files] == [("runbook.sh", 0o700), ("undo.sh", 0o700)]
    for each in files:
        done = sh(each.content.decode(), "-n")
        assert (done.returncode, done.stderr) == (0, b"")


def test_each_step_that_can_be_done_can_be_undone() -> None:
    assert shell._DO.keys() == shell._UNDO.keys()


def test_the_lock_is_that_of_apply() -> None:
    assert shell.LOCK == LOCK


def test_another_machine_is_refused_before_anything_is_touched() -> None:
    for script in scripts():
        done = sh(script)
        assert done.returncode == 6
        assert b"refused: " in done.stderr


def test_steps_are_undone_in_reverse_order() -> None:
    forward, back = scripts()
    count = len(plan().ops)
    assert [int(n) for n in re.findall(r"# -- Step (\d+)", forward)] == list(range(1, count + 1))
    assert [int(n) for n in re.findall(r"# -- Back from step (\d+)", back)] == list(
        range(count, 0, -1)
    )


def test_words_of_others_stay_comments() -> None:
    """Names of users come from logs, where anybody writes them."""
    made = scripts(headline=(HOSTILE,), risks=(HOSTILE,), gap=HOSTILE, made=HOSTILE, stage=HOSTILE)
    honest = scripts(headline=("x",), risks=("x",), gap="x", made="x", stage="x")
    for hostile, other in zip(made, honest, strict=True):
        assert [line for line in hostile.splitlines() if not line.startswith("# ")] == [
            line for line in other.splitlines() if not line.startswith("# ")
        ]
        assert sh(hostile, "-n").returncode == 0


# No command of the scripts is found, and what is printed can only come from a text that was run.
IDLE = """
PATH=/nonexistent; STEP=1
for name in new begin end has begun await tidy hash_of forget say refuse gone; do
    eval "$name() { :; }"
done
step() { :; }
listens() { return 1; }
"""


def back(op: Any) -> list[str]:
    check = shell._LEFT.get(type(op))
    return [*(check(1, op) if check else ()), *shell._UNDO[type(op)](1, op)]


@pytest.mark.parametrize("kind", shell._DO, ids=lambda kind: kind.KIND)
def test_no_text_of_a_step_is_run(kind: type[Any], tmp_path: Path) -> None:
    for words in ("'; echo OWNED; '", '"; echo OWNED; "', "\necho OWNED\n", "$(echo OWNED >&2)"):
        op = sample(kind, words)
        if isinstance(op, TryTerminator):
            op = replace(op, protocol="pop2")
        lines = [*shell._DO[kind](source(), 1, op), *back(op)]
        done = sh("\n".join([f"STATE={tmp_path}", IDLE, *lines, "printf REACHED", ""]))
        assert done.stdout == b"REACHED", done.stderr
        assert b"\nOWNED" not in b"\n" + done.stderr


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_content_passes_through_a_here_document(data: bytes) -> None:
    for content in (data, data + b"\n", b"END_OF_FILE\n" + data + b"\n", b"$x `x` \\\n"):
        lines = ["if :; then", *shell._here("cat | cat", content), "fi"]
        assert sh("\n".join(lines) + "\n").stdout == content


@given(st.binary(max_size=60), st.data())
@settings(max_examples=60, deadline=None)
def test_an_edit_gives_the_bytes_that_apply_gives(old: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(old)), max_size=6)))
    news = data.draw(st.lists(st.binary(max_size=20), min_size=3, max_size=3))
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    splices = tuple(Splice(a, old[a:b], new) for (a, b), new in zip(pairs, news, strict=False))
    op = EditFile("/f", "", "", splices)
    with tempfile.NamedTemporaryFile() as file:
        file.write(old)
        file.flush()
        script = "\n".join(["set -eu", "{", *shell._pieces(op, file.name), "}"]) + "\n"
        done = sh(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout == spliced(old, splices)


FRAME = "refuse() { echo refused: $*; exit 6; }; step() { :; }; begin() { :; }; end() { :; }\n"


@pytest.mark.parametrize(
    ("argv", "prints", "said"),
    [
        (("echo", "ssl  =   required"), ("ssl = required",), b""),
        (("echo", "ssl = no"), ("ssl = required",), b"refused: the change has no effect: "),
        (("false",), (), b"refused: the daemon refuses this configuration: false"),
    ],
)
def test_a_daemons_own_checker_is_asked(
    argv: tuple[str, ...], prints: tuple[str, ...], said: bytes
) -> None:
    step = CheckConfiguration(argv, prints)
    done = sh(FRAME + "\n".join(shell._check(source(), 1, step)))
    assert done.returncode == (6 if said else 0)
    assert done.stdout.startswith(said)
    assert done.stderr == b""


KNOWN = shell._LIBRARY[shell._LIBRARY.index("begun()") : shell._LIBRARY.index("# new PATH")]


@pytest.mark.parametrize(
    ("content", "code"), [(b"first", 0), (b"second", 0), (b"before", 6), (b"somebody's", 6)]
)
def test_the_way_back_refuses_before_it_changes_anything(
    tmp_path: Path, content: bytes, code: int
) -> None:
    """A file that two steps changed is as the second left it; what was not begun is not asked."""
    file, other = tmp_path / "edited", tmp_path / "other"
    hashes = [hashlib.sha256(each).hexdigest() for each in (b"before", b"first", b"second")]
    written = WriteFile(str(other), b"ours", "root", "root", 0o644)
    changes = (EditFile(str(file), *pair, ()) for pair in itertools.pairwise(hashes))
    lines = shell._as_left(replace(plan(), ops=(*changes, written)))
    file.write_bytes(content)
    other.write_bytes(b"somebody's")
    (tmp_path / "1.begun").touch()
    (tmp_path / "2.begun").touch()
    done = sh("\n".join([f"STATE={tmp_path}\n{KNOWN}\n{FRAME}", *lines, ""]))
    assert done.returncode == code
    assert (b"refused: %s was changed since" % bytes(file) in done.stdout) == (code == 6)
    (tmp_path / "3.begun").touch()
    (tmp_path / "3.done").touch()
    done = sh("\n".join([f"STATE={tmp_path}\n{KNOWN}\n{FRAME}", *lines, ""]))
    assert done.stdout.startswith(b"refused: %s was changed since" % bytes(other))


@pytest.mark.parametrize(
    ("content", "code"), [(b"made", 0), (b"ended", 0), (b"somebody's", 6), (None, 0)]
)
def test_what_a_timer_made_of_a_file_meanwhile_is_taken_back(
    tmp_path: Path, content: bytes | None, code: int
) -> None:
    file = tmp_path / "list"
    later = (hashlib.sha256(b"ended").hexdigest(), "0" * 64)
    written = WriteFile(str(file), b"made", "root", "root", 0o644, later)
    (tmp_path / "1.done").touch()
    (tmp_path / "1.backup").write_bytes(b"before")
    if content is not None:
        file.write_bytes(content)
    frame = f"STATE={tmp_path}\n{KNOWN}\n{FRAME}"
    done = sh("\n".join([frame, *back(written), ""]))
    assert (done.returncode, file.exists()) == (code, code != 0), done.stderr
    before, after = (hashlib.sha256(each).hexdigest() for each in (b"before", b"made"))
    edited = EditFile(str(file), before, after, (), later)
    file.write_bytes(content or b"before")
    done = sh("\n".join([frame, *back(edited), ""]))
    assert (done.returncode, file.read_bytes() == b"before") == (code, code == 0), done.stderr


def test_a_socket_that_is_wanted_anew_is_none_of_the_old_ones() -> None:
    functions = re.findall(r"(?ms)^(?:sockets|listens)\(\) \{$.*?^\}$", shell._LIBRARY)
    assert len(functions) == 2
    asked = "OLD=; listens 127.0.0.1 %d && echo there; OLD=$(sockets ''); listens 127.0.0.1 %d\n"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = sh("\n".join([*functions, asked % (port, port)]))
    assert (done.returncode, done.stdout, done.stderr) == (1, b"there\n", b"")


def test_what_the_daemon_enforces_itself_is_looked_at_inside_the_session() -> None:
    runbook = scripts(strategy="native", protocol="managesieve")[0]
    assert "-starttls sieve" in runbook
    assert "must show no greeting" not in runbook
