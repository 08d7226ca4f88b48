"""Streams come out whole and in order, however their segments came in; what is missing is said."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.capture import streams
from mailseal.capture.frames import ACK, SYN, Segment
from mailseal.capture.streams import End, Streams
from mailseal.protocols.base import Side
from tests.capture import make
from tests.capture.make import Piece, Talk

C, S = (b"\xc0\0\2\7", 40000), (b"\xc0\0\2\x0a", 110)


class Log:
    """What was heard of every connection: (side, octets), or (side, number of missing ones)."""

    def __init__(self) -> None:
        self.all: list[tuple[str, bytes | int]] = []
        self.closed = 0
        self.ears = 0
        self.clients: list[int | None] = []
        self.deaf = False

    def ear(self, ends: tuple[End, End], client: int | None) -> "Log":
        self.ears += 1
        self._last = -1
        self.clients.append(client)
        self._sides = ["C" if end == C else "S" for end in ends]
        return self

    def hear(self, direction: int, data: bytes, time: float) -> bool:
        side = self._sides[direction]
        before = self.all[-1][1] if self.all else 0
        if self._last == direction and isinstance(before, bytes):
            self.all.pop()
            data = before + data
        self._last = direction
        self.all.append((side, data))
        return not self.deaf

    def miss(self, direction: int, octets: int, time: float) -> bool:
        self.all.append((self._sides[direction], octets))
        return True

    def close(self, time: float) -> None:
        self.closed += 1


def segment(piece: Piece) -> Segment:
    ends = (*C, *S) if piece.side is Side.CLIENT else (*S, *C)
    return Segment(*ends, piece.sequence, piece.acknowledged, piece.flags, piece.data, 0)


def run(pieces, log: Log | None = None, step: float = 0.001) -> Log:
    log = log or Log()
    taker = Streams(log.ear)
    for number, piece in enumerate(pieces):
        taker.take(piece if isinstance(piece, Segment) else segment(piece), number * step)
    taker.finish()
    return log


BLOCKS = make.POP3
SAID = [(side.value, data) for side, data in BLOCKS]


@given(st.data())
def test_any_split_order_or_repetition_is_the_same_stream(data: st.DataObject):
    """Also in one order of both directions: cause before effect."""
    talk = make.conversation(BLOCKS, size=data.draw(st.integers(1, 8)))
    pieces = list(talk.pieces)
    pieces += data.draw(st.lists(st.sampled_from(pieces), max_size=8))
    keep_start = data.draw(st.booleans())
    head, tail = (pieces[:3], pieces[3:]) if keep_start else ([], pieces)
    log = run([*head, *data.draw(st.permutations(tail))])
    assert log.all == SAID
    assert (log.ears, log.closed) == (1, 1)


@given(st.data())
def test_segments_that_overlap_are_the_same_stream(data: st.DataObject):
    """A retransmission may be cut otherwise than what it repeats."""
    talk = Talk()
    talk.begin()
    octets = bytes(range(60))
    begin = talk.numbers[Side.CLIENT]
    talk.say(Side.CLIENT, octets)
    other = talk.numbers[Side.SERVER]
    cuts = data.draw(st.lists(st.tuples(st.integers(0, 59), st.integers(1, 30)), max_size=12))
    whole = [Piece(Side.CLIENT, begin, other, ACK, octets)]
    parts = [
        Piece(Side.CLIENT, (begin + at) & 0xFFFFFFFF, other, ACK, octets[at : at + size])
        for at, size in cuts
    ]
    log = run([*talk.pieces[:3], *data.draw(st.permutations([*whole, *parts]))])
    assert log.all == [("C", octets)]


def test_numbers_wrap():
    talk = Talk(numbers={Side.CLIENT: 0xFFFFFFFE, Side.SERVER: 0xFFFFFFFF})
    talk.begin()
    for side, block in BLOCKS * 3:
        talk.say(side, block, 3)
    assert run(talk.pieces).all == [*SAID[:-1], ("S", b"+OK\r\n+OK ready\r\n"), *SAID[1:-1],
                                    ("S", b"+OK\r\n+OK ready\r\n"), *SAID[1:]]  # fmt: skip


def test_a_lost_segment_is_said_with_its_size():
    talk = make.conversation(BLOCKS)
    pieces = [piece for piece in talk.pieces if not piece.data.startswith(b"PASS")]
    assert run(pieces).all == [*SAID[:3], ("C", len(b"PASS s3cret\r\n")), *SAID[4:]]


def test_lost_segments_of_both_sides():
    pieces = [piece for piece in make.conversation(BLOCKS).pieces if piece.data[1:3] != b"OK"]
    assert run(pieces).all == [("S", 11), SAID[1], ("S", 5), SAID[3], ("S", 16), SAID[5]]


def test_what_was_cut_off_is_missing():
    talk = make.conversation(BLOCKS)
    cut = [
        segment(piece)._replace(payload=piece.data[:4], cut=len(piece.data[4:]))
        if piece.data
        else segment(piece)
        for piece in talk.pieces
    ]
    heard = run(cut).all
    assert heard[:4] == [("S", b"+OK "), ("S", 7), ("C", b"USER"), ("C", 11)]


def test_a_session_picked_up_in_the_middle():
    pieces = make.conversation(BLOCKS).pieces[5:]
    log = run(pieces)
    assert log.clients == [None]
    assert [each for each in log.all if each[1]] == SAID[2:]
    assert log.all[0] in (("S", 0), ("C", 0))


def test_one_direction_alone_is_enough():
    pieces = [each for each in make.conversation(BLOCKS).pieces if each.side is Side.CLIENT]
    heard = run(pieces).all
    assert [each for each in heard if each[0] == "C"] == [SAID[1], SAID[3], SAID[5]]
    assert ("S", 0) in heard


def test_who_began_is_known_from_either_syn():
    pieces = make.conversation(BLOCKS).pieces
    for kept in (pieces, pieces[:1] + pieces[2:], pieces[1:]):
        log = run(kept)
        assert log.clients == [0 if C < S else 1]


def test_ports_used_again_are_another_connection():
    first, second = make.conversation(BLOCKS), make.conversation(BLOCKS)
    again = [replace(each, sequence=(each.sequence + 777777) & 0xFFFFFFFF,
                     acknowledged=(each.acknowledged + 777777) & 0xFFFFFFFF)
             for each in second.pieces]  # fmt: skip
    log = run([*first.pieces, *again])
    assert (log.ears, log.closed) == (2, 2)
    assert log.all == [*SAID, *SAID]
    unended = run([*first.pieces[:-3], *again])
    assert (unended.ears, unended.closed) == (2, 2)


def test_what_comes_behind_the_end_is_nothing_new():
    talk = make.conversation(BLOCKS)
    log = run([*talk.pieces, *talk.pieces, *talk.pieces[5:9]])
    assert (log.all, log.ears) == (SAID, 1)


def test_a_reset_ends_it():
    talk = make.conversation(BLOCKS)
    pieces = talk.pieces[:-3]
    end = Talk(numbers=dict(talk.numbers))
    end.numbers = {side: number - 1 & 0xFFFFFFFF for side, number in talk.numbers.items()}
    end.reset(Side.SERVER)
    log = Log()
    taker = Streams(log.ear)
    for piece in [*pieces, *end.pieces]:
        taker.take(segment(piece), 0.0)
    assert (log.all, log.closed) == (SAID, 1)


def test_who_wants_no_more_is_not_told_more():
    log = Log()
    log.deaf = True
    run([*make.conversation(BLOCKS).pieces, *make.conversation(BLOCKS).pieces], log)
    assert (log.all, log.ears, log.closed) == (SAID[:1], 1, 1)


def test_a_hole_is_waited_for_by_the_capture_s_time_and_no_longer():
    pieces = make.conversation(BLOCKS).pieces
    lost = [piece for piece in pieces[:-5] if not piece.data.startswith(b"USER")]
    log = Log()
    taker = Streams(log.ear)
    for piece in lost:
        taker.take(segment(piece), 1.0)
    assert log.all == SAID[:1]
    taker.sweep(1.0 + streams.PATIENCE + 0.1)
    assert log.all[1:3] == [("C", 15), SAID[2]]


def test_two_that_wait_for_each_other_are_not_waited_for():
    """No honest pair of hosts says this."""
    head = make.conversation(BLOCKS).pieces[:3]
    client, server = head[2].sequence, head[2].acknowledged
    lies = [
        Piece(Side.CLIENT, client, server + 50, ACK, b"first"),
        Piece(Side.SERVER, server, (client + 60) & 0xFFFFFFFF, ACK, b"second"),
    ]
    heard = run([*head, *lies]).all
    assert {each for each in heard if isinstance(each[1], bytes)} == {
        ("C", b"first"), ("S", b"second"),
    }  # fmt: skip


def held(taker: Streams) -> int:
    return sum(
        len(each.data)
        for flow in taker._flows.values()
        for half in flow.halves
        for each in half.waiting
    )


def test_a_hole_in_a_long_stream_holds_little():
    log = Log()
    taker = Streams(log.ear)
    for piece in make.conversation(BLOCKS).pieces[:3]:
        taker.take(segment(piece), 0.0)
    half = Piece(Side.SERVER, 5001 + 10**6, 0xFFFFFFF1, ACK)
    for number in range(2000):
        data = bytes(1460)
        taker.take(segment(replace(half, sequence=half.sequence + number * 1460, data=data)), 0.0)
        assert held(taker) <= streams.OCTETS
    taker.finish()
    assert log.all[0] == ("S", 10**6)
    assert sum(len(each[1]) for each in log.all if isinstance(each[1], bytes)) == 2000 * 1460


def half_open(number: int) -> Segment:
    return Segment(number.to_bytes(4, "big"), 1024 + number % 60000, *S, 1, 0, SYN, b"", 0)


def test_half_open_connections_give_way_to_those_that_speak():
    log = Log()
    taker = Streams(log.ear, flows=100)
    talk = make.conversation(BLOCKS)
    for piece in talk.pieces[:5]:
        taker.take(segment(piece), 0.0)
    for number in range(5000):
        taker.take(half_open(number), 0.0)
    for piece in talk.pieces[5:]:
        taker.take(segment(piece), 0.0)
    assert log.all == SAID
    assert taker.given_up == 0
    assert len(taker._begun) + len(taker._flows) <= 100
    assert len(taker._ended) <= 100


def test_too_many_that_speak_are_given_up_and_counted():
    log = Log()
    taker = Streams(log.ear, flows=10)
    for number in range(15):
        opened = half_open(number)
        taker.take(opened, 0.0)
        taker.take(opened._replace(sequence=2, flags=0, payload=b"x"), 0.0)
    assert taker.given_up == 5


@pytest.mark.parametrize("seed", range(20))
def test_any_segments_come_to_an_end(seed: int):
    """Numbers, flags and order by chance: no endless loop, nothing held without bounds."""
    chance = random.Random(seed)
    log = Log()
    taker = Streams(log.ear)
    for number in range(3000):
        piece = Piece(
            chance.choice(list(Side)),
            (5000 + chance.choice([chance.randrange(200), chance.randrange(1 << 32)])) & 0xFFFFFFFF,
            (5000 + chance.randrange(300)) & 0xFFFFFFFF,
            chance.choice([0, ACK, ACK, ACK | 1, SYN, SYN | ACK, 4, 4 | ACK]),
            bytes(chance.randrange(30)),
        )
        taker.take(segment(piece), number * 0.01)
        assert held(taker) <= streams.OCTETS
    taker.finish()
    assert log.closed == log.ears
