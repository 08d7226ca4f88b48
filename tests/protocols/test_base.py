"""Lines and words: bounded, harmless, whatever comes in."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.protocols import pop2
from mailseal.protocols.base import (
    HEAR,
    LINE_LIMIT,
    Client,
    Credentials,
    End,
    LineBuffer,
    Side,
    printable,
)
from mailseal.protocols.conversation import BYTES_LIMIT, DIALOGUES, Conversation, Dialogue

WORDS = (
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


@given(some.lists(some.tuples(some.sampled_from(Side), some.sampled_from(WORDS) | some.binary())))
def test_an_observer_takes_anything(stream: list[tuple[Side, bytes]]):
    session = pop2.Session()
    for side, data in stream:
        session.feed(side, data)
    texts = [session.banner, session.product]
    texts += [text for e in session.logins for text in (e.user, e.remote, e.reason) if text]
    assert all(text.isascii() and text.isprintable() for text in texts)


@given(streams, some.booleans())
def test_the_prober_takes_anything(stream: list[bytes], login: bool):
    conversation = Conversation(Credentials("somebody", "s3cret") if login else None)
    for data in stream:
        conversation.receive(data)
        conversation.take()
    conversation.end(End("eof", "the server closed the connection"))
    assert conversation.done
    assert all(line.isascii() and line.isprintable() for line in conversation.transcript)
    assert not any("s3cret" in line for line in conversation.transcript)


@pytest.mark.parametrize("chunk", [b"x" * 65536, b"\n" * 65536, b"+\n" * 32768, b"=9\r\n" * 16384])
def test_endless_streams_take_no_memory_and_little_time(chunk: bytes):
    session, conversation = pop2.Session(), Conversation()
    tracemalloc.start()
    try:
        for _ in range(16):
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

    def listener(_: Credentials | None) -> Client:
        while True:
            yield HEAR

    monkeypatch.setitem(DIALOGUES, "pop2", Dialogue(pop2.Session, listener))
    conversation = Conversation()
    conversation.receive(b"+ POP2 ready\r\n")
    sent = 0
    while not conversation.done:
        conversation.receive(b"+ and so on\r\n" * 100)
        sent += 1300
        assert sent < 2 * BYTES_LIMIT
    assert conversation.ended is not None
    assert conversation.ended.kind == "overlong"
    assert len(conversation.transcript) <= 64
