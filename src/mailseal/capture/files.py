"""Packets of capture files: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).

Strategy: nearly every packet of a capture is of no interest, and `past` goes over those; what it
stops at is handed on, and `frames` decides. The file comes in blocks; a record that lies across two
is put together, nothing else is copied. Lengths are checked before they are believed.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Generator, Iterable, Iterator
from typing import NamedTuple

from mailseal.capture import past
from mailseal.capture.frames import ETHERNET, LINUX_SLL, is_known
from mailseal.capture.past import ENHANCED, INTERFACES, MAX_RECORD, SLACK


class Packet(NamedTuple):
    """A frame as it was captured. `time` is seconds since 1970, `link` its type
    (https://www.tcpdump.org/linktypes.html).
    """

    time: float
    link: int
    data: bytes


class Unreadable(Exception):
    """It is no capture, or not from here on. `str()` says so to its owner."""


_HEADERS = {
    # Magic: byte order, parts of a second.
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_MODIFIED = b"\x34\xcd\xb2\xa1"

_AT = {ETHERNET: 12, LINUX_SLL: 14}
"""Of a link: where the EtherType stands, right before the IP header."""


class Reader:
    """Give it blocks, it gives packets. `ports`: packets between other ports alone are left out
    (empty: none is). `packets` counts all, `size` the octets gone through, `unknown` the packets of
    links that are not known, by type. `cut` says why the file was not read to its end, if so.
    """

    def __init__(self, ports: Collection[int] = ()) -> None:
        self.ports = ports
        self.packets = 0
        self.size = 0
        self.unknown: dict[int, int] = {}
        self.cut = ""

    def read(self, blocks: Iterable[bytes]) -> Iterator[Packet]:
        """The packets that may be of interest. Raises Unreadable for what is no capture at all;
        what is damaged further on ends it, and `cut` says why.
        """
        source = _Source(blocks)
        magic = source.take(4)
        if magic in _HEADERS:
            yield from self._pcap(source, *_HEADERS[magic])
        elif magic == _PCAPNG:
            yield from self._pcapng(source)
        elif magic == _MODIFIED:
            raise Unreadable("a capture of a modified tcpdump: convert it with `editcap -F pcap`")
        elif not magic:
            raise Unreadable("it is empty")
        else:
            raise Unreadable("it is no capture: neither pcap nor pcapng")

    # -- pcap ----------------------------------------------------------------------------------

    def _pcap(self, source: _Source, order: str, unit: float) -> Iterator[Packet]:
        header = source.take(20)
        if len(header) < 20:
            self.cut = "the file ends within its header"
            return
        (link,) = struct.unpack_from(order + "I", header, 16)
        walk = _Pcap(self, order, unit, link & 0x0FFFFFFF)
        yield from self._walked(source, walk)

    def _walked(self, source: _Source, walk: _Pcap | _Pcapng) -> Iterator[Packet]:
        """Drives a walk over the blocks; what is left of one begins the next."""
        rest, at = b"", 0
        try:
            for block in source.blocks():
                self.size += len(block)
                # First the records that lie across the two blocks.
                while rest:
                    need = walk.need(rest)
                    if len(rest) >= need:
                        yield from walk.walk(rest[:need] + bytes(SLACK), 0, need)
                        rest = rest[need:]
                    elif at < len(block):
                        part = block[at : at + need - len(rest)]
                        at += len(part)
                        rest += part
                    else:
                        break
                if not rest and at < len(block):
                    at = yield from walk.walk(block, at, len(block) - SLACK)
                    rest = block[at:]
                    at = max(at, len(block))
                # Of a record that nobody wants the rest is passed by.
                at -= len(block)
            end = len(rest)
            at += yield from walk.walk(rest + bytes(SLACK), 0, end)
            if at != end:
                self.cut = "the file ends within a packet"
        except _Lie as error:
            self.cut = str(error)

    # -- pcapng --------------------------------------------------------------------------------

    def _pcapng(self, source: _Source) -> Iterator[Packet]:
        source.put_back(_PCAPNG)
        yield from self._walked(source, _Pcapng(self))

    def skip(self, link: int) -> None:
        """Notes a packet of a link that is not known."""
        self.unknown[link] = self.unknown.get(link, 0) + 1


class _Lie(Exception):
    """A length that cannot be: nothing behind it can be found."""


def _checked(length: int) -> int:
    if length > MAX_RECORD:
        words = "a packet of %d octets is said to follow: the file is damaged there"
        raise _Lie(words % length)
    return length


class _Source:
    """Blocks, of which the first octets can be taken one by one."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._head = b""

    def take(self, size: int) -> bytes:
        """The next octets, fewer at the end."""
        while len(self._head) < size:
            block = next(self._blocks, b"")
            if not block:
                break
            self._head += block
        taken, self._head = self._head[:size], self._head[size:]
        return taken

    def put_back(self, data: bytes) -> None:
        self._head = data + self._head

    def blocks(self) -> Iterator[bytes]:
        """What is left."""
        if self._head:
            head, self._head = self._head, b""
            yield head
        yield from self._blocks


_Walk = Generator[Packet, None, int]
"""Gives packets, returns the offset of the first record that is not whole."""


class _Pcap:
    """Walks the records of a pcap file: seconds, parts, captured and real length, 16 octets."""

    def __init__(self, reader: Reader, order: str, unit: float, link: int) -> None:
        self._reader = reader
        self._unit = unit
        self._link = link
        self._big = order == ">"
        self._length = struct.Struct(order + "8xI")
        self._header = struct.Struct(order + "II")
        self._kind = _AT.get(link) if reader.ports else None
        self._ports = past.ports(reader.ports)

    def need(self, begun: bytes) -> int:
        """How long the record is that begins so, as far as can be told."""
        if len(begun) < 16:
            return 16
        return 16 + _checked(self._length.unpack_from(begun)[0])

    def walk(self, data: bytes, at: int, end: int) -> _Walk:
        """Over the records that begin in `data` and are whole before `end`, behind which there are
        at least SLACK octets. One that nobody wants may end behind it.
        """
        known = is_known(self._link)
        while at <= end - 16:
            if self._kind is not None:
                at, count = past.pcap(data, at, end, self._kind, self._big, self._ports)
                self._reader.packets += count
                if at > end - 16:
                    break
            length = _checked(self._length.unpack_from(data, at)[0])
            if at + 16 + length > end:
                break
            self._reader.packets += 1
            if known:
                yield self._packet(data, at, length)
            else:
                self._reader.skip(self._link)
            at += 16 + length
        return at

    def _packet(self, data: bytes, at: int, length: int) -> Packet:
        seconds, parts = self._header.unpack_from(data, at)
        frame = data[at + 16 : at + 16 + length]
        return Packet(seconds + parts * self._unit, self._link, frame)


_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, ENHANCED
_FRAME = {_ENHANCED: 28, _OLD_PACKET: 28, _SIMPLE: 12}
"""Where the frame begins, by the type of its block."""


class _Interface(NamedTuple):
    link: int
    snap: int
    unit: float
    offset: int


class _Pcapng:
    """Walks the blocks of a pcapng file: type, length, body, length again. A section has its own
    byte order and interfaces.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._order = "<"
        self._ports = past.ports(reader.ports)
        self._interfaces: list[_Interface] = []
        self._begin("<")

    def _begin(self, order: str) -> None:
        """A section begins."""
        self._order = order
        self._interfaces.clear()
        self._head = struct.Struct(order + "II")
        self._enhanced = struct.Struct(order + "8xIIII")
        self._old = struct.Struct(order + "8xH2xIII")
        # Of interfaces like the first the packets that nobody wants are passed by.
        self._kind: int | None = None
        self._numbers = b""

    def _length(self, data: bytes, at: int) -> int:
        """Of the block there, of which 12 octets are to be had; 0 where more are needed."""
        kind, length = self._head.unpack_from(data, at)
        if kind == _SECTION:
            # Its length is in the byte order that stands behind it.
            order = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
            found = order.get(data[at + 8 : at + 12])
            if found is None:
                raise _Lie("a section without a byte order: the file is damaged there")
            (length,) = struct.unpack_from(found + "I", data, at + 4)
        if length < 12 or length % 4:
            raise _Lie(f"a block of {length} octets is said to follow: the file is damaged there")
        return _checked(length)

    def need(self, begun: bytes) -> int:
        """How long the block is that begins so, as far as can be told."""
        return 12 if len(begun) < 12 else self._length(begun, 0)

    def walk(self, data: bytes, at: int, end: int) -> _Walk:
        """`data` has at least SLACK octets behind `end`."""
        while at <= end - 12:
            if self._kind is not None:
                at, count = past.pcapng(
                    data, at, end, self._kind, self._order == ">", self._ports, self._numbers
                )
                self._reader.packets += count
                if at > end - 12:
                    break
            length = self._length(data, at)
            if at + length > end:
                break
            packet = self._block(data, at, length)
            if packet is not None:
                yield packet
            at += length
        return at

    def _block(self, data: bytes, at: int, length: int) -> Packet | None:
        """Takes a whole block; the packet in it, if it has one that may be of interest."""
        (kind,) = struct.unpack_from(self._order + "I", data, at)
        if kind == _SECTION:
            self._begin("<" if data[at + 8] == 0x4D else ">")
        elif kind == _INTERFACE and length >= 20:
            self._interface(data[at + 8 : at + length - 4])
        elif kind in _FRAME and length >= _FRAME[kind] + 4:
            return self._packet(kind, data, at, length)
        return None

    def _interface(self, body: bytes) -> None:
        link, snap = struct.unpack_from(self._order + "HxxI", body)
        unit, offset, at = 1e-6, 0, 8
        while at + 4 <= len(body):
            code, size = struct.unpack_from(self._order + "HH", body, at)
            value = body[at + 4 : at + 4 + size]
            if code == 9 and value:
                unit = 2.0 ** -(value[0] & 0x7F) if value[0] & 0x80 else 10.0 ** -value[0]
            elif code == 14 and len(value) == 8:
                (offset,) = struct.unpack(self._order + "q", value)
            at += 4 + (size + 3) // 4 * 4
            if code == 0:
                break
        self._interfaces.append(_Interface(link, snap, unit, offset))
        first = self._interfaces[0].link
        self._kind = _AT.get(first) if self._reader.ports else None
        alike = [n for n, each in enumerate(self._interfaces) if each.link == first]
        self._numbers = past.bits([n for n in alike if n < INTERFACES], INTERFACES)

    def _packet(self, kind: int, data: bytes, at: int, length: int) -> Packet | None:
        self._reader.packets += 1
        high = low = number = 0
        if kind == _ENHANCED:
            number, high, low, size = self._enhanced.unpack_from(data, at)
        elif kind == _OLD_PACKET:
            number, high, low, size = self._old.unpack_from(data, at)
        else:
            (real,) = struct.unpack_from(self._order + "I", data, at + 8)
            # Its length is not written: it is that of the interface's limit, without the padding.
            snap = self._interfaces[0].snap if self._interfaces else 0
            size = min(real, snap or real, length - 16)
        begin = at + _FRAME[kind]
        if begin + size > at + length - 4:
            raise _Lie(f"a packet of {size} octets in a block of {length}: the file is damaged")
        if number >= len(self._interfaces):
            raise _Lie(f"a packet of interface {number}, which is not described")
        interface = self._interfaces[number]
        if not is_known(interface.link):
            self._reader.skip(interface.link)
            return None
        time = (high << 32 | low) * interface.unit + interface.offset
        return Packet(time, interface.link, data[begin : begin + size])
