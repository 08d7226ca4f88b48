"""The legacy POP2 server answers like UW ipop2d, on anything it may be started on.

Strategy: dialogues are data, run in this process over a socket pair with the log in sight; the
ways to be started (socket, pipe, listeners, signals) are run as the real program.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailseal.demo import pop2d
from mailseal.demo.pop2d import Session, Settings, Wire, parse_address

PASSWORD = b"se cret\\"
QUOTED = rb"se\ cret\\"
FIRST = b"From: a@example.org\r\nSubject: one\r\n\r\nHello.\r\nFrom here on.\r\n\r\n"
SECOND = b"From: b@example.org\r\nSubject: two\r\n\r\nLast.\r\n"
MBOX = (
    b"From a@example.org Mon Jan  1 00:00:00 2024\nFrom: a@example.org\nSubject: one\n\n"
    b"Hello.\nFrom here on.\n\n"
    b"From b@example.org Mon Jan  1 00:00:00 2024\nFrom: b@example.org\nSubject: two\n\n"
    b"Last.\n"
)
GREETING = b"+ POP2 %s v1.0 server ready\r\n" % os.fsencode(socket.gethostname())
LOGIN = b"HELO alice " + QUOTED


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Alice with two messages, Bob without a mailbox."""
    (tmp_path / "users").write_bytes(b"# who: word\nbob:x\nalice:" + PASSWORD + b"\n")
    (tmp_path / "alice").write_bytes(MBOX)
    return Settings(tmp_path / "users", tmp_path, bad_login_seconds=0)


def talk(settings: Settings, sent: bytes, leave: bool = True) -> tuple[bytes, list[str]]:
    """All the server says to ``sent``, and its log; ``leave`` ends the input behind it."""
    log: list[str] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(sent)
        if leave:
            ours.shutdown(socket.SHUT_WR)
        wire = Wire(theirs.fileno(), theirs.fileno())
        Session(settings, wire, "[192.0.2.7]", log.append).run()
        theirs.shutdown(socket.SHUT_RDWR)
        return ours.makefile("rb").read(), log


BYE = b"+ Sayonara\r\n"
OPEN = b"#2 messages in SPOOL/alice\r\n"
BOGUS = b"- Bogus or out of sequence command\r\n"
SIZE_1 = b"=%d characters in message 1\r\n" % len(FIRST)
SIZE_2 = b"=%d characters in message 2\r\n" % len(SECOND)
END = b"=0 No more messages\r\n"

DIALOGUES = {
    "quit at once": ([b"QUIT"], BYE),
    "small letters, newline only": ([b"quit\n"], BYE),
    "bare HELO is taken and ends it": ([b"HELO", b"QUIT"], b"- Missing user or password\r\n" + BYE),
    "no password": ([b"HELO alice", b"QUIT"], b"- Missing user or password\r\n" + BYE),
    "wrong password": ([b"HELO alice guess", b"QUIT"], b"- Bad login\r\n" + BYE),
    "unknown user": ([b"HELO carol x"], b"- Bad login\r\n" + BYE),
    "a path is no user": ([b"HELO ../alice x"], b"- Bad login\r\n" + BYE),
    "no login for another host": ([b"HELO imap.example.org:alice x"], b"- Bad login\r\n" + BYE),
    "unquoted password": ([rb"HELO alice se cret" + b"\\\\"], OPEN),
    "login": ([LOGIN, b"QUIT"], OPEN + BYE),
    "user without mailbox": (
        [b"HELO bob x", b"READ", b"QUIT"],
        b"#0 messages in <none>\r\n" + END + BYE,
    ),
    "other folder": ([LOGIN, b"FOLD lists", b"QUIT"], OPEN + b"#0 messages in <none>\r\n" + BYE),
    "same folder": ([LOGIN, b"FOLD inbox", b"QUIT"], OPEN + OPEN + BYE),
    "no folder": ([LOGIN, b"FOLD"], OPEN + b"- Missing mailbox name\r\n" + BYE),
    "read all": (
        [LOGIN, b"READ", b"RETR", b"ACKS", b"RETR", b"ACKS", b"QUIT"],
        OPEN + SIZE_1 + FIRST + SIZE_2 + SECOND + END + BYE,
    ),
    "read by number": (
        [LOGIN, b"READ 2", b"RETR", b"ACKS", b"QUIT"],
        OPEN + SIZE_2 + SECOND + END + BYE,
    ),
    "not acknowledged": (
        [LOGIN, b"READ 1", b"RETR", b"NACK", b"QUIT"],
        OPEN + SIZE_1 + FIRST + SIZE_1 + BYE,
    ),
    "no such message": (
        [LOGIN, b"READ 3"],
        OPEN + b"- Invalid message number given to READ\r\n" + BYE,
    ),
    "no number": ([LOGIN, b"READ x"], OPEN + b"- Invalid message number given to READ\r\n" + BYE),
    "deleted is gone": (
        [LOGIN, b"READ", b"RETR", b"ACKD", b"READ 1", b"RETR"],
        OPEN + SIZE_1 + FIRST + SIZE_2 + b"=0 characters in message 1\r\n" + BYE,
    ),
    "unknown command": ([b"CAPA", b"QUIT"], BOGUS),
    "before the login": ([b"READ 1"], BOGUS),
    "retrieved without being chosen": ([LOGIN, b"RETR"], OPEN + BOGUS),
    "quit in the middle of a message": (
        [LOGIN, b"READ", b"RETR", b"QUIT"],
        OPEN + SIZE_1 + FIRST + BOGUS,
    ),
    "second login": ([LOGIN, LOGIN], OPEN + BOGUS),
    "argument too many": ([b"QUIT now"], b"- Bogus argument given to QUIT\r\n"),
    "empty line": ([b""], b"- Missing or null command\r\n"),
    "longest line": ([b"x" * (pop2d.MAX_LINE - 2)], BOGUS),
    "line too long": ([b"HELO alice " + b"x" * pop2d.MAX_LINE], b"- Command line too long\r\n"),
    "a TLS client": ([b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03"], BOGUS),
    "gone after the login": ([LOGIN], OPEN),
}


@pytest.mark.parametrize(("commands", "answers"), DIALOGUES.values(), ids=DIALOGUES.keys())
def test_dialogue(settings: Settings, commands: list[bytes], answers: bytes) -> None:
    sent = b"".join(line if line.endswith(b"\n") else line + b"\r\n" for line in commands)
    said, log = talk(settings, sent)
    assert said == GREETING + answers.replace(b"SPOOL", os.fsencode(settings.spool))
    assert not [line for line in log if "cret" in line or "guess" in line]
    assert (settings.spool / "alice").read_bytes() == MBOX


def test_what_was_deleted_goes_at_the_end_and_new_mail_stays(settings: Settings) -> None:
    mailbox = pop2d.Mailbox(settings.spool / "alice")
    mailbox.delete(1)
    arrived = b"\nFrom c@example.org Mon Jan  1 00:00:00 2024\n\nNew.\n"
    with (settings.spool / "alice").open("ab") as file:
        file.write(arrived)
    mailbox.expunge()
    assert (settings.spool / "alice").read_bytes() == MBOX[MBOX.index(b"From b@") :] + arrived

    said, _ = talk(settings, LOGIN + b"\r\nREAD\r\nRETR\r\nACKD\r\nQUIT\r\n")
    assert said.endswith(b"characters in message 2\r\n" + BYE)
    assert (settings.spool / "alice").read_bytes() == arrived[1:]


def test_a_mailbox_somebody_rewrote_is_left_alone(settings: Settings) -> None:
    mailbox = pop2d.Mailbox(settings.spool / "alice")
    mailbox.delete(1)
    (settings.spool / "alice").write_bytes(b"something else\n")
    mailbox.expunge()
    assert (settings.spool / "alice").read_bytes() == b"something else\n"


def test_the_log_says_who_came_from_where(settings: Settings) -> None:
    assert talk(settings, LOGIN + b"\r\nQUIT\r\n")[1] == [
        "Login user=alice host=[192.0.2.7]",
        "Logout user=alice host=[192.0.2.7]",
    ]
    assert talk(settings, b"HELO al\x1b[2Jice\xff x\r\n")[1] == [
        "Login failure user=al?[2Jice\\xff host=[192.0.2.7]",
        "Logout user=al?[2Jice\\xff host=[192.0.2.7]",
    ]
    assert talk(settings, b"HEL")[1] == [
        "Unexpected client disconnect, while reading line user=??? host=[192.0.2.7]"
    ]


def test_a_users_file_that_cannot_be_read_ends_the_session(settings: Settings) -> None:
    settings.users.unlink()
    said, log = talk(settings, LOGIN + b"\r\n")
    assert said == GREETING
    assert log == ["No such file or directory, while serving user=alice host=[192.0.2.7]"]


def test_a_silent_client_is_logged_out(settings: Settings) -> None:
    said, log = talk(settings._replace(login_seconds=0.05), b"HELO ali", leave=False)
    assert said == GREETING + b"- Autologout; idle for too long\r\n"
    assert log == ["Autologout user=??? host=[192.0.2.7]"]
    said, log = talk(settings._replace(idle_seconds=0.05), LOGIN + b"\r\n", leave=False)
    assert said.endswith(b"alice\r\n- Autologout; idle for too long\r\n")


def test_a_client_that_does_not_read_is_logged_out(settings: Settings) -> None:
    (settings.spool / "alice").write_bytes(MBOX + b"x" * 4_000_000)
    started = time.monotonic()
    said, log = talk(
        settings._replace(idle_seconds=0.2), LOGIN + b"\r\nREAD 2\r\nRETR\r\n", leave=False
    )
    assert log[-1] == "Autologout user=alice host=[192.0.2.7]"
    assert len(said) < 4_000_000
    assert time.monotonic() - started < 10


def test_a_refused_login_waits(settings: Settings) -> None:
    started = time.monotonic()
    talk(settings._replace(bad_login_seconds=0.2), b"HELO alice guess\r\n")
    assert time.monotonic() - started >= 0.2


def test_disabled(settings: Settings) -> None:
    said, _ = talk(settings._replace(disabled=True), b"HELO\r\n")
    assert said == b"- POP2 server disabled on this system\r\n"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:109", (socket.AF_INET, ("127.0.0.1", 109))),
        ("[::]:0", (socket.AF_INET6, ("::", 0))),
        ("unix:/run/pop2", (socket.AF_UNIX, "/run/pop2")),
    ],
)
def test_addresses(text: str, parsed: object) -> None:
    assert parse_address(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "109", ":109", "localhost", "127.0.0.1:65536", "unix:x", "a:-1"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not an address"):
        parse_address(text)


# ---- the program ----

COMMAND = [sys.executable, "-I", str(pop2d.__file__)]


def files(settings: Settings) -> list[str]:
    return ["--users", str(settings.users), "--spool", str(settings.spool)]


@contextmanager
def serving(settings: Settings, *options: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The stand-alone program and the addresses it serves."""
    listens = [option for address in options for option in ("--listen", address)]
    with subprocess.Popen(
        [*COMMAND, *files(settings), *listens], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            lines = [process.stderr.readline() for _ in options]
            yield process, [line.removeprefix("listening on ").strip() for line in lines]
        finally:
            process.kill()


def connect(address: str) -> socket.socket:
    family, where = parse_address(address)
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(where)
    return connection


def test_listeners_of_every_kind(settings: Settings) -> None:
    path = settings.spool / "socket"
    asked = ["127.0.0.1:0", "[::1]:0", f"unix:{path}"]
    with serving(settings, *asked) as (process, addresses):
        assert [re.sub(r":\d+$", ":0", address) for address in addresses] == asked
        connections = [connect(address) for address in addresses]
        for connection in connections:  # all open at the same time
            with connection, connection.makefile("rwb") as wire:
                assert wire.readline() == GREETING
                wire.write(LOGIN + b"\r\nQUIT\r\n")
                wire.flush()
                assert wire.read().endswith(b"/alice\r\n" + BYE)
        with connect(addresses[0]) as waiting:
            assert waiting.makefile("rb").readline() == GREETING
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert waiting.recv(1) == b""
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert not path.exists()


def test_both_families_on_one_port(settings: Settings) -> None:
    with serving(settings, "0.0.0.0:0") as (_, (address,)):
        port = address.rpartition(":")[2]
        with serving(settings, f"[::]:{port}") as (_, (other,)):
            assert other == f"[::]:{port}"
            with connect(f"[::1]:{port}") as connection:
                assert connection.makefile("rb").readline() == GREETING


def test_a_port_that_is_taken_is_said(settings: Settings) -> None:
    with serving(settings, "127.0.0.1:0") as (_, (address,)):
        command = [*COMMAND, *files(settings), "--listen", address]
        second = subprocess.run(command, capture_output=True, text=True, timeout=10)
    assert second.returncode == 1
    assert second.stderr == "ipop2d: cannot listen: [Errno 98] Address already in use\n"


def test_an_ordinary_file_is_not_taken_for_a_stale_socket(settings: Settings) -> None:
    command = [*COMMAND, *files(settings), "--listen", f"unix:{settings.users}"]
    assert subprocess.run(command, capture_output=True, timeout=10).returncode == 1
    assert settings.users.exists()


def test_readiness_is_announced_to_systemd(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(settings.spool / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        with serving(settings, "127.0.0.1:0"):
            assert notify.recv(100) == b"READY=1"


def test_a_session_on_pipes(settings: Settings) -> None:
    done = subprocess.run(
        [*COMMAND, *files(settings)], input=LOGIN + b"\r\nQUIT\r\n", capture_output=True, timeout=10
    )
    assert done.stdout == GREETING + OPEN.replace(b"SPOOL", os.fsencode(settings.spool)) + BYE
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_a_session_on_a_socket(settings: Settings, family: socket.AddressFamily) -> None:
    addresses = {socket.AF_INET: "127.0.0.1:0", socket.AF_INET6: "[::1]:0"}
    with socket.socket(family) as listener:
        address = addresses.get(family)
        listener.bind(parse_address(address)[1] if address else str(settings.spool / "socket"))
        listener.listen()
        with socket.socket(family) as ours:
            ours.settimeout(10)
            ours.connect(listener.getsockname())
            theirs, _ = listener.accept()
            with theirs:
                server = subprocess.Popen(
                    [*COMMAND, *files(settings)], stdin=theirs.fileno(), stdout=theirs.fileno()
                )
            with server, ours.makefile("rwb") as wire:
                assert wire.readline() == GREETING
                wire.write(b"QUIT\r\n")
                wire.flush()
                assert wire.read() == BYE
        assert server.returncode == 0


def test_the_option_that_disables(settings: Settings) -> None:
    command = [*COMMAND, *files(settings), "--greeting-only-disabled"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    assert done.stdout == b"- POP2 server disabled on this system\r\n"
