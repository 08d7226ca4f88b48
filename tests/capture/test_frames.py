"""Whatever a segment is wrapped in, it is the same segment."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.capture import frames
from mailseal.capture.frames import Frames, Segment
from mailseal.protocols.base import Side
from tests.capture import make

PIECE = make.Piece(Side.CLIENT, 1000, 2000, 0x18, b"USER somebody\r\n")
TCP = make.tcp((40000, 110), PIECE)
FOUR = make.ipv4(make.CLIENT, make.SERVER, TCP)
SIX = make.ipv6("2001:db8::7", "2001:db8::a", TCP)


def other(port: int) -> bytes:
    piece = make.Piece(Side.CLIENT, 1, 2, 16, b"x")
    return make.tcp((40000, port), piece)


def hop(*kinds: int) -> bytes:
    """IPv6 with extension headers of these kinds before TCP."""
    body = TCP
    for kind, following in zip(reversed(kinds), (6, *reversed(kinds)), strict=False):
        units = 2 if kind == 51 else 1
        body = bytes((following, units)) + bytes((4 * 4 if kind == 51 else 16) - 2) + body
    return make.ipv6("2001:db8::7", "2001:db8::a", body, kinds[0])


WRAPPED = {
    "Ethernet": (frames.ETHERNET, make.ethernet(FOUR)),
    "Ethernet, padded": (frames.ETHERNET, make.ethernet(FOUR) + bytes(9)),
    "VLAN": (frames.ETHERNET, make.ethernet(FOUR, tags=(0x8100,))),
    "QinQ": (frames.ETHERNET, make.ethernet(FOUR, tags=(0x88A8, 0x8100))),
    "IPv6": (frames.ETHERNET, make.ethernet(SIX)),
    "extension headers": (frames.ETHERNET, make.ethernet(hop(0, 43, 60, 51))),
    "IP options": (
        frames.ETHERNET, make.ethernet(make.ipv4(make.CLIENT, make.SERVER, TCP, b"\1" * 8)),
    ),
    "Linux SLL": (frames.LINUX_SLL, bytes(14) + b"\x08\x00" + FOUR),
    "Linux SLL, VLAN": (frames.LINUX_SLL, bytes(14) + b"\x81\x00\x45\x01\x08\x00" + FOUR),
    "Linux SLL2": (frames.LINUX_SLL2, b"\x86\xdd" + bytes(18) + SIX),
    "raw": (frames.RAW, FOUR),
    "raw IPv6": (frames.IPV6, SIX),
    "BSD loopback": (frames.NULL, struct.pack("<I", socket.AF_INET) + FOUR),
    "BSD loopback IPv6": (frames.LOOP, struct.pack(">I", 24) + SIX),
}  # fmt: skip


@pytest.mark.parametrize("ports", [(), (110,)], ids=["any port", "110"])
@pytest.mark.parametrize("wrap", WRAPPED)
def test_in_every_wrap(wrap: str, ports):
    found = Frames(ports).segment(*WRAPPED[wrap])
    six = found is not None and len(found.source) == 16
    ends = ("2001:db8::7", "2001:db8::a") if six else (make.CLIENT, make.SERVER)
    assert found is not None
    assert (frames.address(found.source), frames.address(found.target)) == ends
    assert found[1::2] == (40000, 110, 2000, PIECE.data)
    assert (found.sequence, found.flags, found.cut) == (1000, 0x18, 0)


def test_other_ports_are_left_out():
    assert Frames((143,)).segment(*WRAPPED["Ethernet"]) is None
    assert Frames((143,)).segment(*WRAPPED["IPv6"]) is None


def test_options_of_tcp_are_no_data():
    body = make.tcp((40000, 110), PIECE, b"\1" * 12)
    found = Frames().segment(frames.RAW, make.ipv4(make.CLIENT, make.SERVER, body))
    assert found is not None
    assert found.payload == PIECE.data


@pytest.mark.parametrize("wrap", ["Ethernet", "IPv6", "extension headers", "Linux SLL2"])
def test_what_a_capture_cut_off_is_counted(wrap: str):
    link, data = WRAPPED[wrap]
    found = Frames().segment(link, data[:-5])
    assert found is not None
    assert (found.payload, found.cut) == (PIECE.data[:-5], 5)
    bare = Frames().segment(link, data[: -len(PIECE.data)])
    assert bare is not None
    assert (bare.payload, bare.cut) == (b"", len(PIECE.data))


def fragments(size: int, six: bool) -> list[bytes]:
    body = TCP + b"x" * 100
    out = []
    for at in range(0, len(body), size):
        part, more = body[at : at + size], at + size < len(body)
        if six:
            head = bytes((6, 0)) + struct.pack("!HI", at | more, 77)
            out.append(make.ipv6("2001:db8::7", "2001:db8::a", head + part, 44))
        else:
            place = at // 8 | (0x2000 if more else 0)
            out.append(make.ipv4(make.CLIENT, make.SERVER, part, fragment=place))
    return out


@pytest.mark.parametrize("six", [False, True])
@given(order=st.permutations(range(6)), again=st.integers(0, 5))
def test_fragments_come_in_any_order(six: bool, order, again: int):
    pieces = fragments(24, six)
    assert len(pieces) == 6
    taker = Frames((110,))
    found = [taker.segment(frames.RAW, pieces[index]) for index in [*order[:5], *order[:1]]]
    assert not any(found)
    last = taker.segment(frames.RAW, pieces[order[5]])
    assert last is not None
    assert last.payload == PIECE.data + b"x" * 100


def test_fragments_that_never_become_whole_are_counted_and_bounded():
    taker = Frames()
    for number in range(frames.FRAGMENTS + 10):
        first = make.ipv4(
            make.CLIENT, make.SERVER, TCP[:24], fragment=0x2000, number=number & 0xFFFF
        )
        assert taker.segment(frames.RAW, first) is None
    assert taker.given_up == 10
    taker.finish()
    assert taker.given_up == frames.FRAGMENTS + 10


@pytest.mark.parametrize("wrap", WRAPPED)
def test_any_part_of_a_frame_is_read(wrap: str):
    link, data = WRAPPED[wrap]
    for end in range(len(data)):
        found = Frames().segment(link, data[:end])
        assert found is None or PIECE.data.startswith(found.payload)


def test_headers_that_lie_are_counted():
    taker = Frames()
    short = make.ipv4(make.CLIENT, make.SERVER, TCP[:12] + b"\x10" + TCP[13:])
    assert taker.segment(frames.RAW, short) is None
    long = make.ipv4(make.CLIENT, make.SERVER, TCP[:12] + b"\xf0" + TCP[13:])
    assert taker.segment(frames.RAW, long) is None
    assert taker.broken == 2


@given(
    st.binary(max_size=120), st.sampled_from([0, 1, 12, 101, 108, 113, 228, 229, 276]),
    st.sampled_from(list(WRAPPED)),
)  # fmt: skip
def test_any_octets_are_a_segment_or_none(noise: bytes, link: int, wrap: str):
    taker = Frames()
    data = WRAPPED[wrap][1]
    for octets in (noise, data[: len(noise)] + noise, noise + data):
        found = taker.segment(link, octets)
        assert found is None or isinstance(found, Segment)
