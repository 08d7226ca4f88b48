"""Packets of an interface as they pass (packet(7)), with the kernel's filter before them.

Strategy: a packet socket of the cooked kind, which begins with IP whatever the link is (the kernel
has taken Ethernet, VLAN tags and the like away), and a filter in the kernel (classic BPF, as in
bpf(4) of the BSDs) that lets TCP of the wanted ports through, and what it cannot tell: fragments
behind the first, IPv6 with extension headers. What the kernel had to drop because nobody read in
time is counted by it, and told.
"""

from __future__ import annotations

import array
import errno
import select
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from types import TracebackType
from typing import NamedTuple

from mailseal.capture.files import Packet
from mailseal.capture.frames import RAW

_ALL = 3  # linux/if_ether.h, ETH_P_ALL: what goes out too
_ATTACH_FILTER = 26  # asm-generic/socket.h, SO_ATTACH_FILTER
_RECEIVE_BUFFER = 33  # SO_RCVBUFFORCE
_STATISTICS = 6  # linux/if_packet.h, PACKET_STATISTICS
_SOL_PACKET = 263
_OUTGOING = 4  # PACKET_OUTGOING
_TIMESTAMP = 35  # SO_TIMESTAMPNS, and the type of its message
_LOOPBACK = 772  # linux/if_arp.h, ARPHRD_LOOPBACK
BUFFER = 64 << 20
"""Octets that the kernel holds for us."""
LARGEST = 1 << 18
BURST = 256
"""Packets that are read at a time."""

_LOAD_OCTET, _LOAD_TWO, _LOAD_TWO_AT, _HEADER_LENGTH = 0x30, 0x28, 0x48, 0xB1
_AND, _EQUALS, _HAS, _GO, _RETURN = 0x54, 0x15, 0x45, 0x05, 0x06
"""Codes of instructions (linux/bpf_common.h)."""


class _Step(NamedTuple):
    """An instruction, or a label (`code` 0, the label in `then`). Jumps name labels; empty is the
    next instruction.
    """

    code: int
    number: int = 0
    then: str = ""
    otherwise: str = ""


class CannotListen(Exception):
    """The interface cannot be listened to. `str()` says why and what to do."""


def program(ports: Collection[int]) -> bytes:
    """The filter, over packets that begin with IP; for no ports all of TCP. Instructions as in
    linux/filter.h: code, jumps if true and if false, constant.
    """
    tests = [_Step(_EQUALS, port, "yes") for port in sorted(ports)]
    steps = [
        _Step(_LOAD_OCTET, 0),
        _Step(_AND, 0xF0),
        _Step(_EQUALS, 0x40, "IPv4"),
        _Step(_EQUALS, 0x60, "IPv6", "no"),
        _label("IPv4"),
        _Step(_LOAD_OCTET, 9),
        _Step(_EQUALS, 6, "", "no"),
        # Behind the first fragment there are no ports.
        _Step(_LOAD_TWO, 6),
        _Step(_HAS, 0x1FFF, "yes"),
        _Step(_HEADER_LENGTH, 0),
        *_with(_LOAD_TWO_AT, (0, 2), tests),
        _label("IPv6"),
        _Step(_LOAD_OCTET, 6),
        # What follows extension headers is not looked for here.
        *(_Step(_EQUALS, header, "yes") for header in (0, 43, 44, 51, 60, 135)),
        _Step(_EQUALS, 6, "", "no"),
        *_with(_LOAD_TWO, (40, 42), tests),
        _label("no"),
        _Step(_RETURN, 0),
        _label("yes"),
        _Step(_RETURN, LARGEST),
    ]
    return _assembled(steps)


def _label(name: str) -> _Step:
    return _Step(0, 0, name)


def _with(load: int, places: tuple[int, int], tests: list[_Step]) -> Iterator[_Step]:
    """Compares both ports."""
    for place in places:
        yield _Step(load, place)
        yield from tests
    yield _Step(_GO, 0, "no" if tests else "yes")


def _assembled(steps: Iterable[_Step]) -> bytes:
    places: dict[str, int] = {}
    code: list[_Step] = []
    for step in steps:
        if step.code:
            code.append(step)
        else:
            places[step.then] = len(code)
    program = b""
    for place, step in enumerate(code, 1):
        jumps = [places[name] - place if name else 0 for name in (step.then, step.otherwise)]
        number = step.number
        if step.code == _GO:
            number, jumps = jumps[0], [0, 0]
        program += struct.pack("HBBI", step.code, *jumps, number)
    return program


class Interface:
    """An open interface. Raises CannotListen."""

    def __init__(self, name: str, ports: Collection[int]) -> None:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        except PermissionError:
            words = "listening needs root, or the capability CAP_NET_RAW"
            raise CannotListen(f"{name}: {words}: try it with sudo") from None
        try:
            self._open(name, ports)
        except OSError as error:
            self._socket.close()
            if error.errno == errno.ENODEV:
                known = ", ".join(each for _, each in socket.if_nameindex())
                raise CannotListen(f"there is no interface {name}: choose of {known}") from None
            raise CannotListen(f"{name} cannot be listened to: {error.strerror}") from None
        self.dropped = 0

    def _open(self, name: str, ports: Collection[int]) -> None:
        code = array.array("B", program(ports))
        address, _ = code.buffer_info()
        self._socket.setsockopt(
            socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", len(code) // 8, address)
        )
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER, BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
        self._socket.setblocking(False)
        # Only now do packets come: none without the filter.
        self._socket.bind((name, _ALL))

    def __enter__(self) -> Interface:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """For select(2)."""
        return self._socket.fileno()

    def read(self, seconds: float, stop: int | None = None) -> list[Packet] | None:
        """What came, after waiting so long for the first of it; None where something is to be read
        from the descriptor `stop`. Raises CannotListen.
        """
        sources = [self.fileno()] if stop is None else [self.fileno(), stop]
        if stop in select.select(sources, [], [], seconds)[0]:
            return None
        packets: list[Packet] = []
        try:
            while len(packets) < BURST:
                packet = self._one()
                if packet is not None:
                    packets.append(packet)
        except BlockingIOError:
            pass
        except OSError as error:
            raise CannotListen(f"the interface is gone: {error.strerror}") from None
        return packets

    def _one(self) -> Packet | None:
        data, messages, _, address = self._socket.recvmsg(LARGEST, socket.CMSG_SPACE(16))
        if address[3] == _LOOPBACK and address[2] == _OUTGOING:
            return None  # It comes in again, and is the same.
        time = 0.0
        for level, kind, value in messages:
            if level == socket.SOL_SOCKET and kind == _TIMESTAMP:
                seconds, parts = struct.unpack("ll", value)
                time = seconds + parts * 1e-9
        return Packet(time, RAW, data)

    def count(self) -> int:
        """Packets that the kernel had to drop, since it was opened."""
        told = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
        # Reading it sets it back.
        self.dropped += struct.unpack("II", told)[1]
        return self.dropped
