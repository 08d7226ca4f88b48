"""Every protocol's hostile servers, in cleartext and inside the session's TLS: bounded, harmless.

Strategy: protocols x what a server can do at a point of the dialogue. Both drivers must see the
same, in time; nothing that the server said may be more than printable text; and the verdict is
never `refused`: nobody here has refused anything.
"""

import dataclasses
import socket
import ssl
import time
from collections.abc import Callable, Iterator

import pytest
import trustme

from mailseal.assess import assess
from mailseal.model.finding import Verdict
from mailseal.model.look import Observation
from mailseal.probe.look import Limits, Question
from mailseal.protocols.base import Credentials
from tests.probe import peers
from tests.probe.certificates import NAME, server_context
from tests.probe.conftest import DRIVERS

LIMITS = Limits(connect=0.5, answer=0.3, total=1.0)
LONGEST = 8.0
"""Seconds for a look: it may take several connections, each of which ends in time."""

GREETINGS = {
    "pop2": b"+ POP2 ready\r\n",
    "pop3": b"+OK ready\r\n",
    "imap": b"* OK ready\r\n",
    "smtp": b"220 mail.example ESMTP\r\n",
    "managesieve": b'"IMPLEMENTATION" "x"\r\nOK\r\n',
}
CONTINUES = {
    "pop2": b"+ x\r\n",
    "pop3": b"+OK\r\n",
    "imap": b"* CAPABILITY AUTH=PLAIN STARTTLS\r\n",
    "smtp": b"250-AUTH PLAIN LOGIN\r\n",
    "managesieve": b'"SASL" "PLAIN"\r\n',
}
"""What a server of the protocol could go on and on with."""

Act = Callable[[socket.socket, str], None]


def goes_on(connection: socket.socket, protocol: str) -> None:
    peers.forever(CONTINUES[protocol] * 200)(connection)


def an_endless_line(connection: socket.socket, protocol: str) -> None:
    peers.forever(b"x" * 4096)(connection)


def empty_lines(connection: socket.socket, protocol: str) -> None:
    peers.forever(b"\r\n" * 1024)(connection)


def drips(connection: socket.socket, protocol: str) -> None:
    peers.forever(CONTINUES[protocol][:1], 0.05)(connection)


def prompts(connection: socket.socket, protocol: str) -> None:
    for _ in peers.lines(connection):
        connection.sendall(b"+ \r\n334 \r\n")


def literals(connection: socket.socket, protocol: str) -> None:
    for _ in peers.lines(connection):
        connection.sendall(b"* NO {4000000000}\r\n" + b"x" * 4096)


def garbage(connection: socket.socket, protocol: str) -> None:
    for _ in peers.lines(connection):
        connection.sendall(bytes(range(256)) + b"\r\n")


def escapes(connection: socket.socket, protocol: str) -> None:
    for _ in peers.lines(connection):
        connection.sendall(b"\x1b]0;owned\x07\x1b[2J\xe2\x80\xae<script>=cmd|x\r\n")


def tls_record(connection: socket.socket, protocol: str) -> None:
    for _ in peers.lines(connection):
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")


def hangs_up(connection: socket.socket, protocol: str) -> None:
    connection.recv(4096)


def resets(connection: socket.socket, protocol: str) -> None:
    connection.recv(4096)
    peers.reset(connection)


ACTS: tuple[Act, ...] = (
    goes_on, an_endless_line, empty_lines, drips, prompts, literals, garbage, escapes, tls_record,
    hangs_up, resets,
)  # fmt: skip


def looks(peer: peers.Peer) -> Iterator[Observation]:
    with peers.serving(peer) as endpoint:
        for observe in DRIVERS.values():
            started = time.monotonic()
            yield observe(Question(endpoint, limits=LIMITS))
            assert time.monotonic() - started < LONGEST


def harmless(seen: Observation) -> None:
    texts = [seen.banner, *seen.transcript, *seen.gaps, *(a.reason for a in seen.attempts)]
    assert all(text.isascii() and text.isprintable() for text in texts)
    assert len(seen.transcript) < 512


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
@pytest.mark.parametrize("protocol", GREETINGS)
def test_after_the_greeting(protocol: str, act: Act, no_leak: None):
    def peer(connection: socket.socket) -> None:
        connection.sendall(GREETINGS[protocol])
        act(connection, protocol)

    for seen in looks(peer):
        harmless(seen)
        judged = assess([seen])
        # A prompt is what POP3, IMAP and SMTP count as "accepted", garbage may be POP2's "offered".
        assert judged.verdict in (Verdict.INCONCLUSIVE, Verdict.EXPOSED), judged
        assert seen.protocol == protocol


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    return server_context(trustme.CA().issue_cert(NAME))


AGREES = {
    "pop3": (b"CAPA", b"+OK\r\nSTLS\r\n.\r\n", b"STLS", b"+OK\r\n", b"-ERR [AUTH] TLS first\r\n"),
    "smtp": (
        b"EHLO", b"250-x\r\n250 STARTTLS\r\n", b"STARTTLS", b"220 go\r\n", b"530 5.7.0 TLS\r\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
@pytest.mark.parametrize("protocol", AGREES)
def test_inside_the_session_s_tls(protocol: str, act: Act, context: ssl.SSLContext, no_leak: None):
    asks, listed, upgrade, agreed, refusal = AGREES[protocol]
    answers = {asks: listed, upgrade: agreed, b"QUIT": b"+OK\r\n", b"*": refusal}

    def peer(connection: socket.socket) -> None:
        connection.sendall(GREETINGS[protocol])
        if peers.talk(connection, answers, upgrade):
            with context.wrap_socket(connection, server_side=True) as secure:
                act(secure, protocol)

    seen = []
    for each in looks(peer):
        harmless(each)
        assert each.starttls is not None
        seen.append(assess([each]).verdict)
    assert seen == [Verdict.REFUSED, Verdict.REFUSED]


ECHOES: dict[str, tuple[bytes, bytes, bytes]] = {
    # how a command that begins an exchange is answered, its beginning, and how the rest is
    "pop2": (b"", b"- %s\r\n", b"- %s\r\n"),
    "pop3": (b"AUTH", b"+ %s\r\n", b"+OK %s\r\n.\r\n"),
    "imap": (b"AUTHENTICATE", b"+ %s\r\n", b"TAG NO %s\r\n"),
    "smtp": (b"AUTH", b"334 %s\r\n", b"250 %s\r\n"),
    "managesieve": (b"AUTHENTICATE", b'"%s"\r\n', b'NO "%s"\r\n'),
}


@pytest.mark.parametrize("protocol", GREETINGS)
def test_what_a_server_repeats_is_no_secret(protocol: str):
    """Whatever was said comes back with every answer; the password must not be in it."""
    login = Credentials("somebody", "s3cret-words")
    begins, asks, answers = ECHOES[protocol]
    heard: list[bytes] = []

    def peer(connection: socket.socket) -> None:
        connection.sendall(GREETINGS[protocol])
        tag = b""
        for line in peers.lines(connection):
            heard.append(line.rstrip(b"\r\n"))
            words = line.split()
            exchange = begins in words[:2]
            tag = words[0] if words[1:] else tag
            said = b" ".join(heard[-3:])
            form = asks if exchange else answers.replace(b"TAG", tag)
            # No yes to this: what follows would be a handshake, in which there are no lines.
            form = b"-ERR %s\r\n" if words == [b"STLS"] else form
            connection.sendall(form % said)

    for observe in DRIVERS.values():
        heard.clear()
        with peers.serving(peer) as endpoint:
            seen = observe(Question(endpoint, login=login, limits=Limits(2.0, 2.0, 6.0)))
        shown = repr(dataclasses.asdict(seen))
        assert any(form in line for line in heard for form in login.forms), heard
        assert not [form for form in login.forms if form.decode() in shown]
