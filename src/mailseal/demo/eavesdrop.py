"""The eavesdropper: takes every frame that crosses a bridge, and reads what can be read.

Strategy: a process of its own in the network namespace of the bridge holds an AF_PACKET socket
(packet(7)), is neither of the two hosts, has no address and sends nothing. It writes the frames as
they are into a file; reading them is pure and happens afterwards. Enough of Ethernet, IP and TCP is
understood to put the octets of each direction in order (RFC 9293 sequence numbers).
"""

from __future__ import annotations

import ipaddress
import signal
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ETH_P_ALL = 0x0003
_MAX_FRAME = 256 * 1024
_BUFFER = 8 * 1024 * 1024

_IPV4, _IPV6, _TCP, _SYN = 0x0800, 0x86DD, 6, 0x02


class Flow(NamedTuple):
    """One direction of a connection."""

    source: str
    source_port: int
    target: str
    target_port: int


class Segment(NamedTuple):
    """A TCP segment as it was seen; `payload` begins at sequence number `sequence`."""

    flow: Flow
    sequence: int
    payload: bytes


# -- taking ----------------------------------------------------------------------------------------


def capture(interface: str, path: Path) -> None:
    """Writes the frames of an interface until SIGTERM, then those still waiting, and ends."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as tap,
        path.open("wb", buffering=0) as file,
    ):
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        tap.bind((interface, ETH_P_ALL))
        tap.settimeout(0.05)
        print("ready", flush=True)
        while True:
            try:
                frame = tap.recv(_MAX_FRAME)
            except TimeoutError:
                if not going:
                    return
                continue
            file.write(struct.pack("!I", len(frame)) + frame)


def frames(data: bytes) -> tuple[bytes, ...]:
    """The frames in a file that `capture` wrote."""
    found = []
    at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("!I", data, at)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return tuple(found)


# -- reading ---------------------------------------------------------------------------------------


def segment(frame: bytes) -> Segment | None:
    """The TCP segment in an Ethernet frame; None for anything else. No VLANs, no IPv6 extension
    headers, no fragments: there are none on this wire.
    """
    if len(frame) < 34:
        return None
    (kind,) = struct.unpack_from("!H", frame, 12)
    packet = frame[14:]
    if kind == _IPV4 and packet[9] == _TCP:
        head, total = (packet[0] & 15) * 4, struct.unpack_from("!H", packet, 2)[0]
        ends, tcp = (packet[12:16], packet[16:20]), packet[head:total]
    elif kind == _IPV6 and len(packet) >= 40 and packet[6] == _TCP:
        total = 40 + struct.unpack_from("!H", packet, 4)[0]
        ends, tcp = (packet[8:24], packet[24:40]), packet[40:total]
    else:
        return None
    if len(tcp) < 20:
        return None
    source, target, sequence = struct.unpack_from("!HHI", tcp)
    addresses = [str(ipaddress.ip_address(end)) for end in ends]
    flow = Flow(addresses[0], source, addresses[1], target)
    # A SYN takes one number itself.
    return Segment(flow, sequence + bool(tcp[13] & _SYN), tcp[(tcp[12] >> 4) * 4 :])


def streams(captured: Sequence[bytes]) -> dict[Flow, bytes]:
    """The octets of each direction in order. What was sent twice counts once."""
    parts: dict[Flow, dict[int, bytes]] = {}
    for each in filter(None, map(segment, captured)):
        known = parts.setdefault(each.flow, {})
        if len(each.payload) > len(known.get(each.sequence, b"")):
            known[each.sequence] = each.payload
    return {flow: b"".join(_in_order(known)) for flow, known in parts.items()}


def _in_order(parts: dict[int, bytes]) -> Iterator[bytes]:
    following = min(parts, default=0)
    for sequence in sorted(parts):
        payload = parts[sequence][max(0, following - sequence) :]
        yield payload
        following = max(following, sequence + len(parts[sequence]))


if __name__ == "__main__":
    capture(sys.argv[1], Path(sys.argv[2]))
