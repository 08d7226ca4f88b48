"""The kernel's filter lets through what the reader wants, and an interface is listened to."""

import os
import socket
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.capture import live
from mailseal.capture.frames import RAW, Frames
from tests.capture import make
from tests.capture.test_frames import FOUR, SIX, TCP, hop, other

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a packet socket needs root")


def passes(program: bytes, packet: bytes) -> bool:
    """The filter as linux/net/core/filter.c runs it: a load behind the end of the packet drops."""
    steps = [struct.unpack_from("HBBI", program, at) for at in range(0, len(program), 8)]
    at = a = x = 0
    while True:
        code, then, otherwise, k = steps[at]
        at += 1
        size = {0x30: 1, 0x28: 2, 0x48: 2, 0xB1: 1}.get(code, 0)
        place = k + (x if code == 0x48 else 0)
        if size and place + size > len(packet):
            return False
        value = int.from_bytes(packet[place : place + size], "big")
        if code in (0x30, 0x28, 0x48):
            a = value
        elif code == 0xB1:
            x = (value & 15) * 4
        elif code == 0x54:
            a &= k
        elif code == 0x15:
            at += then if a == k else otherwise
        elif code == 0x45:
            at += then if a & k else otherwise
        elif code == 0x05:
            at += k
        else:
            assert code == 0x06
            return bool(k)


WANTED = {
    "IPv4": FOUR,
    "IPv4 with options": make.ipv4(make.CLIENT, make.SERVER, TCP, b"\1" * 8),
    "IPv6": SIX,
    "IPv6 with extensions": hop(0, 60),
    "to the client": make.ipv4(make.SERVER, make.CLIENT, TCP[2:4] + TCP[:2] + TCP[4:]),
    "a later fragment": make.ipv4(make.CLIENT, make.SERVER, b"x" * 30, fragment=185),
}
UNWANTED = {
    "another port": make.ipv4(make.CLIENT, make.SERVER, other(443)),
    "another port, IPv6": make.ipv6("2001:db8::7", "2001:db8::a", other(443)),
    "UDP": make.ipv4(make.CLIENT, make.SERVER, TCP)[:9] + b"\x11" + FOUR[10:],
    "ARP": bytes(28),
    "nothing": b"",
}


@pytest.mark.parametrize("ports", [(110,), (25, 109, 110, 143, 587, 993)], ids=["one", "several"])
def test_the_filter_wants_what_the_reader_wants(ports):
    program = live.program(ports)
    assert [name for name, packet in WANTED.items() if not passes(program, packet)] == []
    assert [name for name, packet in UNWANTED.items() if passes(program, packet)] == []


def test_without_ports_all_of_tcp_passes():
    program = live.program(())
    assert passes(program, UNWANTED["another port"])
    assert passes(program, UNWANTED["another port, IPv6"])
    assert not passes(program, UNWANTED["UDP"])


@given(st.binary(max_size=80), st.sampled_from([b"", FOUR[:20], SIX[:40], FOUR, SIX]))
def test_nothing_that_is_read_is_filtered_out(noise: bytes, start: bytes):
    packet = start + noise
    ports = (110, 143)
    if Frames(ports).segment(RAW, packet) is not None:
        assert passes(live.program(ports), packet)


@ROOT
def test_what_passes_an_interface_is_heard_once():
    """On loopback, where the kernel shows each packet twice."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with live.Interface("lo", (port,)) as interface:
            with socket.create_connection(("127.0.0.1", port)) as client:
                served, _ = server.accept()
                with served:
                    served.sendall(b"+OK\r\n")
                    client.sendall(b"USER x\r\n")
                    assert served.recv(10) == b"USER x\r\n"
            payloads: list[bytes] = []
            began = time.time()
            frames = Frames((port,))
            while payloads.count(b"USER x\r\n") < 1 and time.time() < began + 5:
                for packet in interface.read(0.2) or ():
                    assert abs(packet.time - began) < 5
                    segment = frames.segment(packet.link, packet.data)
                    payloads += [segment.payload] if segment and segment.payload else []
            payloads += [
                segment.payload
                for packet in interface.read(0.2) or ()
                if (segment := frames.segment(packet.link, packet.data)) and segment.payload
            ]
            assert payloads == [b"+OK\r\n", b"USER x\r\n"]
            assert interface.count() == 0


@ROOT
def test_what_the_kernel_drops_is_counted():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
        bound.bind(("127.0.0.1", 0))
        with live.Interface("lo", ()) as interface:
            # Nobody reads, and there is room for next to nothing.
            interface._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            for _ in range(200):
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                    client.connect_ex(bound.getsockname())
            assert interface.count() > 0


@ROOT
def test_an_interface_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(live.CannotListen, match=r"no interface nowhere0: choose of .*\blo\b"):
        live.Interface("nowhere0", ())
