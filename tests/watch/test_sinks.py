"""Notices on their way: real sockets, peers that hang, drip, lie and refuse."""

from __future__ import annotations

import contextlib
import email
import email.policy
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailseal.model.finding import Severity
from mailseal.model.watching import Event, Ledger, Mail, Notice, Syslog, Webhook
from mailseal.system.base import Completed
from mailseal.watch.alerts import step
from mailseal.watch.sinks import deliver, message
from tests.watch.receivers import HOSTILE, notice, receiver, trouble

ANSWER = b"HTTP/1.1 %d Some words\r\nContent-Length: 0\r\n\r\n"


def hostile() -> Notice:
    """A notice as it is made of what a server said to do harm."""
    bad = trouble(text=HOSTILE, where=HOSTILE)
    (made,) = step(receiver(), Ledger({}), {bad.id: bad}, (), 1769860800.0, HOSTILE).waiting
    return made


class Peer:
    """Whoever is connected to: it runs `talk` with each connection."""

    def __init__(self, talk: Callable[[socket.socket], object]) -> None:
        self._talk = talk
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.faults: list[BaseException] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection:
                    connection.settimeout(10)
                    try:
                        self._talk(connection)
                    except OSError:
                        pass
                    except BaseException as fault:
                        self.faults.append(fault)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)
        assert self.faults == []


@contextlib.contextmanager
def peer(talk: Callable[[socket.socket], object]) -> Iterator[Peer]:
    with contextlib.closing(Peer(talk)) as made:
        yield made


def request(connection: socket.socket) -> bytes:
    """A whole request."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += connection.recv(65536)
    head, _, body = read.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def hook(port: int, secret: str = "", scheme: str = "http", authority: str = "") -> Webhook:
    return Webhook(f"{scheme}://127.0.0.1:{port}/hook?a=b", "X-Token", secret, authority)


def sent(way: Webhook | Mail | Syslog, what: Notice | None = None, limit: float = 2.0) -> str:
    def run(words: list[str], data: bytes, seconds: float) -> Completed:
        done = subprocess.run(words, input=data, timeout=seconds, check=False, capture_output=True)
        return Completed(tuple(words), done.returncode, done.stdout, done.stderr)

    def show(shown: Notice) -> None:
        raise AssertionError("nothing is printed here")

    return deliver(receiver(way, limit=limit), what or notice(), run, show)


# ---- webhook -------------------------------------------------------------------------------


def test_a_webhook_gets_the_notice_as_a_record_and_the_secret_in_its_header(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("Bearer 12345\nnot this\n")
    secret.chmod(0o600)
    got: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        got.append(request(connection))
        connection.sendall(ANSWER % 204)

    with peer(talk) as there:
        assert sent(hook(there.port, str(secret)), hostile()) == ""
    head, _, body = got[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert b"\r\nX-Token: Bearer 12345\r\n" in head + b"\r\n"
    assert b"\r\nHost: 127.0.0.1:%d\r\n" % there.port in head
    assert body.isascii()
    record = json.loads(body)
    assert (record["type"], record["version"], record["event"]) == ("Notice", 1, "drift")
    assert record["text"].isprintable()


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
def test_a_webhook_that_answers_anything_but_success_did_not_take_it(status: int):
    def talk(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(ANSWER % status)

    with peer(talk) as there:
        assert sent(hook(there.port)) == f"it answered {status}"


def test_a_redirection_takes_the_secret_nowhere(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("12345")
    visited: list[bytes] = []

    def elsewhere(connection: socket.socket) -> None:
        visited.append(request(connection))

    with peer(elsewhere) as other:

        def talk(connection: socket.socket) -> None:
            request(connection)
            to = b"Location: http://127.0.0.1:%d/\r\n" % other.port
            connection.sendall(b"HTTP/1.1 307 Go\r\n" + to + b"Content-Length: 0\r\n\r\n")

        secret.chmod(0o600)
        with peer(talk) as there:
            assert sent(hook(there.port, str(secret))) == "it answered 307"
    assert visited == []


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def hang(connection: socket.socket) -> None:
    connection.recv(1 << 20)
    time.sleep(1.5)


def flood(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X: y\r\n" * 1000)


@pytest.mark.parametrize("talk", [hang, drip])
def test_a_webhook_that_hangs_or_drips_is_left_in_time(talk: Callable[[socket.socket], object]):
    with peer(talk) as there:
        began = time.monotonic()
        assert sent(hook(there.port), limit=1.0) == "no answer within 1 seconds"
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "talk",
    [
        flood,
        lambda connection: connection.sendall(b"+ POP2 mail.example\r\n" * 3),
        lambda connection: connection.sendall(b"HTTP/1.1 ok\r\n\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 \xff\xff\r\n\r\n"),
        lambda connection: connection.sendall(b"x" * 1000000),
        lambda connection: None,
    ],
    ids=["flood", "pop2", "status", "octets", "endless", "silent"],
)
def test_a_webhook_that_is_none_is_no_success(talk: Callable[[socket.socket], object]):
    with peer(talk) as there:
        why = sent(hook(there.port))
    assert why
    assert why.isprintable()


def test_nobody_there_is_said():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert sent(hook(port)) == "Connection refused"


def test_a_secret_that_everybody_can_read_or_nobody_can_send_is_refused(tmp_path: Path):
    path = tmp_path / "secret"
    assert "No such file" in sent(hook(9, str(path)))
    path.write_text("12345")
    path.chmod(0o644)
    assert "everybody can read the secret" in sent(hook(9, str(path)))
    path.chmod(0o600)
    for text in (b"", b"\n12345", b"a\x00b", b"\xc3\xbc"):
        path.write_bytes(text)
        assert "is no secret of printable ASCII" in sent(hook(9, str(path)))


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    words += (
        f" -subj /CN=hook -addext subjectAltName=IP:127.0.0.1 -keyout {path}.key -out {path}.crt"
    )
    subprocess.run(words.split(), check=True, capture_output=True)
    path.write_bytes(Path(f"{path}.key").read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def encrypted(
    pem: Path, talk: Callable[[socket.socket], object]
) -> Callable[[socket.socket], object]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def over(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inside:
            talk(inside)

    return over


def test_a_webhook_inside_tls_must_be_trusted(pem: Path):
    got: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        got.append(request(connection))
        connection.sendall(ANSWER % 200)

    with peer(encrypted(pem, talk)) as there:
        assert "certificate" in sent(hook(there.port, scheme="https"))
        assert got == []
        assert sent(hook(there.port, scheme="https", authority=str(pem))) == ""
    assert len(got) == 1


def test_a_webhook_that_drips_inside_tls_is_left_in_time(pem: Path):
    with peer(encrypted(pem, drip)) as there:
        way = hook(there.port, scheme="https", authority=str(pem))
        assert sent(way, limit=1.0) == "no answer within 1 seconds"


# ---- mail ----------------------------------------------------------------------------------

TO = ("admin@mail.example", "second@mail.example")


def mail(port: int = 0, sendmail: str = "", starttls: bool = False, authority: str = "") -> Mail:
    smtp = ("127.0.0.1", port) if port else None
    return Mail(TO, "mailseal@mail.example", sendmail, smtp, starttls, authority)


def served(connection: socket.socket, got: list[bytes], pem: Path | None = None) -> None:
    """A mail server, as far as it matters."""
    connection.sendall(b"220-mail.example\r\n220 ready\r\n")
    greeted(connection, got, pem)


def greeted(connection: socket.socket, got: list[bytes], pem: Path | None = None) -> None:
    reading = connection.makefile("rb")
    while line := reading.readline():
        got.append(line.rstrip())
        if line == b"DATA\r\n":
            connection.sendall(b"354 go on\r\n")
            text = b""
            while not text.endswith(b"\r\n.\r\n"):
                text += reading.readline()
            got.append(text)
        elif line == b"STARTTLS\r\n" and pem:
            connection.sendall(b"220 go on\r\n")

            reading.close()
            encrypted(pem, lambda inside: greeted(inside, got))(connection)
            return
        connection.sendall(b"250-mail.example\r\n250 ok\r\n")
        if line == b"QUIT\r\n":
            break
    reading.close()


def test_mail_is_handed_to_a_host_and_nothing_in_it_begins_a_header_or_ends_it():
    got: list[bytes] = []
    with peer(lambda connection: served(connection, got)) as there:
        assert sent(mail(there.port), hostile()) == ""
    commands = [line.split()[0] for line in got[:-2]]
    assert commands == [b"EHLO", b"MAIL", b"RCPT", b"RCPT", b"DATA"]
    parsed = email.message_from_bytes(got[-2], policy=email.policy.default)
    assert parsed["Bcc"] is None
    assert parsed["To"] == ", ".join(TO)
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert "drift: pop2-cleartext-login" in parsed["Subject"]
    assert "\\x0d\\x0aBcc: eve@example.net" in parsed.get_content()


def test_mail_goes_through_starttls_and_only_to_whom_is_trusted(pem: Path):
    got: list[bytes] = []
    with peer(lambda connection: served(connection, got, pem)) as there:
        assert sent(mail(there.port, starttls=True, authority=str(pem))) == ""
        assert got[:2][1] == b"STARTTLS"
        assert got[-1] == b"QUIT"
        got.clear()
        assert "certificate" in sent(mail(there.port, starttls=True))
        assert got[-1] == b"STARTTLS"


def says(*lines: bytes) -> Callable[[socket.socket], object]:
    def talk(connection: socket.socket) -> None:
        for line in lines:
            connection.sendall(line)
            connection.recv(65536)

    return talk


def endless(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"220-more\r\n" * 1000)


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        (says(b"554 no\r\n"), "the mail server answered 554"),
        (says(b"220 a\r\n", b"250 b\r\n", b"451 later\r\n"), "the mail server answered 451"),
        (
            says(b"220 a\r\n", b"250 b\r\n", b"250 c\r\n", b"550 who\r\n"),
            "the mail server answered 550",
        ),
        (says(b"+ POP2\r\n"), "the mail server's answer is none"),
        (says(b"x" * 5000), "the mail server left in the middle of an answer"),
        (endless, "the mail server left in the middle of an answer"),
        (says(), "the mail server left in the middle of an answer"),
        (lambda connection: time.sleep(1.5), "no answer within 1 seconds"),
    ],
    ids=["no", "later", "nobody", "pop2", "long", "endless", "silent", "hangs"],
)
def test_a_mail_server_that_refuses_lies_or_hangs(
    talk: Callable[[socket.socket], object], why: str
):
    with peer(talk) as there:
        assert sent(mail(there.port), limit=1.0) == why


def test_mail_is_handed_to_the_program_of_the_system(tmp_path: Path):
    program = tmp_path / "sendmail"
    script = (
        "import sys; open(sys.argv[0] + '.got', 'w').write(repr(sys.argv[1:]) + sys.stdin.read())"
    )
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(0o755)
    assert sent(mail(sendmail=str(program)), hostile()) == ""
    words, _, text = (tmp_path / "sendmail.got").read_text().partition("]")
    assert words == "['-i', '-f', 'mailseal@mail.example', '--', %r, %r" % TO
    assert "\r" not in text
    assert "\nBcc:" not in text


def test_a_program_that_fails_did_not_take_it():
    assert sent(mail(sendmail="/bin/false")) == "/bin/false exited 1"


def test_a_message_keeps_what_belongs_together_together():
    drift, over = (
        email.message_from_bytes(message(mail(), notice(id=each.value, event=each)))
        for each in (Event.DRIFT, Event.RECOVERY)
    )
    assert drift["References"] == over["References"]
    assert drift["Message-ID"] != over["Message-ID"]


# ---- syslog --------------------------------------------------------------------------------


def test_syslog_gets_one_line_of_the_right_level(tmp_path: Path):
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(5)
        assert sent(Syslog(3, path), hostile()) == ""
        line = listening.recv(65536).decode()
        assert line.startswith(f"<27>mailseal[{os.getpid()}]: drift: pop2-cleartext-login at ")
        assert line.isprintable()
        assert (
            sent(Syslog(19, path), notice(event=Event.RECOVERY, severity=Severity.CRITICAL)) == ""
        )
        assert listening.recv(65536).startswith(b"<157>")
        assert sent(Syslog(3, path), notice(text="ü" * 3000)) == ""
        assert len(listening.recv(65536)) in (1999, 2000)


def test_syslog_that_is_not_there_or_does_not_read_is_said(tmp_path: Path):
    path = str(tmp_path / "log")
    assert sent(Syslog(3, path)) == "No such file or directory"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        why = ""
        for _ in range(2000):
            if why := sent(Syslog(3, path), notice(text="x" * 1900), limit=0.3):
                break
        assert why == "no answer within 0.3 seconds"
