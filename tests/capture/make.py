"""Packets made by hand: segments of a conversation, frames around them, files of frames."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mailseal.capture.files import Reader
from mailseal.capture.frames import ACK, ETHERNET, FIN, RST, SYN, Frames
from mailseal.capture.observer import Observer
from mailseal.capture.streams import Streams
from mailseal.model.login import Login
from mailseal.protocols.base import Side

CLIENT, SERVER = "192.0.2.7", "192.0.2.10"
START = 1_700_000_000.0


@dataclass(frozen=True)
class Piece:
    """A TCP segment of one side."""

    side: Side
    sequence: int
    acknowledged: int
    flags: int
    data: bytes = b""


@dataclass
class Talk:
    """A connection being made up: what is said becomes segments, in order."""

    port: int = 110
    client_port: int = 40000
    numbers: dict[Side, int] = field(
        default_factory=lambda: {Side.CLIENT: 0xFFFFFFF0, Side.SERVER: 5000}
    )
    pieces: list[Piece] = field(default_factory=list)

    def begin(self) -> None:
        self._add(Side.CLIENT, SYN, acknowledged=0)
        self._add(Side.SERVER, SYN | ACK)
        self._add(Side.CLIENT, ACK)

    def say(self, side: Side, data: bytes, size: int = 1460) -> None:
        for at in range(0, len(data), size):
            self._add(side, ACK | 8, data[at : at + size])

    def end(self) -> None:
        for side in Side:
            self._add(side, FIN | ACK)
        self._add(Side.CLIENT, ACK)

    def reset(self, side: Side) -> None:
        self._add(side, RST | ACK)

    def _add(self, side: Side, flags: int, data: bytes = b"", acknowledged: int = -1) -> None:
        other = self.numbers[Side.SERVER if side is Side.CLIENT else Side.CLIENT]
        known = other if acknowledged < 0 else acknowledged
        self.pieces.append(Piece(side, self.numbers[side], known, flags, data))
        step = len(data) + bool(flags & (SYN | FIN))
        self.numbers[side] = (self.numbers[side] + step) & 0xFFFFFFFF

    def packet(self, piece: Piece, wrap: Callable[[bytes], bytes] | None = None) -> bytes:
        """The segment as an Ethernet frame."""
        ports = (self.client_port, self.port)
        ends = (CLIENT, SERVER)
        if piece.side is Side.SERVER:
            ports, ends = ports[::-1], ends[::-1]
        body = tcp(ports, piece)
        return (wrap or ethernet)(ipv4(*ends, body))


def conversation(blocks: Iterable[tuple[Side, bytes]], port: int = 110, size: int = 1460) -> Talk:
    """A whole connection."""
    talk = Talk(port)
    talk.begin()
    for side, data in blocks:
        talk.say(side, data, size)
    talk.end()
    return talk


def tcp(ports: tuple[int, int], piece: Piece, options: bytes = b"") -> bytes:
    offset = (20 + len(options)) // 4 << 4
    numbers = (piece.sequence, piece.acknowledged)
    head = struct.pack("!HHIIBBHHH", *ports, *numbers, offset, piece.flags, 65535, 0, 0)
    return head + options + piece.data


def ipv4(
    source: str,
    target: str,
    body: bytes,
    options: bytes = b"",
    fragment: int = 0x4000,
    number: int = 1,
) -> bytes:
    length = 20 + len(options)
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x40 | length // 4, 0, length + len(body), number, fragment, 64, 6, 0,
        socket.inet_aton(source), socket.inet_aton(target),
    )  # fmt: skip
    return head + options + body


def ipv6(source: str, target: str, body: bytes, following: int = 6) -> bytes:
    ends = [socket.inet_pton(socket.AF_INET6, each) for each in (source, target)]
    return struct.pack("!IHBB", 6 << 28, len(body), following, 64) + ends[0] + ends[1] + body


def ethernet(body: bytes, kind: int | None = None, tags: Sequence[int] = ()) -> bytes:
    kind = kind or (0x86DD if body[0] >> 4 == 6 else 0x0800)
    tagged = b"".join(struct.pack("!HH", tag, 0x4501) for tag in tags)
    return bytes(12) + tagged + struct.pack("!H", kind) + body


def pcap(
    frames: Iterable[bytes],
    order: str = "<",
    link: int = ETHERNET,
    nano: bool = False,
    cut: int = 0,
) -> bytes:
    """A pcap file; each frame a millisecond later, no more than `cut` octets of each."""
    magic, unit = (0xA1B23C4D, 10**9) if nano else (0xA1B2C3D4, 10**6)
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for number, frame in enumerate(frames):
        kept = frame[: cut or len(frame)]
        parts = number * unit // 1000
        when = (int(START) + parts // unit, parts % unit)
        out.append(struct.pack(order + "IIII", *when, len(kept), len(frame)) + kept)
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = ETHERNET, order: str = "<", resolution: int | None = None) -> bytes:
    options = b""
    if resolution is not None:
        options = struct.pack(order + "HHBxxxHH", 9, 1, resolution, 0, 0)
    return block(1, struct.pack(order + "HHI", link, 0, 0) + options, order)


def enhanced(frame: bytes, ticks: int, number: int = 0, order: str = "<") -> bytes:
    head = struct.pack(
        order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)
    )
    return block(6, head + frame, order)


def pcapng(frames: Iterable[bytes], order: str = "<") -> bytes:
    out = [section(order), interface(order=order)]
    for number, frame in enumerate(frames):
        out.append(enhanced(frame, int(START * 10**6) + number * 1000, order=order))
    return b"".join(out)


@dataclass
class Heard:
    logins: list[Login]
    observer: Observer
    streams: Streams
    frames: Frames
    reader: Reader


def heard(data: bytes | Iterable[bytes], ports: Iterable[int] = (), flows: int = 1 << 16) -> Heard:
    """A capture file through the whole way."""
    logins: list[Login] = []
    observer = Observer(logins.append)
    streams = Streams(observer.ear, flows)
    wanted = tuple(ports)
    reader, frames = Reader(wanted), Frames(wanted)
    for packet in reader.read([data] if isinstance(data, bytes) else data):
        segment = frames.segment(packet.link, packet.data)
        if segment is not None:
            streams.take(segment, packet.time)
    streams.finish()
    frames.finish()
    return Heard(logins, observer, streams, frames, reader)


POP3: tuple[tuple[Side, bytes], ...] = (
    (Side.SERVER, b"+OK ready\r\n"),
    (Side.CLIENT, b"USER somebody\r\n"),
    (Side.SERVER, b"+OK\r\n"),
    (Side.CLIENT, b"PASS s3cret\r\n"),
    (Side.SERVER, b"+OK Logged in.\r\n"),
    (Side.CLIENT, b"QUIT\r\n"),
    (Side.SERVER, b"+OK\r\n"),
)
"""A login that succeeds."""


def frames_of(talk: Talk) -> list[bytes]:
    return [talk.packet(piece) for piece in talk.pieces]
