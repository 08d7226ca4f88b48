"""`mailseal scan` of many: what is left out, what is asked again, and going on after a kill."""

import json
import random
import re
import shlex
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from mailseal.cli.exits import Exit
from mailseal.cli.scan import duration
from tests.cli.program import PROGRAM, environment, mailseal, on_terminal
from tests.probe import peers
from tests.project.tree import ROOT

PAGE = ROOT / "docs/howto/scan-an-estate.md"
UNPACED = ("--rate", "0", "--rate-network", "0", "--rate-host", "0", "--per-host", "0")
NDJSON = ("--format", "ndjson")


def lines(out: bytes) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


# -- resume ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_after_a_kill_nothing_is_lost_and_nothing_is_told_twice(tmp_path: Path, processes: str):
    out = tmp_path / "out.ndjson"
    with peers.closed() as closed, peers.serving(peers.pop2, "127.9.0.1", closed.port) as exposed:
        command = [
            *PROGRAM, "scan", "127.9.0.0/22", "--ports", str(exposed.port), *NDJSON, "-o", str(out),
            "--resume", "--rate", "400", "--rate-network", "0", "--processes", processes,
        ]  # fmt: skip
        chance = random.Random(7)
        kills = 0
        for patience in [*(chance.uniform(0.3, 1.5) for _ in range(8)), 100.0]:
            with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as process:
                try:
                    code = process.wait(patience)
                except subprocess.TimeoutExpired:
                    code = None
                finally:
                    process.kill()
                assert process.stderr is not None
                said = process.stderr.read()
            if code is not None:
                break
            kills += 1
        assert (code, said) == (Exit.EXPOSED, b"")
        before = out.read_bytes()
        again = mailseal(*command[len(PROGRAM) :])
        assert (again.returncode, again.stdout) == (Exit.EXPOSED, b""), "what was found counts"
        assert out.read_bytes() == before
    assert kills >= 2
    found = Counter(line["endpoint"]["address"] for line in lines(before))
    assert len(found) == 1022
    assert set(found.values()) == {1}


def test_a_torn_last_line_is_looked_at_again(tmp_path: Path):
    out = tmp_path / "out.ndjson"
    command = ("scan", "127.0.0.8/30", "--ports", "1", *NDJSON, "-o", str(out), "--resume")
    assert mailseal(*command).returncode == Exit.CLEAN
    whole = out.read_bytes()
    out.write_bytes(whole[:-20])
    assert mailseal(*command).returncode == Exit.CLEAN
    assert {line["asked"] for line in lines(out.read_bytes())} == {"127.0.0.9", "127.0.0.10"}


def test_only_one_scan_writes_a_file(tmp_path: Path):
    out = tmp_path / "out.ndjson"
    with peers.serving(peers.says(stay=30)) as silent:
        command = [*PROGRAM, "scan", str(silent), "127.0.0.2:1", *NDJSON, "-o", str(out)]
        with subprocess.Popen(command, env=environment()) as process:
            try:
                end = time.monotonic() + 20
                while time.monotonic() < end and not (out.exists() and out.stat().st_size):
                    time.sleep(0.02)
                run = mailseal(*command[len(PROGRAM) :], "--resume")
            finally:
                process.kill()
    assert run.returncode == Exit.USAGE
    assert b"is being written by another scan" in run.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--resume",), "--resume goes with --format ndjson -o FILE"),
        (("--resume", "-o", "x"), "--resume goes with --format ndjson -o FILE"),
        (("--resume", *NDJSON, "-o", "x", "--overwrite"), "without --overwrite"),
        (("--resume", *NDJSON, "-o", "/etc/hostname"), "no result of a scan"),
        (("--resume", *NDJSON, "-o", "/nonexistent/x"), "cannot be taken up: No such file"),
        (("--ports", "1100-1000"), "is empty"),
        (("--ports", "pop9"), "or by name: pop2, pop3"),
        (("--exclude", "a b"), "is no address, network"),
        (("--exclude", "no.invalid"), "no.invalid is excluded, but the name does not resolve"),
        (("--exclude-file", "/nonexistent/x"), "the list /nonexistent/x cannot be read"),
        (("--scope", "/nonexistent/x"), "the list /nonexistent/x cannot be read"),
        (("--again", "1,x"), "up to 8 numbers of seconds"),
        (("--again", "-1"), "up to 8 numbers of seconds"),
        (("--rate", "-1"), "0<=x<=1000000"),
    ],
)
def test_bad_input_is_said_and_nothing_is_done(options: tuple[str, ...], words: str):
    before = Path("/etc/hostname").read_bytes()
    run = mailseal("scan", "127.0.0.1:1", *options)
    assert (run.returncode, run.stdout) == (Exit.USAGE, b"")
    assert words in " ".join(run.stderr.decode().split())
    assert Path("/etc/hostname").read_bytes() == before


def test_all_bad_lines_of_a_list_are_named_before_anything_is_looked_at(tmp_path: Path):
    listed = tmp_path / "hosts.txt"
    listed.write_text("127.0.0.1:1\nftp://a\n127.0.0.2:1\nx:0\n")
    run = mailseal("scan", "-l", str(listed))
    assert (run.returncode, run.stdout) == (Exit.USAGE, b"")
    said = run.stderr.decode().splitlines()
    assert [line.count(", line ") for line in said] == [1, 1]


# -- scope -----------------------------------------------------------------------------------------


def test_nothing_outside_the_scope_is_contacted_and_that_is_said(tmp_path: Path):
    visits: list[str] = []

    def visited(connection: socket.socket) -> None:
        visits.append(connection.getsockname()[0])
        peers.pop2(connection)

    scope = tmp_path / "ours.txt"
    scope.write_text("# ours\n127.0.0.0/30\n")
    with peers.serving(visited, "0.0.0.0") as every:
        run = mailseal(
            "scan", "127.0.0.0/29", "127.0.0.9", "--ports", str(every.port), *NDJSON,
            "--exclude", "127.0.0.1", env={"MAILSEAL_SCOPE": str(scope)},
        )  # fmt: skip
    assert set(visits) == {"127.0.0.2", "127.0.0.3"}
    assert run.returncode == Exit.EXPOSED
    found = {(line["asked"], line["verdict"]) for line in lines(run.stdout)}
    assert found == {
        ("127.0.0.2", "exposed"),
        ("127.0.0.3", "exposed"),
        ("127.0.0.9", "inconclusive"),
        ("127.0.0.0/29", "inconclusive"),
    }
    assert run.stderr.decode().splitlines() == [
        "mailseal: left out: 4 endpoints (outside the scope)",
        "mailseal: left out: 1 endpoints (excluded)",
    ]


def test_the_commands_of_the_page_work_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with peers.serving(peers.pop2) as endpoint:
        Path("hosts.txt").write_text(f"127.0.0.8/30\n{endpoint}\n198.51.100.1\n")
        Path("ours.txt").write_text("127.0.0.0/8\n")
        lines_ = re.findall(r"^\$ mailseal (.+)$", PAGE.read_text(), re.MULTILINE)
        assert len(lines_) == 4
        runs = [mailseal(*shlex.split(line), env={"MAILSEAL_SCOPE": "ours.txt"}) for line in lines_]
    assert [run.returncode for run in runs] == [Exit.EXPOSED] * 4
    assert len(lines(Path("results.ndjson").read_bytes())) == 1 + 2 * 9 + 9


# -- pace ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--rate", "--rate-network", "--rate-host"])
def test_no_server_sees_more_connections_a_second_than_the_rate(option: str):
    moments: list[float] = []
    locked = threading.Lock()

    def counted(connection: socket.socket) -> None:
        with locked:
            moments.append(time.monotonic())
        peers.pop2(connection)

    with peers.serving(counted) as endpoint:
        run = mailseal("scan", str(endpoint), "--prove", *UNPACED, option, "2", "--again", "never")
    assert run.returncode == Exit.EXPOSED
    moments.sort()
    assert len(moments) >= 2
    assert all(later - earlier > 0.9 for earlier, later in zip(moments, moments[2:], strict=False))


def test_who_says_later_is_asked_again_and_told_of_once():
    calls = 0

    def busy_once(connection: socket.socket) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            connection.sendall(b"-ERR [SYS/TEMP] too many connections\r\n")
        else:
            peers.pop2(connection)

    with peers.serving(busy_once) as endpoint:
        run = mailseal("scan", str(endpoint), *NDJSON, "--again", "0.5,1")
        calls = 0
        never = mailseal("scan", str(endpoint), *NDJSON, "--again", "never")
    assert [line["verdict"] for line in lines(run.stdout)] == ["exposed"]
    assert [line["verdict"] for line in lines(never.stdout)] == ["inconclusive"]


def test_a_terminal_shows_how_far_it_is():
    with peers.closed() as closed:
        code, shown = on_terminal(
            "scan", "127.0.0.0/23", "--ports", str(closed.port), "--rate", "200"
        )
    assert code == Exit.CLEAN
    assert b" of 510, " in shown
    assert b"/s, " in shown
    assert b" s left, 0 exposed" in shown
    assert shown.rstrip().endswith(
        b"510 endpoints: 0 exposed, 0 refused, 510 absent, 0 inconclusive"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3600, "1 h 00 min"), (90_061, "25 h 01 min")],
)
def test_times_for_people(seconds: float, words: str):
    assert duration(seconds) == words


def test_time_limits_of_each_step_are_options():
    with peers.serving(peers.forever(b"", 0.2)) as silent:
        began = time.monotonic()
        limits = ("--timeout", "20", "--timeout-connect", "1", "--timeout-total", "1.5")
        run = mailseal("scan", str(silent), *limits, "--no-tls-versions")
        took = time.monotonic() - began
    assert run.returncode == Exit.INCONCLUSIVE
    assert took < 12


def test_an_endpoint_is_looked_at_on_every_mail_port_where_none_is_named():
    run = mailseal("scan", "127.0.0.77", *NDJSON)
    ports = sorted(line["endpoint"]["port"] for line in lines(run.stdout))
    assert ports == [25, 109, 110, 143, 465, 587, 993, 995, 4190]
