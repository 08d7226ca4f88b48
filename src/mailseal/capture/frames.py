"""A frame taken apart: which TCP segment is in it.

Strategy: one function a layer, each gives what the next one needs or None for what is not TCP.
Lengths of headers are believed only as far as there are octets; what the capture cut off behind
them is counted, not made up. Fragments of IP are put together within bounds. Checksums are not
looked at: network cards fill them in behind the capture's back.
"""

from __future__ import annotations

import socket
import struct
from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

NULL, ETHERNET, RAW, LINUX_SLL, LOOP = 0, 1, 101, 113, 108
IPV4, IPV6, LINUX_SLL2 = 228, 229, 276
_RAWS = frozenset((RAW, IPV4, IPV6, 12, 14))
"""IP without anything before it. LINKTYPE_RAW is written as 12 or 14 by some systems."""
_KNOWN = _RAWS | {NULL, ETHERNET, LINUX_SLL, LOOP, LINUX_SLL2}

FIN, SYN, RST, ACK = 1, 2, 4, 16


def is_known(link: int) -> bool:
    """Whether frames of this link type can be read."""
    return link in _KNOWN


class Segment(NamedTuple):
    """A TCP segment. Addresses are 4 or 16 octets. `cut` counts octets of the payload that the
    capture has not.
    """

    source: bytes
    source_port: int
    target: bytes
    target_port: int
    sequence: int
    acknowledged: int
    flags: int
    payload: bytes
    cut: int


_PLAIN = struct.Struct("!16xH2xHxB2x4s4sHHIIBB")
"""TCP over IPv4 without options over Ethernet: total length, fragment, protocol, addresses, ports,
numbers, data offset, flags.
"""

_VLAN = frozenset((0x8100, 0x88A8, 0x9100, 0x9200))
_FRAGMENT = 44
_SIZES = {**dict.fromkeys((0, 43, 60, 135, 139, 140), (8, 1)), 51: (4, 2), _FRAGMENT: (8, 1)}
"""Extension headers of IPv6 (RFC 8200 section 4; 51 is RFC 4302): the unit of their length, and how
many of it there are where the length says none.
"""
HEADERS = 16
"""Extension headers of one packet."""

FRAGMENTS = 1024
"""Datagrams that are put together at a time; the oldest gives way."""
LARGEST = 1 << 16
PIECES = 64
"""Fragments of one datagram."""


_Key = tuple[bytes, bytes, int]
"""Of a datagram: both addresses, its number, the version of IP."""


class Frames:
    """Takes frames apart. `ports`: segments between other ports are left out (empty: none is).
    `broken` counts what says of itself that it is TCP and cannot be read; `given_up` datagrams of
    which a fragment was missing.
    """

    def __init__(self, ports: Collection[int] = ()) -> None:
        self._ports = frozenset(ports)
        self._waiting: OrderedDict[_Key, _Datagram] = OrderedDict()
        self.broken = 0
        self.given_up = 0

    def segment(self, link: int, data: bytes) -> Segment | None:
        """The segment in a frame, None where there is none that is wanted."""
        if link == ETHERNET and data[12:15] == b"\x08\x00\x45" and len(data) >= _PLAIN.size:
            # What nearly all are, in one step; the long way comes to the same.
            (
                total, place, protocol, source, target,
                from_port, to_port, sequence, acknowledged, offset, flags,
            ) = _PLAIN.unpack_from(data)  # fmt: skip
            begin = 34 + (offset >> 4) * 4
            if protocol == 6 and not place & 0x3FFF and 54 <= begin <= total + 14 <= len(data):
                if not self._wanted(from_port, to_port):
                    return None
                payload = data[begin : total + 14]
                ends = (source, from_port, target, to_port)
                return Segment(*ends, sequence, acknowledged, flags, payload, 0)
        at = self._network(link, data)
        if at is None or at >= len(data):
            return None
        version = data[at] >> 4
        if version == 4:
            return self._ipv4(data, at)
        return self._ipv6(data, at) if version == 6 else None

    def _network(self, link: int, data: bytes) -> int | None:
        """Where IP begins."""
        if link in _RAWS:
            return 0
        if link in (NULL, LOOP):
            # The address family, in the byte order of whoever captured: IP's own version tells.
            return 4
        if link == LINUX_SLL2:
            at, kind = 20, int.from_bytes(data[0:2], "big")
        else:
            at = 16 if link == LINUX_SLL else 14
            kind = int.from_bytes(data[at - 2 : at], "big")
        while kind in _VLAN:
            kind = int.from_bytes(data[at + 2 : at + 4], "big")
            at += 4
        return at if kind in (0x0800, 0x86DD) else None

    def _ipv4(self, data: bytes, at: int) -> Segment | None:
        if len(data) < at + 20 or (data[at + 9] != 6):
            return None
        total, _, fragment = struct.unpack_from("!HHH", data, at + 2)
        header = (data[at] & 15) * 4
        if header < 20 or (total and total < header):
            self.broken += 1
            return None
        # A length of 0 is that of a segment the network card was to cut (TSO).
        end = at + total if total else len(data)
        source, target = data[at + 12 : at + 16], data[at + 16 : at + 20]
        body = data[at + header : end]
        cut = max(0, end - len(data))
        if fragment & 0x3FFF:  # More of it comes, or came
            key = (source + target, data[at + 4 : at + 6], 4)
            whole = self._piece(key, (fragment & 0x1FFF) * 8, bool(fragment & 0x2000), body, cut)
            if whole is None:
                return None
            body, cut = whole
        return self._tcp(source, target, body, cut)

    def _ipv6(self, data: bytes, at: int) -> Segment | None:
        if len(data) < at + 40:
            return None
        length, kind = struct.unpack_from("!HB", data, at + 4)
        source, target = data[at + 8 : at + 24], data[at + 24 : at + 40]
        end = at + 40 + length if length else len(data)
        cut = max(0, end - len(data))
        body = data[at + 40 : end]
        for _ in range(HEADERS):
            if kind == 6:
                return self._tcp(source, target, body, cut)
            if len(body) < 8 or kind not in _SIZES:
                return None
            unit, least = _SIZES[kind]
            if kind == _FRAGMENT:
                place = int.from_bytes(body[2:4], "big")
                key = (source + target, body[4:8], 6)
                whole = self._piece(key, place & 0xFFF8, bool(place & 1), body[8:], cut)
                if whole is None:
                    return None
                kind, (body, cut) = body[0], whole
            else:
                kind, body = body[0], body[(body[1] + least) * unit :]
        return None

    def _piece(
        self, key: _Key, offset: int, more: bool, body: bytes, cut: int
    ) -> tuple[bytes, int] | None:
        """Takes a fragment; the whole datagram once it is there."""
        datagram = self._waiting.get(key)
        if datagram is None:
            if len(self._waiting) >= FRAGMENTS:
                self._waiting.popitem(last=False)
                self.given_up += 1
            datagram = self._waiting[key] = _Datagram()
        if not datagram.add(offset, more, body, cut):
            del self._waiting[key]
            self.given_up += 1
            return None
        whole = datagram.whole()
        if whole is not None:
            del self._waiting[key]
        return whole

    def finish(self) -> None:
        """No more frames come: what still waits was given up."""
        self.given_up += len(self._waiting)
        self._waiting.clear()

    def _tcp(self, source: bytes, target: bytes, data: bytes, cut: int) -> Segment | None:
        if len(data) < 20:
            if len(data) < 4 or self._wanted(*struct.unpack_from("!HH", data)):
                self.broken += 1
            return None
        from_port, to_port, sequence, acknowledged, offset, flags = struct.unpack_from(
            "!HHIIBB", data
        )
        if not self._wanted(from_port, to_port):
            return None
        header = (offset >> 4) * 4
        if header < 20 or (header > len(data) and not cut):
            self.broken += 1
            return None
        payload = data[header:]
        # Cut within the options: the rest of them is no payload.
        cut -= max(0, header - len(data))
        ends = (source, from_port, target, to_port)
        return Segment(*ends, sequence, acknowledged, flags, payload, max(0, cut))

    def _wanted(self, *ports: int) -> bool:
        return not self._ports or not self._ports.isdisjoint(ports)


class _Datagram:
    """Fragments of one datagram, the first that came counts where they overlap."""

    def __init__(self) -> None:
        self._pieces: dict[int, bytes] = {}
        self._size: int | None = None
        self._cut = 0

    def add(self, offset: int, more: bool, body: bytes, cut: int) -> bool:
        """False where this can become no datagram."""
        if offset + len(body) > LARGEST or len(self._pieces) >= PIECES:
            return False
        self._pieces.setdefault(offset, body)
        if not more:
            self._size = offset + len(body)
            self._cut = cut
        # What the capture cut out of the middle never comes.
        return not more or not cut

    def whole(self) -> tuple[bytes, int] | None:
        """Its octets, and how many the capture cut off behind them; None while some are missing."""
        if self._size is None:
            return None
        data = b""
        for offset in sorted(self._pieces):
            if offset > len(data):
                return None
            data += self._pieces[offset][len(data) - offset :]
        return (data[: self._size], self._cut) if len(data) >= self._size else None


def address(octets: bytes) -> str:
    """As text, in its usual form; an IPv4 address mapped into IPv6 as itself."""
    if len(octets) == 4:
        return socket.inet_ntop(socket.AF_INET, octets)
    return socket.inet_ntop(socket.AF_INET6, octets)
