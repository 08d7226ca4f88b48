"""What both drivers see of all kinds of servers, and what is made of it."""

import dataclasses
import functools
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from mailseal.assess import assess
from mailseal.demo import pop2d
from mailseal.model.finding import Grade, Verdict
from mailseal.model.look import Endpoint, Observation, Outcome, Reach
from mailseal.probe.blocking import exchange
from mailseal.probe.look import Limits, Question
from mailseal.protocols.base import Credentials
from tests.probe import peers
from tests.probe.certificates import (
    LAST_YEAR,
    NAME,
    anything_goes,
    self_signed,
    server_context,
)
from tests.probe.conftest import DRIVERS, Driver

LIMITS = Limits(connect=0.4, answer=0.4, total=1.0)
LONGEST = 3 * (LIMITS.connect + LIMITS.total) + 1.0
"""Seconds for a look of three connections, and a slow machine."""

POP2 = functools.partial(peers.pop2)
USERS = functools.partial(peers.pop2, users={b"somebody": b"two \\\\ words"})


def goes_on(connection: socket.socket) -> None:
    """Refuses and waits for more."""
    connection.sendall(b"+ POP2 server ready\n")
    for line in peers.lines(connection):
        said = b"+ Bye\n" if line.startswith(b"QUIT") else b"- Bogus or out of sequence command\n"
        connection.sendall(said)


CASES: dict[str, tuple[peers.Peer, Verdict, str]] = {
    # name: the peer, the verdict, and a word of the reasons
    "pop2": (POP2, Verdict.EXPOSED, "Missing user"),
    "pop2 that goes on": (goes_on, Verdict.EXPOSED, "Bogus"),
    "pop2, slow to greet": (functools.partial(peers.pop2, delay=0.25), Verdict.EXPOSED, "Missing"),
    "disabled": (
        functools.partial(peers.pop2, greeting=b"- POP2 server disabled on this system\r\n"),
        Verdict.REFUSED,
        "disabled",
    ),
    "pop3, silent then": (peers.says(b"+OK POP3 ready\r\n"), Verdict.INCONCLUSIVE, "nothing more"),
    "ssh": (peers.says(b"SSH-2.0-OpenSSH_9.2\r\n"), Verdict.ABSENT, "ssh"),
    "http": (peers.http, Verdict.ABSENT, "http"),
    "unknown": (peers.says(b"hello\r\n"), Verdict.INCONCLUSIVE, "hello"),
    "silent": (peers.says(), Verdict.INCONCLUSIVE, "nothing more in time"),
    "reset": (peers.reset, Verdict.INCONCLUSIVE, "reset"),
    "close": (peers.close, Verdict.INCONCLUSIVE, "closed"),
    "an endless line": (peers.forever(b"x" * 4096), Verdict.INCONCLUSIVE, "a line of more"),
    "endless lines": (
        peers.forever(b"+ POP2\n" * 512),
        Verdict.INCONCLUSIVE,
        "before it was asked",
    ),
    "endless empty lines": (peers.forever(b"\n" * 512), Verdict.INCONCLUSIVE, "not understood"),
    "nul": (peers.says(b"\x00" * 50 + b"\r\n"), Verdict.INCONCLUSIVE, "x00"),
    "8-bit": (peers.says(b"\xe9\x9b\x31\xff\r\n"), Verdict.INCONCLUSIVE, "xe9"),
    "terminal escapes": (
        peers.says(b"+ POP2 \x1b]0;owned\x07\x1b[2J\r\n- \x1b[31mno\r\n"),
        Verdict.INCONCLUSIVE,
        "before it was asked",
    ),
    "half a character": (peers.says(b"+ POP2 \xe2\x82", stay=0.2), Verdict.INCONCLUSIVE, "closed"),
    "answers before it is asked": (
        peers.says(b"+ POP2 server ready\r\n- Missing user or password\r\n+ Sayonara\r\n"),
        Verdict.INCONCLUSIVE,
        "before it was asked",
    ),
    "a greeting without a line end": (
        peers.says(b"+ POP2 server ready"),
        Verdict.INCONCLUSIVE,
        "nothing more in time",
    ),
}


def timeless(observation: Observation) -> Observation:
    return dataclasses.replace(observation, start="", end="")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("case", CASES)
def test_servers(case: str, host: str, no_leak: None):
    peer, verdict, word = CASES[case]
    seen = []
    with peers.serving(peer, host) as endpoint:
        for observe in DRIVERS.values():
            started = time.monotonic()
            seen.append(observe(Question(endpoint, limits=LIMITS)))
            assert time.monotonic() - started < LONGEST
    judged = assess(seen[:1])
    assert judged.verdict is verdict, judged
    assert word in " ".join(judged.reasons)
    for text in (seen[0].banner, *seen[0].transcript, *seen[0].gaps, *judged.reasons):
        assert text.isprintable()
    assert timeless(seen[0]) == timeless(seen[1]), "the drivers must see the same"


def test_an_answer_with_a_reset_behind_it_is_read(observe: Driver):
    def peer(connection: socket.socket) -> None:
        time.sleep(0.02)  # so that connect() has ended, which would tell of the reset itself
        connection.sendall(b"- POP2 server disabled on this system\r\n")
        peers.reset(connection)

    with peers.serving(peer) as endpoint:
        for _ in range(50):
            seen = observe(Question(endpoint, limits=LIMITS))
            assert [attempt.outcome for attempt in seen.attempts] == [Outcome.REFUSED], seen


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_closed(observe: Driver, host: str):
    with peers.closed(host) as endpoint:
        seen = observe(Question(endpoint, limits=LIMITS))
    assert seen.reach is Reach.CLOSED
    assert assess([seen]).verdict is Verdict.ABSENT


def test_no_way_there(observe: Driver):
    seen = observe(Question(Endpoint("fe80::1%nowhere", 109), limits=LIMITS))
    assert seen.reach is Reach.UNROUTABLE
    assert assess([seen]).verdict is Verdict.INCONCLUSIVE


FILTERED = """
import sys, time
from tests.probe.conftest import DRIVERS
from mailseal.model.look import Endpoint
from mailseal.probe.look import Limits, Question
for name, observe in DRIVERS.items():
    for address in ("127.0.0.1", "::1"):
        started = time.monotonic()
        seen = observe(Question(Endpoint(address, 109), limits=Limits(0.5, 5.0, 9.0)))
        print(name, address, seen.reach.value, time.monotonic() - started < 2.0, *seen.gaps)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a packet filter of one's own needs root")
@pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed")
def test_filtered():
    """In a network namespace that ends with its process."""
    script = 'ip link set lo up && nft -f - && exec "$@"'
    rules = "table inet t { chain c { type filter hook input priority 0; tcp dport 109 drop; }; }"
    run = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh",
         sys.executable, "-c", FILTERED],
        input=rules, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert run.stdout.splitlines() == [
        f"{name} {address} filtered True no answer to the connection"
        for name in DRIVERS
        for address in ("127.0.0.1", "::1")
    ], run.stderr


# -- logins ----------------------------------------------------------------------------------------


def test_a_throwaway_login_is_processed(observe: Driver):
    with peers.serving(POP2) as endpoint:
        seen = observe(Question(endpoint, throwaway=True, limits=LIMITS))
    assert [a.outcome for a in seen.attempts] == [Outcome.ACCEPTED, Outcome.ACCEPTED]
    assert assess([seen]).grade is Grade.ACCEPTED
    assert any("HELO mailseal-" in line for line in seen.transcript)


@pytest.mark.parametrize(
    ("password", "grade"), [("two \\ words", Grade.PROVEN), ("two words", Grade.ACCEPTED)]
)
def test_a_login_with_an_account(observe: Driver, password: str, grade: Grade):
    login = Credentials("somebody", password)
    with peers.serving(USERS) as endpoint:
        seen = observe(Question(endpoint, login=login, limits=LIMITS))
    judged = assess([seen])
    assert (judged.verdict, judged.grade) == (Verdict.EXPOSED, grade)
    assert ("#3 messages" in " ".join(judged.reasons)) is (grade is Grade.PROVEN)
    assert password not in repr(seen)
    assert repr(password)[1:-1] not in repr(seen)


def test_nothing_is_sent_to_who_is_no_mail_server(observe: Driver):
    heard: list[bytes] = []

    def peer(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-x\r\n")
        heard.append(connection.recv(100))

    login = Credentials("somebody", "s3cret")
    with peers.serving(peer) as endpoint:
        observe(Question(endpoint, login=login, throwaway=True, limits=LIMITS))
    assert set(heard) == {b""}


def test_the_demo_s_server(observe: Driver, tmp_path: Path):
    """The project's own POP2 server as a process."""
    users = tmp_path / "users"
    users.write_text("somebody:s3cret\n")
    (tmp_path / "somebody").write_text("From x\nSubject: one\n\ntext\n")
    command = [
        sys.executable, pop2d.__file__, "--listen", "127.0.0.1:0", "--users", str(users),
        "--spool", str(tmp_path), "--bad-login-delay", "0.1",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            endpoint = Endpoint("127.0.0.1", int(server.stderr.readline().rpartition(":")[2]))
            login = Credentials("somebody", "s3cret")
            seen = observe(Question(endpoint, throwaway=True, login=login))
        finally:
            server.terminate()
    outcomes = [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.PROVEN]
    assert [attempt.outcome for attempt in seen.attempts] == outcomes


# -- TLS -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def authority(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def look_inside(authority: str) -> Callable[..., Observation]:
    """Both drivers' look at a TLS peer, which must be the same but for keys of the moment."""

    def look(peer: peers.Peer, name: str = NAME, **more: Any) -> Observation:
        limits = Limits(connect=1.0, answer=1.0, total=3.0)
        with peers.serving(peer) as endpoint:
            question = dataclasses.replace(Question(endpoint, name=name, limits=limits), **more)
            first, second = (observe(question, authority=authority) for observe in DRIVERS.values())
        assert timeless(first) == timeless(second)
        return first

    return look


Look = Callable[..., Observation]


def test_pop2_inside_tls(look_inside: Look, ca: trustme.CA, no_leak: None):
    seen = look_inside(peers.secured(server_context(ca.issue_cert(NAME)), POP2))
    judged = assess([seen])
    assert judged.verdict is Verdict.REFUSED
    assert "POP2 answers only inside TLSv1.3" in judged.reasons
    assert seen.tls is not None
    assert seen.tls.trust == ""
    assert seen.tls.chain
    assert [a.channel.value for a in seen.attempts] == ["tls"]


def test_tls_with_nothing_inside(look_inside: Look, ca: trustme.CA):
    seen = look_inside(peers.secured(server_context(ca.issue_cert(NAME)), peers.says()))
    judged = assess([seen])
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "no mail service answered inside" in judged.reasons[0]


def test_another_service_inside_tls(look_inside: Look, ca: trustme.CA):
    context = server_context(ca.issue_cert(NAME))
    seen = look_inside(peers.secured(context, peers.says(b"SSH-2.0-x\r\n")))
    assert assess([seen]).verdict is Verdict.ABSENT


def test_a_server_that_ends_inside_tls(look_inside: Look, ca: trustme.CA):
    context = server_context(ca.issue_cert(NAME))
    seen = look_inside(peers.secured(context, peers.close))
    assert seen.tls is not None
    assert assess([seen]).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("issued", "dates", "words"),
    [
        ("other.example", {}, "Hostname mismatch"),
        (NAME, {"not_before": LAST_YEAR, "not_after": LAST_YEAR}, "expired"),
    ],
)
def test_bad_certificates(
    look_inside: Look, ca: trustme.CA, issued: str, dates: dict[str, Any], words: str
):
    certificate = ca.issue_cert(issued, **dates)
    seen = look_inside(peers.secured(server_context(certificate), POP2))
    assert seen.tls is not None
    assert words in seen.tls.trust
    assert seen.protocol == "pop2"
    assert assess([seen]).verdict is Verdict.REFUSED


def test_an_address_is_a_name_too(look_inside: Look, ca: trustme.CA):
    seen = look_inside(peers.secured(server_context(ca.issue_cert("127.0.0.1")), POP2), name="")
    assert seen.tls is not None
    assert (seen.tls.trust, seen.tls.name_checked) == ("", "127.0.0.1")


def test_a_name_that_no_certificate_can_have(look_inside: Look, ca: trustme.CA):
    context = server_context(ca.issue_cert(NAME))
    seen = look_inside(peers.secured(context, POP2), name="a..b" + "c" * 70)
    assert assess([seen]).verdict is Verdict.INCONCLUSIVE
    assert "label empty or too long" in " ".join(seen.gaps)


@pytest.mark.parametrize(("bits", "words"), [(2048, "self-signed"), (1024, "too weak")])
def test_self_signed_and_weak(look_inside: Look, tmp_path: Path, bits: int, words: str):
    seen = look_inside(peers.secured(self_signed(anything_goes(), tmp_path, bits), POP2))
    assert seen.tls is not None
    assert words in seen.tls.trust
    assert seen.tls.chain
    assert seen.protocol == "pop2"


def test_old_versions(look_inside: Look, tmp_path: Path):
    context = self_signed(anything_goes(), tmp_path, 2048)
    seen = look_inside(peers.secured(context, POP2), versions=True)
    assert seen.tls is not None
    assert set(seen.tls.accepted) == {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}
    assert seen.tls.rejected == ("SSLv3",)


@pytest.mark.filterwarnings("ignore:ssl.OP_NO_:DeprecationWarning")
def test_nothing_but_an_old_version(look_inside: Look, tmp_path: Path):
    context = self_signed(anything_goes(), tmp_path, 2048)
    context.options |= ssl.OP_NO_TLSv1_1 | ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
    seen = look_inside(peers.secured(context, POP2), versions=True)
    assert seen.tls is not None
    assert seen.tls.version == "TLSv1"
    assert seen.tls.accepted == ("TLSv1",)
    assert "not verified" in seen.tls.trust
    assert assess([seen]).verdict is Verdict.REFUSED


def test_hostile_inside_tls(look_inside: Look, ca: trustme.CA, no_leak: None):
    context = server_context(ca.issue_cert(NAME))
    seen = look_inside(peers.secured(context, peers.forever(b"x" * 4096)))
    assert "a line of more" in " ".join(seen.gaps)


def test_an_authority_that_cannot_be_read_is_the_operator_s_trouble(observe: Driver):
    with pytest.raises(OSError, match="No such file"):
        observe(Question(Endpoint("127.0.0.1", 9)), authority="/nonexistent/ca.pem")


def test_cleartext_and_tls_on_one_port(look_inside: Look, ca: trustme.CA):
    """A port that takes both is exposed, although it waits a while for a ClientHello."""
    inside = peers.secured(server_context(ca.issue_cert(NAME)), POP2)

    def peer(connection: socket.socket) -> None:
        connection.settimeout(0.3)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            peers.pop2(connection)
        else:
            inside(connection)

    judged = assess([look_inside(peer)])
    assert (judged.verdict, judged.grade) == (Verdict.EXPOSED, Grade.ACCEPTED)


# -- the eager client ------------------------------------------------------------------------------


def both(connection: socket.socket) -> None:
    """Silent in cleartext to who waits, but not to who does not; TLS would be here too."""
    if connection.recv(100, socket.MSG_PEEK).startswith(b"HELO"):
        connection.sendall(b"+ POP2 server ready\r\n")


def test_an_eager_client_is_answered():
    limits = Limits(0.5, 0.5, 1.0)
    with peers.serving(POP2) as endpoint:
        call = exchange(endpoint, b"HELO\r\n", limits)
        assert (call.reach, call.answer[:6], call.reason) == (Reach.OPEN, b"+ POP2", "")
    with peers.serving(peers.says()) as endpoint:
        call = exchange(endpoint, b"HELO\r\n", limits)
        assert (call.answer, call.reason) == (b"", "the server said nothing more in time")
    with peers.closed() as endpoint:
        assert exchange(endpoint, b"HELO\r\n", limits).reach is Reach.CLOSED


def test_an_eager_client_of_tls_gets_no_answer(look_inside: Look, ca: trustme.CA):
    context = server_context(ca.issue_cert(NAME))
    seen = look_inside(peers.secured(context, POP2), eager=True)
    assert assess([seen]).verdict is Verdict.REFUSED
    assert "-- clear, eager" in seen.transcript


def test_who_answers_only_the_eager_is_exposed(look_inside: Look, ca: trustme.CA):
    inside = peers.secured(server_context(ca.issue_cert(NAME)), POP2)

    def peer(connection: socket.socket) -> None:
        both(connection)
        inside(connection)

    judged = assess([look_inside(peer, eager=True)])
    assert (judged.verdict, judged.grade) == (Verdict.EXPOSED, Grade.ACCEPTED)
