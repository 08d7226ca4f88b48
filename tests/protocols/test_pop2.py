"""POP2's transcripts, read by the prober and by an observer, however the bytes are cut."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailseal.assess import assess
from mailseal.model.look import Attempt, Channel, Endpoint, Observation, Reach, Vantage
from mailseal.protocols import pop2
from mailseal.protocols.base import HEAR, Credentials, End, LoginEvent, Side
from mailseal.protocols.conversation import Conversation
from tests.protocols.transcript import Transcript, load, of

Pieces = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def octets(data: bytes) -> Iterator[bytes]:
    for index in range(len(data)):
        yield data[index : index + 1]


def cut(position: int) -> Pieces:
    """Every block in two at `position`."""

    def pieces(data: bytes) -> Iterator[bytes]:
        yield from filter(None, (data[:position], data[position:]))

    return pieces


def every_way(transcript: Transcript) -> Iterator[Pieces]:
    yield whole
    yield octets
    for position in range(1, max(len(data) for _, data in transcript.blocks)):
        yield cut(position)


def verdict(logins: tuple[LoginEvent, ...]) -> str:
    attempts: tuple[Attempt, ...] = tuple(login.attempt(Channel.CLEAR) for login in logins)
    seen = Observation(
        Endpoint("192.0.2.1", 109), Vantage.WIRE, "", "", Reach.OPEN, "pop2", "", None,
        attempts, (), "", (),
    )  # fmt: skip
    return assess([seen]).verdict.value


def judge(transcript: Transcript, session: pop2.Session) -> None:
    events = tuple(session.logins)
    told = [(str(event.user), str(event.remote), event.outcome.value) for event in events]
    assert told == list(transcript.logins)
    assert session.state == transcript.state
    assert str(session.messages) == transcript.messages
    assert verdict(events) == transcript.verdict


def observed(transcript: Transcript, pieces: Pieces) -> pop2.Session:
    session = pop2.Session()
    for side, data in transcript.blocks:
        for piece in pieces(data):
            assert session.feed(side, piece) is None
    return session


def probed(transcript: Transcript, pieces: Pieces) -> Conversation:
    """Plays the server's part; the client's is our own."""
    conversation = Conversation(transcript.credentials())
    said = b""
    for side, data in transcript.blocks:
        if side is Side.SERVER:
            for piece in pieces(data):
                conversation.receive(piece)
                said += conversation.take()
    conversation.end(End("eof", "the server closed the connection"))
    expected = transcript.octets(Side.CLIENT)
    # Where the server has said goodbye already, so may we.
    assert said in (expected, expected + b"QUIT\r\n")
    return conversation


FILES = list(of("pop2"))
PROBED = [path for path in FILES if load(path).prober]


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", FILES, ids=name)
def test_an_observer_reads_it_however_it_is_cut(path: Path):
    transcript = load(path)
    for pieces in every_way(transcript):
        judge(transcript, observed(transcript, pieces))


@pytest.mark.parametrize("path", PROBED, ids=name)
def test_the_prober_reads_it_however_it_is_cut(path: Path):
    transcript = load(path)
    shown = set()
    for pieces in every_way(transcript):
        conversation = probed(transcript, pieces)
        assert isinstance(conversation.session, pop2.Session)
        judge(transcript, conversation.session)
        shown.add(tuple(conversation.transcript))
    assert len(shown) == 1, "how the network cuts it must not show in the evidence"


@pytest.mark.parametrize("path", FILES, ids=name)
@pytest.mark.parametrize("trailing", [b"\x00\xff", b"+ more\r\n", b"#9 messages\r\n=3 x\r\n"])
def test_what_trails_behind_changes_nothing(path: Path, trailing: bytes):
    transcript = load(path)
    session = observed(transcript, whole)
    before = list(session.logins)
    session.feed(Side.SERVER, trailing)
    assert session.logins == before


@pytest.mark.parametrize("path", PROBED, ids=name)
@pytest.mark.parametrize("trailing", [b"\x00\xff", b"+ more\r\n", b"#9 messages\r\n"])
def test_what_trails_in_the_same_segment_changes_no_verdict(path: Path, trailing: bytes):
    transcript = load(path)
    side, data = transcript.blocks[-1]
    assert side is Side.SERVER
    conversation = Conversation(transcript.credentials())
    for of_, block in (*transcript.blocks[:-1], (side, data + trailing)):
        if of_ is Side.SERVER:
            conversation.receive(block)
            conversation.take()
    conversation.end(End("eof", "the server closed the connection"))
    assert verdict(conversation.logins) == transcript.verdict


@pytest.mark.parametrize("path", [path for path in FILES if load(path).password], ids=name)
def test_no_secret_is_kept(path: Path):
    transcript = load(path)
    secrets = {transcript.password, transcript.password.replace("\\", "\\\\")}
    session = observed(transcript, octets)
    texts = [repr(session.logins), repr(session), session.banner, repr(transcript.credentials())]
    if transcript.prober:
        conversation = probed(transcript, whole)
        texts += [*conversation.transcript, repr(conversation), repr(conversation.logins)]
    for secret in secrets:
        assert not [text for text in texts if secret in text or repr(secret)[1:-1] in text]


def test_no_secret_in_the_values_on_the_way():
    credentials = Credentials("somebody", "s3cret")
    client = pop2.client(credentials)
    assert next(client) is HEAR
    step = client.send(b"+ POP2")
    assert "s3cret" not in repr(credentials) + repr(step) + str(step)
    session = pop2.Session()
    session.feed(Side.SERVER, b"+ POP2\r\n")
    session.feed(Side.CLIENT, b"HELO somebody s3cret\r\n")
    assert "s3cret" not in repr(session._asked)


def test_a_password_s_octets_stay_whatever_their_encoding():
    octets_ = b"p\xe4ss"
    credentials = Credentials("somebody", octets_.decode("utf-8", "surrogateescape"))
    client = pop2.client(credentials)
    next(client)
    step = client.send(b"+ POP2")
    assert getattr(step, "data") == b"HELO somebody p\xe4ss\r\n"  # noqa: B009


@pytest.mark.parametrize(
    ("user", "password", "remote"),
    [
        ("", "x", ""),
        ("a b", "x", ""),
        ("host:a", "x", ""),
        ("a\r\nQUIT", "x", ""),
        ("a", "x\r\nQUIT", ""),
        ("a", "x\x00", ""),
        ("a", "x", "host name"),
    ],
)
def test_credentials_that_would_say_something_else(user: str, password: str, remote: str):
    with pytest.raises(ValueError, match=r"one word|cannot be sent"):
        Credentials(user, password, remote)


def test_a_server_that_answers_before_it_is_asked_shows_nothing():
    conversation = Conversation()
    conversation.receive(b"+ POP2 server ready\r\n- Missing user or password\r\n")
    assert conversation.ended is not None
    assert conversation.ended.kind == "unsolicited"
    assert conversation.logins == ()


def test_uw_s_version_is_read_from_its_greeting():
    session = pop2.Session()
    session.feed(Side.SERVER, b"+ POP2 [host] 2007f.75 server ready\r\n")
    assert session.product == "UW ipop2d 2007f.75"


def test_commands_without_answers_are_not_collected():
    session = pop2.Session()
    session.feed(Side.CLIENT, b"HELO a b\r\n" * 10_000)
    assert len(session._asked) == pop2.PIPELINE
