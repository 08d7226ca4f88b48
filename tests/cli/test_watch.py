"""`mailseal watch` as it is used: real processes against real peers on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from mailseal.cli.exits import Exit
from mailseal.cli.watch import UNITS
from mailseal.watch.figures import rules
from mailseal.watch.units import NAMES
from tests.cli.program import PROGRAM, environment, mailseal
from tests.probe import peers
from tests.watch.exposition import value

DISABLED = peers.says(b"- POP2 server disabled on this system\r\n")


def once(folder: Path, *words: str) -> tuple[Exit, str, str]:
    """One round; exit code, stdout and stderr."""
    done = mailseal(
        *("watch", "--once", "--timeout", "0.5", *words),
        env={"XDG_STATE_HOME": str(folder), "MAILSEAL_STORE": str(folder / "store.sqlite3")},
    )
    return Exit(done.returncode), done.stdout.decode(), done.stderr.decode()


def test_one_round_says_what_changed_and_how_it_stands(tmp_path: Path):
    with peers.serving(peers.pop2) as endpoint:
        code, out, err = once(tmp_path, str(endpoint))
        assert (code, err) == (Exit.EXPOSED, "")
        assert f" drift: pop2-cleartext-login at {endpoint} [high]: " in out
        assert out.count("\n") == 1
        assert once(tmp_path, str(endpoint)) == (Exit.EXPOSED, "", "")
    with peers.serving(DISABLED, port=endpoint.port):
        code, out, _ = once(tmp_path, str(endpoint), "--format", "ndjson")
    assert code is Exit.CLEAN
    record = json.loads(out)
    assert (record["type"], record["event"]) == ("Notice", "recovery")
    assert (tmp_path / "mailseal" / "watch.json").stat().st_mode & 0o777 == 0o600


def test_nothing_to_be_reached_is_inconclusive(tmp_path: Path):
    code, out, err = once(tmp_path, "nowhere.invalid:109")
    assert (code, out) == (Exit.INCONCLUSIVE, "")
    assert "nothing could be reached: nowhere.invalid" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "name a target, here or in the policy"),
        (("-",), "stdin has its targets once only"),
        (("127.0.0.1:1", "--every", "5s"), "--every '5s': write 15m"),
        (("127.0.0.1:1", "--every", "soon"), "--every 'soon'"),
        (("127.0.0.1:1", "--metrics", "9109"), "--metrics '9109': write 127.0.0.1:9109"),
        (("127.0.0.1:1", "--metrics", "0.0.0.0:0"), "is not an address of this machine alone"),
        (("127.0.0.1:1", "--policy", "no.toml"), "there is no policy no.toml"),
        (("127.0.0.1:1", "--alerts", "no.toml"), "the alert rules no.toml cannot be read"),
        (("127.0.0.1:1", "--alerts", "/dev/zero"), "the alert rules /dev/zero: longer than"),
        (("127.0.0.1:1", "--logs", "no.log"), "no.log cannot be read"),
        (("127.0.0.1:1", "--logs", "-"), "stdin cannot be followed"),
        (("127.0.0.1:1", "--state", "/proc/x/y"), "the state /proc/x/y cannot be made"),
        (("127.0.0.1:pop9",), "127.0.0.1:pop9"),
    ],
)
def test_what_cannot_be_used_is_said_and_exits_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
):
    monkeypatch.chdir(tmp_path)
    code, out, err = once(tmp_path, *words)
    assert (code, out) == (Exit.USAGE, "")
    assert says in err


def test_what_cannot_be_written_is_said_and_exits_2(tmp_path: Path):
    with peers.closed() as endpoint:
        code, _, err = once(tmp_path, str(endpoint), "--textfile", "/dev/full")
        assert (code, "/dev/full cannot be written: it is there" in err) == (Exit.USAGE, True)
        state = tmp_path / "state.json"
        state.symlink_to(tmp_path / "elsewhere.json")
        code, _, err = once(tmp_path, str(endpoint), "--state", str(state))
        assert (code, "a restart would tell again" in err) == (Exit.USAGE, True)


def test_the_targets_of_the_policy_are_watched(tmp_path: Path):
    policy = tmp_path / "policy.toml"
    with peers.closed() as endpoint:
        policy.write_text(f'targets = ["{endpoint}"]\n')
        assert once(tmp_path, "--policy", str(policy))[0] is Exit.CLEAN


def test_it_ends_when_it_is_asked_to_and_only_one_watches_at_a_time(tmp_path: Path):
    env = environment(XDG_STATE_HOME=str(tmp_path), PYTHONUNBUFFERED="1")
    with peers.serving(peers.pop2) as endpoint:
        words = [*PROGRAM, "watch", str(endpoint), "--no-store", "--metrics", "127.0.0.1:0"]
        with subprocess.Popen(
            [*words, "--timeout", "0.5"],
            env=env,
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout
            assert process.stderr
            try:
                port = process.stderr.readline().partition("port ")[2].split()[0]
                assert "drift: pop2-cleartext-login" in process.stdout.readline()
                code, _, err = once(tmp_path, str(endpoint), "--no-store")
                assert code is Exit.REFUSED
                assert "another `mailseal watch` works with it" in err
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as got:
                    text = got.read().decode()
                assert value(text, "mailseal_watch_rounds_total", outcome="done") <= 1
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) == Exit.CLEAN
            finally:
                process.kill()


def test_a_full_disk_for_what_is_printed_is_said(tmp_path: Path):
    with peers.serving(peers.pop2) as endpoint, open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, "watch", "--once", "--no-store", str(endpoint), "--timeout", "0.5"],
            env=environment(XDG_STATE_HOME=str(tmp_path)),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
        assert done.returncode == Exit.USAGE
        assert b"the results cannot be written: No space left" in done.stderr
        # It was not told, so it is told again.
        assert "drift: pop2" in once(tmp_path, str(endpoint))[1]


def test_units_are_printed_with_the_path_of_the_program():
    assert UNITS == NAMES
    for name in UNITS:
        done = mailseal("watch", "--print-unit", name)
        assert done.returncode == 0
        assert done.stderr == b""
        assert b"[Unit]\n" in done.stdout
    assert os.path.isabs(mailseal("watch", "--print-unit", "once").stdout.decode()
                         .partition("ExecStart=")[2].split()[0])  # fmt: skip


def test_alert_rules_are_printed_whole_without_a_target():
    done = mailseal("watch", "--print-rules")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == rules()
