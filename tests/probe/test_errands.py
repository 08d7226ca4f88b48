"""What a hostile or broken server can do to the errands: nothing but make them say so."""

import dataclasses
import socket
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.model.look import Endpoint, Observation, Outcome
from mailseal.probe.blocking import observe
from mailseal.probe.errands import ACCOUNT, DUMMY, RELAY
from mailseal.probe.look import Limits, Question
from mailseal.protocols.base import Credentials
from mailseal.protocols.tlshello import WEAK, accepts, chosen
from tests.probe import peers
from tests.probe.certificates import NAME
from tests.workflow.services import MAIL, PASSWORD, USER, Authority, inside

LIMITS = Limits(connect=0.5, answer=0.5, total=2.0)
LOGIN = Credentials(USER, PASSWORD)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def asked(ca: Authority, peer: peers.Peer, **more: object) -> Observation:
    question = Question(Endpoint("127.0.0.1", 1), name=NAME, authority=ca.path, limits=LIMITS)
    with peers.serving(peer) as endpoint:
        return observe(dataclasses.replace(question, endpoint=endpoint, **more))  # type: ignore[arg-type]


def errand(seen: Observation, what: str) -> tuple[Outcome, str]:
    (found,) = (each for each in seen.errands if each.what == what)
    assert all(line.isprintable() for line in found.lines)
    assert PASSWORD not in repr(seen)
    return found.outcome, "; ".join(found.lines)


POP3 = {
    b"CAPA": b"+OK\r\nUSER\r\n.\r\n",
    b"AUTH": b"-ERR unknown command\r\n",
    b"USER": b"+OK\r\n",
    b"PASS": b"+OK\r\n",
    b"LIST": b"+OK\r\n1 60\r\n.\r\n",
    b"RETR": b"+OK\r\n" + MAIL + b".\r\n",
    b"*": b"+OK\r\n",
}
POP2 = {
    b"HELO\r\n": b"- Missing user or password\r\n",
    b"HELO": b"#1 messages\r\n",
    b"READ": b"=60 characters\r\n",
    b"QUIT": b"+ bye\r\n",
}


@pytest.mark.parametrize(
    ("answers", "outcome", "word"),
    [
        ({b"LIST": b"+OK\r\n.\r\n"}, Outcome.PROVEN, "0 messages"),
        ({b"LIST": b"+OK\r\n1 99999999\r\n.\r\n"}, Outcome.PROVEN, "too large"),
        ({b"LIST": b"+OK\r\nx y\r\n1\r\n\xff -1\r\n.\r\n"}, Outcome.PROVEN, "0 messages"),
        ({b"LIST": b"-ERR \x1b[2Jno\r\n"}, Outcome.UNCLEAR, "-ERR \\x1b[2Jno"),
        ({b"RETR": b"-ERR gone\r\n"}, Outcome.UNCLEAR, "-ERR gone"),
        ({b"PASS": b"-ERR [AUTH] wrong password %s\r\n" % PASSWORD.encode()}, Outcome.ACCEPTED, ""),
        ({b"PASS": b"-ERR [SYS/TEMP] later\r\n"}, Outcome.UNCLEAR, "later"),
        ({b"PASS": b""}, Outcome.UNCLEAR, "not answered"),
        ({b"LIST": b""}, Outcome.UNCLEAR, ""),
        ({b"LIST": b"+OK\r\n" + b"9" * 9000}, Outcome.UNCLEAR, ""),
    ],
)
def test_a_mailbox_that_is_strange(
    ca: Authority, answers: dict[bytes, bytes], outcome: Outcome, word: str
):
    peer = inside(b"+OK ready\r\n", {**POP3, **answers}, ca.context())
    told = errand(asked(ca, peer, account=LOGIN), ACCOUNT)
    assert told[0] is outcome, told
    assert word in told[1]


@pytest.mark.parametrize("count", [b"#0 messages", b"# messages", b"#99999999999999"])
def test_a_count_that_is_none(ca: Authority, count: bytes):
    peer = inside(b"+ POP2 ready\r\n", {**POP2, b"HELO": count + b"\r\n"}, ca.context())
    outcome, _ = errand(asked(ca, peer, account=LOGIN), ACCOUNT)
    assert outcome in (Outcome.PROVEN, Outcome.UNCLEAR)


def test_a_server_that_goes_on_for_ever_is_left(ca: Authority):
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"+OK ready\r\n")
        if peers.talk(connection, {**POP3, b"RETR": b"+OK\r\n"}, b"RETR"):
            peers.forever(b"x" * 70 + b"\r\n")(connection)

    started = time.monotonic()
    told = errand(asked(ca, peers.secured(ca.context(), endless), account=LOGIN), ACCOUNT)
    assert told[0] is not Outcome.PROVEN, told
    assert time.monotonic() - started < 15


def test_the_relay_is_asked_with_one_recipient_and_without_data(ca: Authority):
    heard: list[bytes] = []

    def smtp(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example ESMTP\r\n")
        for line in peers.lines(connection):
            heard.append(line)
            connection.sendall(b"250 Ok\r\n")

    seen = asked(ca, peers.secured(ca.context(), smtp), relay=True)
    assert errand(seen, RELAY) == (
        Outcome.ACCEPTED,
        "RCPT TO:<mailseal-relay-test@example.net>: 250 Ok",
    )
    words = [line.split(b" ")[0].strip().upper() for line in heard]
    assert words.count(b"RCPT") == 1
    assert b"DATA" not in words
    assert words.index(b"RSET") > words.index(b"RCPT")


def test_nothing_is_tried_where_there_is_no_tls(ca: Authority):
    seen = asked(ca, peers.pop2, dummy=LOGIN, account=LOGIN, suites=True, relay=True)
    assert [each.what for each in seen.errands] == [DUMMY, ACCOUNT]
    assert {each.outcome for each in seen.errands} == {Outcome.UNCLEAR}


# -- the hello -------------------------------------------------------------------------------------


def server_hello(suite: int, session: bytes = b"") -> bytes:
    body = b"\x03\x03" + b"r" * 32 + bytes([len(session)]) + session + struct.pack("!HB", suite, 0)
    record = b"\x02" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x03" + struct.pack("!H", len(record)) + record


@given(suite=st.integers(0, 0xFFFF), session=st.binary(max_size=32))
def test_the_cipher_suite_of_a_server_hello(suite: int, session: bytes):
    assert chosen(server_hello(suite, session)) == suite
    assert accepts(0x0303, server_hello(suite, session))
    for end in range(len(server_hello(suite, session)) - 1):
        assert chosen(server_hello(suite, session)[:end]) is None


@given(begin=st.sampled_from([b"", b"\x16\x03\x03\0\x40\x02"]), data=st.binary(max_size=200))
def test_no_octets_do_harm(begin: bytes, data: bytes):
    assert chosen(begin + data) is None or chosen(begin + data) in range(0x10000)


def test_no_suite_is_in_two_classes():
    suites = [suite for kind in WEAK.values() for suite in kind]
    assert len(suites) == len(set(suites))


def test_a_server_that_takes_a_class_is_told_by_the_suite(ca: Authority):
    context = ca.weak_key()
    context.set_ciphers("AES128-SHA:ECDHE+AESGCM:@SECLEVEL=0")
    seen = asked(ca, peers.secured(context, peers.pop2), suites=True)
    assert seen.tls is not None
    assert seen.tls.suites == ("RSA_WITH_AES_128_CBC_SHA",)
    assert seen.tls.asked == tuple(WEAK)
