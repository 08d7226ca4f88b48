"""Lines and words: bounded, harmless, whatever comes in."""

import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.strategies import DataObject

from mailseal.protocols import pop2
from mailseal.protocols.base import (
    HEAR,
    LINE_LIMIT,
    Client,
    Credentials,
    End,
    LineBuffer,
    Side,
    Task,
    printable,
)
from mailseal.protocols.conversation import BYTES_LIMIT, DIALOGUES, Conversation, Dialogue
from mailseal.protocols.session import TextSession

WORDS = (
    b"+OK POP3 <1.2@mail.example>\r\n", b"+ \r\n", b".\r\n", b"SASL PLAIN\r\n", b"-ERR no\r\n",
    b"USER a\r\n", b"PASS b\r\n", b"AUTH PLAIN\r\n", b"AGEAYg==\r\n", b"*\r\n", b"STLS\r\n",
    b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN STARTTLS]\r\n", b"m1 OK\r\n", b"m1 NO x\r\n",
    b"m2 AUTHENTICATE PLAIN\r\n", b"m1 LOGIN a {3}\r\n", b"m1 LOGIN a b\r\n", b"{5+}\r\n",
    b"220 mail.example\r\n", b"250-AUTH PLAIN\r\n", b"250 ok\r\n", b"334 \r\n", b"354 go\r\n",
    b"EHLO x\r\n", b"DATA\r\n", b"BDAT 9\r\n", b"535 no\r\n", b"421 later\r\n", b"STARTTLS\r\n",
    b'"SASL" "PLAIN"\r\n', b"OK\r\n", b'""\r\n', b'AUTHENTICATE "PLAIN"\r\n', b'"*"\r\n',
    b"+ POP2 x ready\r\n", b"- no\r\n", b"#1 m\r\n", b"=5 c\r\n", b"=99999999999 c\r\n", b"\r\n",
    b"HELO a b\r\n", b"HELO\r\n", b"READ\r\n", b"RETR\r\n", b"ACKS\r\n", b"QUIT\r\n",
    b"\x16\x03\x01",
)  # fmt: skip
streams = some.lists(some.sampled_from(WORDS) | some.binary(max_size=40), max_size=30)


@given(some.binary())
def test_printable_is_printable_ascii(data: bytes):
    text = printable(data)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 4 * 256 + 3


@given(some.lists(some.binary(max_size=30)))
def test_lines_do_not_depend_on_the_cuts(chunks: list[bytes]):
    buffer = LineBuffer()
    lines = [line for chunk in chunks for line in buffer.feed(chunk)]
    *complete, rest = b"".join(chunks).split(b"\n")
    assert lines == [line.removesuffix(b"\r") for line in complete]
    assert buffer.held == rest


@pytest.mark.parametrize("end", [b"", b"\n", b"\nmore\n"])
def test_an_overlong_line_ends_it(end: bytes):
    buffer = LineBuffer()
    assert buffer.feed(b"one\n" + b"x" * LINE_LIMIT + end) == [b"one"]
    assert buffer.overflow
    assert buffer.held == b""
    assert buffer.feed(b"two\n") == []


def test_the_longest_line_is_taken():
    buffer = LineBuffer()
    assert buffer.feed(b"x" * (LINE_LIMIT - 1) + b"\n") == [b"x" * (LINE_LIMIT - 1)]
    assert not buffer.overflow


both = some.lists(some.tuples(some.sampled_from(Side), some.sampled_from(WORDS) | some.binary()))


@pytest.mark.parametrize("protocol", DIALOGUES)
@given(both, some.booleans())
def test_an_observer_takes_anything(protocol: str, stream: list[tuple[Side, bytes]], inside: bool):
    session = DIALOGUES[protocol].session(inside)
    for side, data in stream:
        session.feed(side, data)
    texts = [session.banner, *session.capabilities, *session.offers]
    texts += [text for e in session.logins for text in (e.user, e.remote, e.reason) if text]
    assert all(text.isascii() and text.isprintable() for text in texts)


@pytest.mark.parametrize("protocol", [None, *DIALOGUES])
@given(streams, some.data())
def test_the_prober_takes_anything(protocol: str | None, stream: list[bytes], data: DataObject):
    ways = [way for dialogue in DIALOGUES.values() for way in dialogue.mechanisms]
    login = Task((data.draw(some.sampled_from(ways)),), Credentials("somebody", "s3cret"))
    tasks = [Task(), Task(upgrade=True), Task(upgrade=True, injected=b"x"), login]
    inside = [replace(task, inside=True) for task in tasks] if protocol else tasks
    conversation = Conversation(data.draw(some.sampled_from(inside)), protocol)
    for piece in stream:
        conversation.receive(piece)
        conversation.take()
    conversation.end(End("eof", "the server closed the connection"))
    assert conversation.done
    assert all(line.isascii() and line.isprintable() for line in conversation.transcript)
    assert not any("s3cret" in line for line in conversation.transcript)


FLOODS = (b"* 1 x {9}\r\n" * 6000, b"250-x\r\n" * 9000, b'"SASL" "PLAIN"\r\n' * 5000,
b"x" * 65536, b"\n" * 65536, b"+\n" * 32768, b"=9\r\n" * 16384, b"+OK\r\n" * 13000)  # fmt: skip


@pytest.mark.parametrize("protocol", DIALOGUES)
@pytest.mark.parametrize("chunk", FLOODS, ids=lambda chunk: repr(chunk[:4]))
def test_endless_streams_take_no_memory_and_little_time(protocol: str, chunk: bytes):
    session, conversation = DIALOGUES[protocol].session(False), Conversation()
    tracemalloc.start()
    try:
        for _ in range(4):
            session.feed(Side.CLIENT, chunk)
            session.feed(Side.SERVER, chunk)
            conversation.receive(chunk)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 256 * 1024
    assert conversation.done


def test_a_dialogue_has_an_end(monkeypatch: pytest.MonkeyPatch):
    """No client of ours listens for ever; one that did would be stopped."""

    def listener(session: TextSession, task: Task) -> Client:
        while True:
            yield HEAR

    monkeypatch.setitem(DIALOGUES, "pop2", Dialogue(pop2.Session, listener, (), False))
    conversation = Conversation()
    conversation.receive(b"+ POP2 ready\r\n")
    sent = 0
    while not conversation.done:
        conversation.receive(b"+ and so on\r\n")
        sent += 13
        assert sent < 2 * BYTES_LIMIT
    assert conversation.ended is not None
    assert conversation.ended.kind == "overlong"
    assert len(conversation.transcript) <= 64
