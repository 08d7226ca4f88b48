"""Captures of every form say the same; what is damaged ends them with a word."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.capture import past
from mailseal.capture.files import Packet, Reader, Unreadable
from mailseal.protocols.recognise import PORTS
from tests.capture import make

FRAMES = make.frames_of(make.conversation(make.POP3))
OTHER = make.frames_of(make.conversation(make.POP3, port=443))


def read(data: bytes, ports=(), size: int = 1 << 20) -> tuple[list[Packet], Reader]:
    reader = Reader(ports)
    blocks = (data[at : at + size] for at in range(0, len(data), size))
    return list(reader.read(blocks)), reader


FORMS = {
    "little-endian": make.pcap(FRAMES),
    "big-endian": make.pcap(FRAMES, ">"),
    "nanoseconds": make.pcap(FRAMES, nano=True),
    "nanoseconds, big-endian": make.pcap(FRAMES, ">", nano=True),
    "pcapng": make.pcapng(FRAMES),
    "pcapng, big-endian": make.pcapng(FRAMES, ">"),
}


@pytest.mark.parametrize("ports", [(), PORTS], ids=["all", "of mail"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_same_packets(form: str, ports):
    packets, reader = read(FORMS[form], ports)
    assert [packet.data for packet in packets] == FRAMES
    times = [round((packet.time - make.START) * 1000) for packet in packets]
    assert times == list(range(len(FRAMES)))
    assert reader.packets == len(FRAMES)
    assert reader.cut == ""


@pytest.mark.parametrize("form", [make.pcap, make.pcapng])
@pytest.mark.parametrize("size", [1, 7, 64, 97, 200, 1000])
def test_blocks_may_be_cut_anywhere(form, size: int):
    """Among packets of no interest, too, whose rest is passed by."""
    frames = [each for pair in zip(OTHER, FRAMES, OTHER, strict=True) for each in pair]
    packets, reader = read(form(frames), PORTS, size)
    assert [packet.data for packet in packets] == FRAMES
    assert reader.packets == len(frames)
    assert reader.cut == ""


@pytest.mark.parametrize(
    "other",
    [
        make.ethernet(make.ipv4("192.0.2.1", "192.0.2.2", bytes(40), fragment=0x2000)),
        make.ethernet(make.ipv4("192.0.2.1", "192.0.2.2", bytes(40), b"\1" * 4)),
        make.ethernet(make.ipv6("2001:db8::1", "2001:db8::2", bytes(40), following=0)),
        make.ethernet(make.ipv4("192.0.2.1", "192.0.2.2", bytes(40)), tags=(0x8100,)),
    ],
)
@pytest.mark.parametrize("form", [make.pcap, make.pcapng])
def test_what_a_quick_look_cannot_tell_is_handed_on(form, other: bytes):
    packets, _ = read(form([other]), PORTS)
    assert [packet.data for packet in packets] == [other]


@pytest.mark.parametrize(
    "other",
    [
        make.ethernet(make.ipv4("192.0.2.1", "192.0.2.2", bytes(40))),
        make.ethernet(make.ipv6("2001:db8::1", "2001:db8::2", bytes(40))),
        make.ethernet(make.ipv6("2001:db8::1", "2001:db8::2", bytes(40), following=17)),
    ],
)
def test_what_is_surely_no_mail_is_not(other: bytes):
    packets, reader = read(make.pcap([other]), PORTS)
    assert (packets, reader.packets) == ([], 1)


def test_sections_and_interfaces_have_their_own_ways():
    """A second section in another byte order, interfaces of other links and units of time."""
    frame = FRAMES[4]
    data = b"".join(
        [
            make.section(), make.interface(resolution=9), make.interface(101),
            make.enhanced(frame, 5 * 10**9), make.enhanced(frame[14:], 7 * 10**6, 1),
            make.block(0xBAD, b"unknown"),
            make.section(">"), make.interface(order=">", resolution=0x80 | 10),
            make.enhanced(frame, 9 << 10, order=">"),
            make.block(3, struct.pack(">I", len(frame)) + frame, ">"),
        ]
    )  # fmt: skip
    packets, reader = read(data, PORTS)
    assert [(packet.time, packet.link) for packet in packets] == [(5, 1), (7, 101), (9, 1), (0, 1)]
    assert [packet.data for packet in packets] == [frame, frame[14:], frame, frame]
    assert reader.cut == ""


def test_a_simple_packet_is_as_long_as_its_interface_lets_it_be():
    """Its own length is not written; what fills the block up is none of it."""
    frame = FRAMES[4]
    limited = make.block(1, struct.pack("<HHI", 1, 0, 61))
    body = struct.pack("<I", len(frame)) + frame[:61]
    [packet], reader = read(make.section() + limited + make.block(3, body))
    assert packet.data == frame[:61]
    assert reader.cut == ""


def test_a_link_that_is_not_known_is_counted():
    for data in (make.pcap(FRAMES, link=105), make.section() + make.interface(105) + b""):
        _, reader = read(data, PORTS)
        assert reader.unknown == ({105: len(FRAMES)} if data[:1] == b"\xd4" else {})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"no capture", "neither pcap"),
        (b"\x34\xcd\xb2\xa1" * 9, "modified tcpdump"),
    ],
)
def test_what_is_no_capture_is_said_to_be_none(data: bytes, words: str):
    with pytest.raises(Unreadable, match=words):
        read(data)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_may_end_anywhere(form: str):
    data = FORMS[form]
    for end in range(4, len(data), 13):
        packets, reader = read(data[:end], PORTS)
        assert [packet.data for packet in packets] == FRAMES[: len(packets)]
        whole = read(data[:end])[1].cut == "" and reader.cut == ""
        assert whole or "ends within" in reader.cut


@pytest.mark.parametrize("length", [past.MAX_RECORD + 4, 0xFFFFFFFC])
@pytest.mark.parametrize("ports", [(), PORTS])
def test_a_length_that_lies_ends_it(length: int, ports):
    lie = struct.pack("<IIII", 0, 0, length, length)
    packets, reader = read(make.pcap(FRAMES[:2]) + lie + bytes(200), ports)
    assert len(packets) == 2
    assert "the file is damaged" in reader.cut
    blocks = make.pcapng(FRAMES[:2]) + struct.pack("<III", 6, length, 0) + bytes(200)
    packets, reader = read(blocks, ports)
    assert len(packets) == 2
    assert "the file is damaged" in reader.cut


def test_a_packet_larger_than_its_block_ends_it():
    body = struct.pack("<IIIII", 0, 0, 0, 4000, 4000) + FRAMES[0]
    _, reader = read(make.section() + make.interface() + make.block(6, body))
    assert "the file is damaged" in reader.cut
    _, reader = read(make.section() + make.enhanced(FRAMES[0], 0))
    assert "interface 0" in reader.cut


@given(st.binary(max_size=400), st.sampled_from(list(FORMS)), st.integers(4, 90))
def test_any_octets_are_read_to_an_end(noise: bytes, form: str, at: int):
    data = FORMS[form][:at] + noise
    for ports in ((), PORTS):
        read(data, ports, 50)
