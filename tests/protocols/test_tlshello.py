"""A bare ClientHello, held against a real TLS server on loopback."""

import secrets
import socket
import ssl
import threading

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as some

from mailseal.protocols.tlshello import VERSIONS, accepts, client_hello

ORDER = list(VERSIONS)


def answer_of(context: ssl.SSLContext, hello: bytes) -> bytes:
    """What a server of the ssl module says to these octets."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            context.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    with ours, theirs:
        ours.settimeout(5)
        thread = threading.Thread(target=serve)
        thread.start()
        ours.sendall(hello)
        answer = b""
        while len(answer) < 11:
            try:
                data = ours.recv(512)
            except ConnectionResetError:
                break
            if not data:
                break
            answer += data
        ours.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    return answer


def server(lowest: str, highest: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("mail.example").configure_cert(context)
    context.set_ciphers("ALL:@SECLEVEL=0")
    off = {
        "TLSv1": ssl.OP_NO_TLSv1,
        "TLSv1.1": ssl.OP_NO_TLSv1_1,
        "TLSv1.2": ssl.OP_NO_TLSv1_2,
        "TLSv1.3": ssl.OP_NO_TLSv1_3,
    }
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    names = list(off)
    for name in names:
        if not names.index(lowest) <= names.index(name) <= names.index(highest):
            context.options |= off[name]
    return context


@pytest.mark.parametrize(
    ("lowest", "highest", "wanted"),
    [
        ("TLSv1", "TLSv1.3", {"TLSv1", "TLSv1.1", "TLSv1.2"}),
        ("TLSv1.2", "TLSv1.3", {"TLSv1.2"}),
        ("TLSv1.3", "TLSv1.3", set()),
        ("TLSv1", "TLSv1", {"TLSv1"}),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.OP_NO_:DeprecationWarning")
def test_versions_of_a_real_server(lowest: str, highest: str, wanted: set[str]):
    context = server(lowest, highest)
    got = {
        name: accepts(number, answer_of(context, client_hello(number, secrets.token_bytes(32))))
        for name, number in VERSIONS.items()
    }
    assert got == {name: name in wanted for name in VERSIONS}


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x16\x03", b"HTTP/1.1 400 Bad\r\n\r\n", b"+ POP2 ready\r\n", b"\x15", b"\x15\x00"],
)
def test_what_says_nothing_of_the_version(answer: bytes):
    assert accepts(VERSIONS["TLSv1.2"], answer) is None


def test_an_alert_is_a_no():
    assert accepts(VERSIONS["TLSv1"], b"\x15\x03\x01\x00\x02\x02\x46") is False


@given(some.binary(max_size=64))
def test_anything_has_an_answer(data: bytes):
    assert accepts(VERSIONS["TLSv1.2"], data) in (True, False, None)
