"""Past the packets that nobody wants, which is where nearly all the time goes.

Strategy: two functions that move over the records of a buffer and stop at the first one that may be
of interest: TCP over IPv4 or IPv6 between ports of which one is wanted, and whatever a quick look
cannot tell (fragments, options, VLAN tags, extension headers). Written twice: in C (`_past.c`),
which is what is used where it was built, and here, where a reader finds what it does and where it
works without a compiler. (Written out for speed in Python, the loop took 1.3 times the processor
time of dsniff and 2.8 times as long as tcpdump for the same capture, by `script/bench wire`; with C
it is 0.8 and 1.7.)

`data` has at least SLACK octets behind `end`; `kind` is where in the frame the EtherType stands,
right before the IP header; `big` the byte order of the file. The result is where to go on and how
many packets were passed. The last of them may end behind `end`: nobody wants it.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Collection
from typing import NamedTuple

SLACK = 80
"""Octets behind the beginning of a record that are read without looking whose they are."""
MAX_RECORD = 1 << 24
"""Octets of a record. Captures of networks have 262,144 at most (libpcap's MAXIMUM_SNAPLEN)."""
ENHANCED = 6
"""The type of the block of pcapng that holds a packet."""
INTERFACES = 256
"""Of pcapng, that are passed over quickly."""


def bits(numbers: Collection[int], size: int) -> bytes:
    """A set of numbers less than `size`, a bit each."""
    table = bytearray(size // 8)
    for number in numbers:
        table[number >> 3] |= 1 << (number & 7)
    return bytes(table)


def ports(numbers: Collection[int]) -> bytes:
    """Ports, as the functions take them."""
    return bits(numbers, 1 << 16)


class _Fields(NamedTuple):
    """How the fields that are looked at appear to a `struct` of one byte order. `fragments` are the
    bits of IPv4 that say so: all but the one that forbids it.
    """

    ipv4: int
    ipv6: int
    fragments: int
    ports: frozenset[int]


@functools.lru_cache(maxsize=8)
def _fields(big: bool, table: bytes) -> _Fields:
    def seen(number: int) -> int:
        return int(struct.unpack(">H" if big else "<H", struct.pack(">H", number))[0])

    numbers = (n for n in range(1 << 16) if table[n >> 3] >> (n & 7) & 1)
    return _Fields(seen(0x0800), seen(0x86DD), seen(0xBFFF), frozenset(map(seen, numbers)))


_HEADER = "HB5xHxB10xHH"
"""From the EtherType on: it, version and header length of IPv4, fragment, protocol, ports."""
_UDP, _ICMPV6 = 17, 58


def _wanted(
    fields: _Fields,
    v6: Callable[[bytes, int], tuple[int, int, int]],
    data: bytes,
    at: int,
    seen: list[int],
) -> bool:
    """Whether somebody may want the packet of these fields."""
    ether, version, place, protocol, source, target = seen
    ipv4, ipv6, fragments, wanted = fields
    if ether == ipv4 and version == 0x45:
        return protocol == 6 and bool(place & fragments or source in wanted or target in wanted)
    if ether != ipv6:
        return True
    header, source, target = v6(data, at)
    if header == 6:
        return source in wanted or target in wanted
    return header not in (_UDP, _ICMPV6)


def python_pcap(
    data: bytes, at: int, end: int, kind: int, big: bool, table: bytes
) -> tuple[int, int]:
    """Past records of pcap: time, captured length, real length, frame."""
    order = ">" if big else "<"
    unpack = struct.Struct(f"{order}8xI{4 + kind}x{_HEADER}").unpack_from
    unpack_v6 = struct.Struct(f"{order}{18 + kind}x6xB33xHH").unpack_from
    fields, last, count = _fields(big, table), end - 16, 0
    while at <= last:
        length, *seen = unpack(data, at)
        if _wanted(fields, unpack_v6, data, at, seen):
            break
        if length > MAX_RECORD:
            break
        at += 16 + length
        count += 1
    return at, count


def python_pcapng(
    data: bytes, at: int, end: int, kind: int, big: bool, table: bytes, numbers: bytes
) -> tuple[int, int]:
    """Past blocks of pcapng that hold packets of the interfaces `numbers`."""
    order = ">" if big else "<"
    unpack = struct.Struct(f"{order}III{16 + kind}x{_HEADER}").unpack_from
    unpack_v6 = struct.Struct(f"{order}{30 + kind}x6xB33xHH").unpack_from
    fields, last, count = _fields(big, table), end - 12, 0
    while at <= last:
        block, length, number, *seen = unpack(data, at)
        if (
            block != ENHANCED
            or number >= INTERFACES
            or not numbers[number >> 3] >> (number & 7) & 1
        ):
            break
        if _wanted(fields, unpack_v6, data, at, seen):
            break
        if length < 32 or length % 4 or length > MAX_RECORD:
            break
        at += length
        count += 1
    return at, count


Pcap = Callable[[bytes, int, int, int, bool, bytes], tuple[int, int]]
Pcapng = Callable[[bytes, int, int, int, bool, bytes, bytes], tuple[int, int]]

pcap: Pcap = python_pcap
pcapng: Pcapng = python_pcapng
try:
    from mailseal.capture import _past
except ImportError:
    pass
else:
    pcap, pcapng = _past.pcap, _past.pcapng
