"""A mark on the wire is read however the network cuts it; what is not there is not read."""

import os
import socket
from collections.abc import Iterator

import pytest

from mailseal.capture.frames import Segment
from mailseal.capture.live import CannotListen
from mailseal.capture.marker import FLOWS, Eavesdropper
from tests.probe import peers

MARK = b"mailseal-0123abcd"
HERE, THERE = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])


def segment(payload: bytes, port: int = 109, back: bool = False) -> Segment:
    ends = (THERE, port, HERE, 40000) if back else (HERE, 40000, THERE, port)
    return Segment(*ends, 0, 0, 0, payload, 0)


def heard(*segments: Segment) -> Eavesdropper:
    ear = Eavesdropper("nowhere", [MARK, b""])
    for each in segments:
        ear._take(each)
    return ear


@pytest.mark.parametrize("cut", range(len(MARK) + 1))
def test_a_mark_is_read_wherever_it_is_cut(cut: int):
    text = b"HELO " + MARK + b" secret\r\n"
    ear = heard(segment(text[: 5 + cut]), segment(text[5 + cut :]))
    assert list(ear.readable) == ["from 192.0.2.1 port 40000 to 192.0.2.2 port 109"]
    assert ear.octets([109, 109]) == len(text)
    assert ear.octets([110]) == 0


def test_two_directions_or_two_connections_make_no_mark():
    half = len(MARK) // 2
    back = heard(segment(MARK[:half]), segment(MARK[half:], back=True))
    other = heard(segment(MARK[:half]), segment(MARK[half:], port=110))
    assert not back.readable
    assert not other.readable


def test_what_is_kept_is_bounded():
    ear = heard(*(segment(b"x" * 2000, port=port) for port in range(1, FLOWS + 100)))
    assert len(ear._tails) == FLOWS
    assert max(map(len, ear._tails.values())) < len(MARK)
    ear._take(segment(MARK, port=FLOWS + 50))
    assert ear.readable, "a mark in one piece is read all the same"


@pytest.fixture
def listening() -> Iterator[Eavesdropper]:
    if os.geteuid() != 0:
        pytest.skip("listening to an interface needs root")
    with Eavesdropper("lo", [MARK]) as ear:
        yield ear


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_interface(listening: Eavesdropper, host: str):
    with peers.serving(peers.says(b"+ POP2\r\n", stay=1.0), host) as endpoint:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.connect((endpoint.address, endpoint.port))
            client.sendall(b"HELO " + MARK + b"\r\n")
            client.recv(64)
        listening.__exit__(None, None, None)
    assert listening.octets([endpoint.port]) >= len(MARK)
    assert any("port %d" % endpoint.port in way for way in listening.readable)


def test_an_interface_that_is_not_there():
    with pytest.raises(CannotListen), Eavesdropper("nowhere0", [MARK]):
        pass
