"""A capture as a mail server's network sees it: much TLS, and now and then a POP3 login.

Strategy: everything is as it would be on the wire, checksums and sequence numbers too, because the
peers look at them. The payload is one of a few blocks of random octets whose sums are known, so
that a packet takes microseconds to make. Run as a program it writes to stdout, without an end to
its size.
"""

import os
import random
import socket
import struct
import sys
from collections.abc import Iterator
from typing import BinaryIO

PER_LOGIN = 13
"""Packets of one session."""
SIZE = 1145
"""Octets of a TLS segment."""
FLOWS = 400
_ETHERNET = bytes.fromhex("020000000001020000000002") + b"\x08\x00"
_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
SERVER = socket.inet_aton("192.0.2.10")


def write(out: BinaryIO, packets: int, logins: int) -> None:
    """Writes a pcap file of so many packets, with so many logins spread over it."""
    out.write(_HEADER)
    bulk = _bulk()
    share = (packets - logins * PER_LOGIN) // logins
    left = packets - logins * PER_LOGIN - share * logins
    moment = 1_700_000_000_000_000
    for number in range(logins):
        records = []
        count = share + (left if number == logins - 1 else 0)
        for _, packet in zip(range(count), bulk, strict=False):
            records.append(packet)
        records += _login(number)
        for packet in records:
            moment += 20
            head = struct.pack("<II", moment // 1_000_000, moment % 1_000_000)
            out.write(head + packet)


def _sum(data: bytes) -> int:
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def _folded(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def _packet(
    source: bytes, target: bytes, ports: tuple[int, int], numbers: tuple[int, int], flags: int,
    data: bytes, data_sum: int,
) -> bytes:  # fmt: skip
    """A record without its time."""
    length = 20 + len(data)
    address = _sum(source + target)
    tcp = struct.pack("!HHIIBBHHH", *ports, *numbers, 0x50, flags, 65535, 0, 0)
    check = _folded(_sum(tcp) + address + 6 + length + data_sum)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, 6, 0)
    ip = ip[:10] + struct.pack("!H", _folded(_sum(ip) + address)) + source + target
    frame = _ETHERNET + ip + tcp[:16] + struct.pack("!H", check) + tcp[18:] + data
    return struct.pack("<II", len(frame), len(frame)) + frame


def _bulk() -> Iterator[bytes]:
    """TLS records of a few hundred connections and their acknowledgements, for ever."""
    chance = random.Random(1)
    blocks = []
    for _ in range(64):
        block = b"\x17\x03\x03" + struct.pack("!H", SIZE - 5) + os.urandom(SIZE - 5)
        blocks.append((block, _sum(block + b"\0")))
    server = socket.inet_aton("198.51.100.7")
    numbers = [1] * FLOWS
    while True:
        flow = chance.randrange(FLOWS)
        client, port = b"\x0a\x02" + flow.to_bytes(2, "big"), 30000 + flow
        if chance.random() < 0.44:
            yield _packet(client, server, (port, 443), (1, numbers[flow]), 0x10, b"", 0)
        else:
            data, total = blocks[chance.randrange(64)]
            yield _packet(server, client, (443, port), (numbers[flow], 1), 0x18, data, total)
            numbers[flow] = (numbers[flow] + SIZE) & 0xFFFFFFFF


def _login(number: int) -> Iterator[bytes]:
    """A session from its first packet to its last."""
    client, port = b"\x0a" + (number + 1).to_bytes(3, "big"), 20000 + number % 40000
    sent = {True: 1000, False: 5000}
    words = (
        (False, b"+OK ready\r\n"), (True, b"USER user%d\r\n" % number), (False, b"+OK\r\n"),
        (True, b"PASS secret%d\r\n" % number), (False, b"+OK Logged in.\r\n"), (True, b"QUIT\r\n"),
        (False, b"+OK bye\r\n"),
    )  # fmt: skip

    def one(ours: bool, flags: int, data: bytes = b"") -> bytes:
        ends = (client, SERVER) if ours else (SERVER, client)
        ports = (port, 110) if ours else (110, port)
        known = 0 if flags == 2 else sent[not ours]
        total = _sum(data + b"\0" * (len(data) % 2))
        packet = _packet(*ends, ports, (sent[ours], known), flags, data, total)
        sent[ours] += len(data) + bool(flags & 3)
        return packet

    yield one(True, 2)
    yield one(False, 0x12)
    yield one(True, 0x10)
    for ours, data in words:
        yield one(ours, 0x18, data)
    yield one(True, 0x11)
    yield one(False, 0x11)
    yield one(True, 0x10)


if __name__ == "__main__":
    write(sys.stdout.buffer, int(sys.argv[1]), int(sys.argv[2]))
