"""The canary: only a connection from the server proves that it logs in to other hosts."""

import socket
from collections.abc import Callable

import pytest

from mailseal.model.look import Endpoint, Observation, Outcome
from mailseal.probe import blocking, canary
from mailseal.probe.look import Limits, Question
from tests.probe import peers

LIMITS = Limits(connect=1.0, answer=2.0, total=4.0)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def goes_on(port: int, source: str, heard: list[bytes]) -> peers.Peer:
    """A POP2 server as UW's: goes to the named host, and says "bad login" in any case."""

    def peer(connection: socket.socket) -> None:
        connection.sendall(b"+ POP2 [peer] 2007f.75 server ready\r\n")
        for line in peers.lines(connection):
            host, colon, _ = (
                line.split(b" ")[1].partition(b":") if b" " in line else (b"", b"", b"")
            )
            if colon:
                where = (host.decode(), port)
                with socket.create_connection(where, 2.0, (source, 0)) as there:
                    heard.append(there.makefile("rb").readline())
                connection.sendall(b"- Bad login\r\n+ Sayonara\r\n")
            else:
                connection.sendall(b"- Missing user or password\r\n+ Sayonara\r\n")
            return

    return peer


def examine(endpoint: Endpoint, port: int) -> Observation | canary.NotExamined:
    return canary.examine(Question(endpoint, limits=LIMITS), blocking.observe, port)


def remote(seen: Observation | canary.NotExamined) -> tuple[Outcome, str]:
    assert isinstance(seen, Observation), seen
    (attempt,) = (a for a in seen.attempts if a.remote)
    return attempt.outcome, attempt.reason


@pytest.mark.usefixtures("no_leak")
def test_a_server_that_comes_is_proven():
    port, heard = free_port(), list[bytes]()
    with peers.serving(goes_on(port, "127.0.0.1", heard)) as endpoint:
        seen = examine(endpoint, port)
    outcome, reason = remote(seen)
    assert outcome is Outcome.ACCEPTED
    assert reason == f"asked to log in at 127.0.0.1, the server connected to port {port} there"
    assert heard[0].startswith(b"* BYE")


@pytest.mark.usefixtures("no_leak")
def test_bad_login_alone_proves_nothing():
    with peers.serving(peers.pop2) as endpoint:
        outcome, reason = remote(examine(endpoint, free_port()))
    assert outcome is Outcome.UNCLEAR
    assert "the server did not come" in reason


def test_somebody_else_at_the_canary_proves_nothing_and_is_named():
    port = free_port()
    with peers.serving(goes_on(port, "127.0.0.9", [])) as endpoint:
        seen = examine(endpoint, port)
    assert remote(seen)[0] is Outcome.UNCLEAR
    assert isinstance(seen, Observation)
    assert seen.gaps[-1] == "remote login: somebody else came to the canary: 127.0.0.9"


def test_what_was_sent_is_in_the_transcript_without_the_password():
    with peers.serving(peers.pop2) as endpoint:
        seen = examine(endpoint, free_port())
    assert isinstance(seen, Observation)
    assert "C: HELO 127.0.0.1:mailseal-probe [password not shown]" in seen.transcript


@pytest.mark.usefixtures("no_leak")
def test_a_taken_port_leaves_it_undecided():
    with peers.serving(peers.close) as imap, peers.serving(peers.pop2) as endpoint:
        seen = examine(endpoint, imap.port)
    assert isinstance(seen, canary.NotExamined)
    assert f"cannot listen on 127.0.0.1 port {imap.port}: Address already in use" in seen.reason
    assert "run as root" in seen.reason


def test_over_ipv6_helo_cannot_name_us():
    seen = examine(Endpoint("::1", 109), free_port())
    assert isinstance(seen, canary.NotExamined)
    assert "HELO names no IPv6 address" in seen.reason


def test_a_server_that_is_gone_leaves_it_undecided():
    with peers.closed() as endpoint:
        seen = examine(endpoint, free_port())
    assert isinstance(seen, canary.NotExamined)
    assert "connection refused" in seen.reason


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("127.0.0.1", True),
        ("127.5.5.5", True),
        ("::1", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("fe80::1%nosuch0", False),
    ],
)
def test_whose_address_it_is(address: str, ours: bool):
    assert canary.own(address) is ours


def test_the_address_that_faces_a_server():
    assert canary.facing(Endpoint("127.0.0.1", 109)) == "127.0.0.1"
    assert canary.facing(Endpoint("::1", 109)) == "::1"


def test_no_route_is_said(monkeypatch: pytest.MonkeyPatch):
    nowhere: Callable[[Endpoint], str] = lambda endpoint: ""  # noqa: E731
    monkeypatch.setattr(canary, "facing", nowhere)
    seen = examine(Endpoint("192.0.2.1", 109), free_port())
    assert seen == canary.NotExamined("there is no route to the server from here")
