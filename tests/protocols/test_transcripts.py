"""Every protocol's transcripts, read by the prober and by an observer, however they are cut."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailseal.assess import assess
from mailseal.model.look import Attempt, Channel, Endpoint, Observation, Reach, Vantage
from mailseal.protocols import pop2
from mailseal.protocols.base import End, LoginEvent, Side
from mailseal.protocols.conversation import DIALOGUES, Conversation
from mailseal.protocols.session import TextSession
from tests.protocols.transcript import Transcript, everyone, load

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


CUTS = 24
"""Positions tried in each transcript, besides every octet by itself."""


def every_way(transcript: Transcript) -> Iterator[Pieces]:
    yield whole
    yield octets
    longest = max(len(data) for _, data in transcript.blocks)
    for position in range(1, longest, max(1, longest // CUTS)):
        yield cut(position)


def verdict(protocol: str, session: TextSession) -> str:
    attempts: tuple[Attempt, ...] = tuple(e.attempt(Channel.CLEAR) for e in session.logins)
    seen = Observation(
        Endpoint("192.0.2.1", 109), Vantage.WIRE, "", "", Reach.OPEN, protocol, session.banner,
        None, attempts, (), "", (),
    )  # fmt: skip
    return assess([seen]).verdict.value


def told(event: LoginEvent) -> str:
    words = [event.mechanism.replace(" ", "_"), str(event.user), event.outcome.value]
    return " ".join([*words, *filter(None, [event.remote])])


def judge(transcript: Transcript, session: TextSession) -> None:
    assert [told(event) for event in session.logins] == list(transcript.logins)
    assert verdict(transcript.protocol, session) == transcript.verdict
    assert session.sealed is transcript.sealed
    if isinstance(session, pop2.Session):
        assert session.state == transcript.state
        assert str(session.messages) == transcript.messages
    else:
        assert session.offers == transcript.offers


def observed(transcript: Transcript, pieces: Pieces) -> TextSession:
    session = DIALOGUES[transcript.protocol].session(transcript.inside)
    for side, data in transcript.blocks:
        for piece in pieces(data):
            session.feed(side, piece)
    return session


def probed(transcript: Transcript, pieces: Pieces) -> Conversation:
    """Plays the server's part; the client's is our own."""
    conversation = Conversation(transcript.task, transcript.protocol if transcript.inside else None)
    said = conversation.take()
    for side, data in transcript.blocks:
        if side is Side.SERVER:
            for piece in pieces(data):
                conversation.receive(piece)
                said += conversation.take()
    conversation.end(End("eof", "the server closed the connection"))
    expected = transcript.octets(Side.CLIENT)
    # Where the server has said goodbye already, so may we.
    assert said.startswith(expected)
    assert said[len(expected) :].split(b" ")[-1] in (b"", b"QUIT\r\n", b"LOGOUT\r\n")
    return conversation


FILES = everyone()
PROBED = [path for path in FILES if load(path).prober]
SECRET = [path for path in FILES if load(path).password]


def name(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def test_every_protocol_has_transcripts():
    assert {path.parent.name for path in FILES} == DIALOGUES.keys()


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
        assert conversation.session is not None
        judge(transcript, conversation.session)
        shown.add(tuple(conversation.transcript))
    assert len(shown) == 1, "how the network cuts it must not show in the evidence"


TRAILING = (
    b"\x00\xff",
    b"+ more\r\n",
    b"#9 messages\r\n=3 x\r\n",
    b"+OK\r\n",
    b"* OK\r\n",
    b"235 x\r\n",
)


@pytest.mark.parametrize("path", FILES, ids=name)
@pytest.mark.parametrize("trailing", TRAILING)
def test_what_trails_behind_changes_nothing(path: Path, trailing: bytes):
    transcript = load(path)
    session = observed(transcript, whole)
    before = list(session.logins)
    session.feed(Side.SERVER, trailing)
    assert session.logins == before


@pytest.mark.parametrize("path", PROBED, ids=name)
@pytest.mark.parametrize("trailing", TRAILING)
def test_what_trails_in_the_same_segment_changes_no_verdict(path: Path, trailing: bytes):
    transcript = load(path)
    at = max(index for index, (side, _) in enumerate(transcript.blocks) if side is Side.SERVER)
    conversation = Conversation(transcript.task, transcript.protocol if transcript.inside else None)
    conversation.take()
    for index, (of_, block) in enumerate(transcript.blocks):
        if of_ is Side.SERVER:
            conversation.receive(block + trailing if index == at else block)
            conversation.take()
    conversation.end(End("eof", "the server closed the connection"))
    assert conversation.session is not None
    assert verdict(transcript.protocol, conversation.session) == transcript.verdict


@pytest.mark.parametrize("path", SECRET, ids=name)
def test_no_secret_is_kept(path: Path):
    transcript = load(path)
    credentials = transcript.task.login
    assert credentials is not None
    session = observed(transcript, octets)
    texts = [repr(session.logins), repr(session), session.banner, repr(credentials)]
    if transcript.prober:
        conversation = probed(transcript, whole)
        texts += [*conversation.transcript, repr(conversation), repr(conversation.logins)]
    for secret in (form.decode() for form in credentials.forms):
        assert not [text for text in texts if secret in text or repr(secret)[1:-1] in text]
