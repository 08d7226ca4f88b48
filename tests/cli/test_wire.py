"""`mailseal wire` as it is used: files, stdin, an interface, and what is wrong with each."""

import csv
import gzip
import io
import json
import lzma
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from mailseal.cli.exits import Exit
from mailseal.protocols.base import Side
from tests.capture import make
from tests.capture.test_observer import EXCHANGES, SECRETS
from tests.cli.program import PROGRAM, environment, mailseal, on_terminal
from tests.project.tree import ROOT as SOURCE

FRAMES = make.frames_of(make.conversation(make.POP3))
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a packet socket needs root")


def put(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def test_a_capture_says_who_logs_in(tmp_path: Path):
    done = mailseal("wire", put(tmp_path, "a.pcap", make.pcap(FRAMES)))
    out = done.stdout.decode()
    assert done.returncode == Exit.EXPOSED
    assert "Logins in cleartext\n" in out
    assert "somebody  192.0.2.7  192.0.2.10:110  USER       accepted  1" in out
    assert "s3cret" not in out
    assert out.splitlines()[-1].startswith(f"{len(FRAMES)} packets, 1 mail sessions")
    assert b"not recorded: 1 logins from more than 90 days ago" in done.stderr


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["plain", "gz", "xz"])
@pytest.mark.parametrize("form", [make.pcap, make.pcapng])
def test_stdin_is_a_capture_too_compressed_or_not(form, pack):
    done = mailseal("wire", "--format", "json", "-", stdin=pack(form(FRAMES)))
    [judged] = json.loads(done.stdout)["logins"]
    assert (judged["meaning"], judged["login"]["user"]) == ("cleartext", "somebody")


def test_zstd(tmp_path: Path):
    zstandard = pytest.importorskip("zstandard")
    data = zstandard.ZstdCompressor().compress(make.pcap(FRAMES))
    assert mailseal("wire", put(tmp_path, "a", data)).returncode == Exit.EXPOSED


def test_forms_for_programs(tmp_path: Path):
    path = put(tmp_path, "a.pcap", make.pcap(FRAMES))
    lines = [
        json.loads(line)
        for line in mailseal("wire", "--format", "ndjson", path).stdout.splitlines()
    ]
    assert [line["type"] for line in lines] == ["JudgedLogin", "Logins"]
    rows = csv.DictReader(io.StringIO(mailseal("wire", "--format", "csv", path).stdout.decode()))
    assert [row["user"] for row in rows] == ["somebody"]
    out = tmp_path / "out.json"
    assert mailseal("wire", "--format", "json", "-o", str(out), path).returncode == Exit.EXPOSED
    assert json.loads(out.read_text())["logins"]
    assert out.stat().st_mode & 0o777 == 0o600


def test_what_was_seen_is_recorded_and_may_be_hidden(tmp_path: Path):
    """The store knows the user; a report that leaves the house has a pseudonym, always the same."""
    path = put(tmp_path, "a.pcap", recent(FRAMES))
    env = {"MAILSEAL_STORE": str(tmp_path / "store"), "XDG_DATA_HOME": str(tmp_path)}
    hidden = [mailseal("wire", "--redact-users", path, env=env).stdout for _ in range(2)]
    assert hidden[0] == hidden[1]
    assert b"user-" in hidden[0]
    assert b"somebody" not in hidden[0]
    known = mailseal("findings", "--logins", env=env).stdout
    assert b"somebody" in known
    assert b"pop3-cleartext-login" in mailseal("findings", env=env).stdout
    other = {**env, "MAILSEAL_STORE": str(tmp_path / "other")}
    mailseal("wire", "--no-store", path, env=other)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("port", EXCHANGES)
def test_no_secret_is_in_anything_that_is_written(port: int, tmp_path: Path):
    """Outputs, the store and its files, of whole captures and of those with gaps."""
    frames = make.frames_of(make.conversation(EXCHANGES[port], port))
    env = {"MAILSEAL_STORE": str(tmp_path / "store"), "XDG_DATA_HOME": str(tmp_path)}
    outputs = b""
    for number in range(0, len(frames), 3):
        path = put(tmp_path, "a.pcap", recent(frames[:number] + frames[number + 1 :]))
        for form in ("text", "json", "ndjson", "csv"):
            done = mailseal("wire", "--format", form, path, env=env)
            outputs += done.stdout + done.stderr
        os.unlink(path)
    for arguments in (("findings", "--logins"), ("findings", "--format", "json")):
        outputs += mailseal(*arguments, env=env).stdout
    written = b"".join(each.read_bytes() for each in tmp_path.iterdir() if each.is_file())
    assert b"somebody" in outputs
    assert b"somebody" in written
    assert [secret for secret in SECRETS if secret in outputs + written] == []


def test_names_that_mean_harm_are_shown_harmless(tmp_path: Path):
    """To a terminal and to a spreadsheet."""
    for user in (b"=1+1", b"\x1b[31mred", b"a\xe2\x80\xaeb"):
        blocks = [(side, data.replace(b"somebody", user)) for side, data in make.POP3]
        path = put(tmp_path, "a", make.pcap(make.frames_of(make.conversation(blocks))))
        for form in ("text", "csv", "json"):
            out = mailseal("wire", "--format", form, path).stdout
            assert b"\x1b" not in out
            assert b"\xe2\x80\xae" not in out
            assert form != "csv" or (b"\n=1" not in out and b",=1" not in out)


def test_nothing_in_cleartext_is_clean_and_what_is_missing_is_not(tmp_path: Path):
    sealed = [(Side.SERVER, b"+OK\r\n"), (Side.CLIENT, b"STLS\r\n"), (Side.SERVER, b"+OK\r\n")]
    clean = make.pcap(make.frames_of(make.conversation(sealed)))
    done = mailseal("wire", put(tmp_path, "clean", clean))
    assert done.returncode == Exit.CLEAN
    assert b"1 sealed by STARTTLS" in done.stdout
    done = mailseal("wire", put(tmp_path, "cut", clean[:-3]))
    assert done.returncode == Exit.INCONCLUSIVE
    assert b"the file ends within a packet" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("/nonexistent.pcap",), b"cannot be read"),
        (("/dev/null",), b"it is empty"),
        (("/bin/sh",), b"it is no capture"),
        ((), b"give captures, or --interface"),
        (("a", "-i", "lo"), b"give captures, or --interface"),
        (("--seconds", "3", "a"), b"go with --interface"),
        (("--ports", "0", "a"), b"write numbers"),
        (("--ports", "pop3", "a"), b"write numbers"),
        (("-i", "nowhere0"), b"nowhere0"),
    ],
)
def test_bad_input_is_a_clear_word_and_exit_2(arguments: tuple[str, ...], words: bytes):
    done = mailseal("wire", *arguments)
    assert done.returncode == Exit.USAGE
    assert words in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path):
    """Shown by a pipe's size in the kernel: the reader waits within the file while it is cut."""
    path = tmp_path / "a.pcap"
    path.write_bytes(make.pcap(FRAMES * 20000))
    command = [*PROGRAM, "wire", "--format", "json", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as child:

        def offset() -> int:
            try:
                places = Path(f"/proc/{child.pid}/fdinfo")
                links = Path(f"/proc/{child.pid}/fd")
                for each in links.iterdir():
                    if os.readlink(each) == str(path):
                        return int((places / each.name).read_text().split()[1])
            except OSError:
                pass
            return 0

        end = time.monotonic() + 20
        while not 0 < offset() < path.stat().st_size and child.poll() is None:
            assert time.monotonic() < end
        child.send_signal(signal.SIGSTOP)
        where = offset()
        os.truncate(path, where + 100 if where else 100)
        child.send_signal(signal.SIGCONT)
        assert child.stdout is not None
        document = json.loads(child.stdout.read())
        assert child.wait() == Exit.EXPOSED
    assert document["logins"]
    assert "became shorter while it was read" in " ".join(document["partial"])


def recent(frames: list[bytes]) -> bytes:
    """A capture of a few minutes ago."""
    data = bytearray(make.pcap(frames))
    at = 24
    for frame in frames:
        struct.pack_into("<I", data, at, int(time.time()) - 300)
        at += 16 + len(frame)
    return bytes(data)


def served(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        for side, data in make.POP3[:5]:
            if side is Side.SERVER:
                connection.sendall(data)
                connection.recv(100)


def log_in(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        for side, data in make.POP3[:5]:
            if side is Side.CLIENT:
                client.recv(100)
                client.sendall(data)
        client.recv(100)


@ROOT
@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM", "packets", "seconds"])
def test_an_interface_until_it_is_enough(stop: str):
    limits = {"packets": ["--packets", "5"], "seconds": ["--seconds", "6"]}.get(stop, [])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = ["wire", "-i", "lo", "--ports", str(port), "--format", "ndjson", *limits]
        with subprocess.Popen(
            [*PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        ) as child:
            try:
                thread = threading.Thread(target=served, args=(server,))
                thread.start()
                end = time.monotonic() + 60
                while not hears(child.pid) and time.monotonic() < end:
                    time.sleep(0.05)
                assert hears(child.pid), "it does not listen"
                log_in(port)
                thread.join()
                assert child.stdout is not None
                first = b"" if limits else child.stdout.readline()
                if stop.startswith("SIG"):
                    child.send_signal(getattr(signal, stop))
                rest, errors = child.communicate(timeout=20)
            finally:
                child.kill()
    lines = [json.loads(line) for line in (first + rest).splitlines()]
    # From the host itself: a terminator may have passed it on.
    assert child.returncode == Exit.INCONCLUSIVE, errors
    assert [line["type"] for line in lines] == ["JudgedLogin", "Logins"]
    assert lines[1]["counts"]["packets dropped"] == 0


def hears(pid: int) -> bool:
    """Whether a child of the process has a packet socket that is bound: until then it hears
    nothing.
    """
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for child in children.read_text().split():
        try:
            links = [os.readlink(each) for each in Path(f"/proc/{child}/fd").iterdir()]
        except OSError:
            continue
        inodes = {link[8:-1] for link in links if link.startswith("socket:")}
        # sk, RefCnt, Type, Proto, Iface, R(unning), Rmem, User, Inode
        known = [line.split() for line in Path("/proc/net/packet").read_text().splitlines()[1:]]
        if inodes & {fields[8] for fields in known if fields[5] == "1"}:
            return True
    return False


@ROOT
def test_on_a_terminal_the_table_is_drawn_and_the_last_one_stays():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=served, args=(server,))
        thread.start()
        timer = threading.Timer(2.0, log_in, (port,))
        timer.start()
        code, shown = on_terminal("wire", "-i", "lo", "--ports", str(port), "--seconds", "4")
        timer.join()
        thread.join()
    assert code == Exit.INCONCLUSIVE
    assert shown.count(b"somebody") >= 2
    assert b"1 mail sessions" in shown.splitlines()[-1]


def test_who_reads_no_further_is_no_fault(tmp_path: Path):
    path = put(tmp_path, "a", make.pcap(FRAMES))
    shell = f"{' '.join(PROGRAM)} wire {path} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, env=environment())
    assert int(done.stdout) in (Exit.EXPOSED, Exit.INCONCLUSIVE)
    assert b"Traceback" not in done.stderr


PAGE = SOURCE / "docs/howto/listen-on-the-wire.md"


def test_the_page_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put(tmp_path, "mail.pcap", make.pcap(FRAMES))
    lines = re.findall(r"^\$ mailseal (.+)$", PAGE.read_text(), re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    codes = [mailseal(*shlex.split(line)).returncode for line in lines]
    assert codes == [Exit.EXPOSED] * 4
    assert "user-" in (tmp_path / "report.csv").read_text()


@ROOT
def test_the_page_s_other_lines_are_understood(tmp_path: Path):
    """tcpdump takes the filter; the live line runs, with another interface and a short time."""
    tcpdump, ours = re.findall(r"^```sh\n(.+)\n```$", PAGE.read_text(), re.MULTILINE)
    checked = subprocess.run([*shlex.split(tcpdump)[:1], "-d", shlex.split(tcpdump)[-1]])
    assert checked.returncode == 0
    words = shlex.split(ours)[2:]
    words[words.index("eth0")], words[words.index("86400")] = "lo", "0.5"
    words[words.index("logins.ndjson")] = str(tmp_path / "logins.ndjson")
    assert mailseal(*words).returncode in (Exit.CLEAN, Exit.INCONCLUSIVE, Exit.EXPOSED)
    assert '"type":"Logins"' in (tmp_path / "logins.ndjson").read_text()
