"""What an eavesdropper on the wire sees: a real packet capture and the TCP bytes in it.

Strategy: tcpdump writes every frame on the bridge to a pcap file.  Before the file is read, one
marker frame is sent and awaited in it, so that all that was sent before is there too; no
sleeping.  The reader is deliberately small and independent of the product's own capture code,
which it helps to test.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType

from lab.enclosure import end, popen
from lab.images import LabError
from lab.network import Network

_SECONDS = 10.0
_MARKER_TYPE = 0x88B5  # IEEE 802 local experimental EtherType
_SEND_FRAME = (
    "import socket, sys\n"
    "wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
    "wire.bind((sys.argv[1], 0))\n"
    "wire.send(bytes.fromhex(sys.argv[2]))\n"
)

Flow = tuple[str, int, str, int]
"""Source address and port, destination address and port of one direction of a connection."""


class Capture:
    """A running capture of one network; readable while it runs and after it ended."""

    def __init__(self, network: Network, path: Path) -> None:
        self.path = path
        self._network = network
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Capture:
        self.path.touch()
        # In immediate mode each packet takes room for the longest, so the buffer (KiB) is large.
        options = ["--immediate-mode", "-U", "-n", "-s", "0", "-B", "65536", "-Z", "root"]
        command = ["tcpdump", *options, "-i", self._network.bridge, "-w", "-"]
        with self.path.open("wb") as file:
            self._process = popen(
                self._network.enclosure.argv(command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.PIPE,
            )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if b"listening on" in line:
                return self
        self._end()
        raise LabError("tcpdump did not start to listen")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._synchronise()
        finally:
            told = self._end()
        if kind is None and b"\n0 packets dropped by kernel" not in told:
            raise LabError(f"the capture is not whole: {told.decode(errors='replace')}")

    def payload(self) -> bytes:
        """All TCP payload captured so far, both directions, one connection after the other."""
        return b"\n".join(self.streams().values())

    def streams(self) -> dict[Flow, bytes]:
        """The TCP payload captured so far, in sequence, for each direction of each connection."""
        if self._process is not None:
            self._synchronise()
        return streams(self.path.read_bytes())

    def _synchronise(self) -> None:
        """Return when every frame sent before this call is in the file."""
        marker = b"\xff" * 6 + b"\2" + os.urandom(5) + struct.pack("!H", _MARKER_TYPE) + bytes(46)
        command = [sys.executable, "-I", "-S", "-c", _SEND_FRAME]
        self._network.enclosure.run([*command, self._network.bridge, marker.hex()])
        deadline = time.monotonic() + _SECONDS
        while marker not in self.path.read_bytes():
            if time.monotonic() > deadline:
                raise LabError("the capture does not see the frames of its own bridge")
            time.sleep(0.005)

    def _end(self) -> bytes:
        """Ends tcpdump; what it told meanwhile."""
        process, self._process = self._process, None
        if process is None:
            return b""
        end(process, signal.SIGTERM)
        assert process.stderr is not None
        with process.stderr:
            return process.stderr.read()


def streams(pcap: bytes) -> dict[Flow, bytes]:
    """The TCP payload of a little-endian Ethernet pcap file, reassembled for each direction.

    A port used again for a second connection continues the stream of the first.  Bytes that are
    missing from the capture are left out.
    """
    connections: dict[Flow, list[list[tuple[int, bytes]]]] = {}
    for frame in _frames(pcap):
        segment = _segment(frame)
        if segment is None:
            continue
        flow, sequence, synchronise, data = segment
        lives = connections.setdefault(flow, [])
        # A retransmitted SYN has the sequence number of the first and starts nothing new.
        if not lives or (synchronise and lives[-1][0][0] != sequence):
            lives.append([(sequence, b"")])
        lives[-1].append((sequence + synchronise, data))
    return {flow: b"".join(map(_assemble, lives)) for flow, lives in connections.items()}


def _assemble(segments: list[tuple[int, bytes]]) -> bytes:
    """The bytes of segments (sequence number, data) in order, each byte once (RFC 9293, 3.4)."""
    origin = segments[0][0]
    stream = b""
    position = 0
    offsets = ((((sequence - origin + 2**31) % 2**32) - 2**31, data) for sequence, data in segments)
    for offset, data in sorted(offsets):
        fresh = data[max(0, position - offset) :]
        if fresh:
            stream += fresh
            position = offset + len(data)
    return stream


def _frames(pcap: bytes) -> Iterator[bytes]:
    """The frames of a pcap file (24 octets header, then 16 before each frame)."""
    position = 24
    while position + 16 <= len(pcap):
        (length,) = struct.unpack_from("<8xI4x", pcap, position)
        position += 16
        if position + length <= len(pcap):
            yield pcap[position : position + length]
        position += length


def _segment(frame: bytes) -> tuple[Flow, int, bool, bytes] | None:
    """Flow, sequence number, SYN flag and payload of a TCP segment; None for anything else."""
    (kind,) = struct.unpack_from("!12xH", frame)
    packet = frame[14:]
    if kind == 0x0800 and packet[9] == socket.IPPROTO_TCP:
        start = (packet[0] & 15) * 4
        (total,) = struct.unpack_from("!2xH", packet)
        source, destination = packet[12:16], packet[16:20]
    elif kind == 0x86DD and packet[6] == socket.IPPROTO_TCP:
        start = 40
        total = start + struct.unpack_from("!4xH", packet)[0]
        source, destination = packet[8:24], packet[24:40]
    else:
        return None
    tcp = packet[start:total]
    source_port, destination_port, sequence, offset, flags = struct.unpack_from("!HHI4xBB", tcp)
    flow = (str(ip_address(source)), source_port, str(ip_address(destination)), destination_port)
    return flow, sequence, bool(flags & 2), tcp[(offset >> 4) * 4 :]
