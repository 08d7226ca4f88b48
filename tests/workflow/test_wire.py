"""Captures to logins: several files, what is missing, and an interface with a child of its own."""

import gzip
import itertools
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from mailseal.model.login import LoginOutcome, Meaning
from mailseal.protocols.base import Side
from mailseal.workflow import BadInput, wire
from mailseal.workflow.wire import Ended, Live, Request, read
from tests.capture import make

FRAMES = make.frames_of(make.conversation(make.POP3))


def put(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def silent(size: int, logins: int) -> None:
    pass


def test_logins_of_a_kind_are_added_up(tmp_path: Path):
    talks = [make.Talk(client_port=port) for port in (40000, 40001, 40002)]
    for talk in talks:
        talk.begin()
        for side, data in make.POP3:
            talk.say(side, data)
        talk.end()
    frames = [frame for talk in talks for frame in make.frames_of(talk)]
    seen = read((put(tmp_path, "a", make.pcap(frames)),), Request(), silent)
    [judged] = seen.logins
    assert (judged.meaning, judged.login.count) == (Meaning.CLEARTEXT, 3)
    assert judged.login.first < judged.login.last
    assert (seen.counts["packets"], seen.counts["mail sessions"]) == (len(frames), 3)
    assert seen.partial == ()


def test_a_session_may_lie_across_files_that_follow_one_another(tmp_path: Path):
    """As tcpdump -C writes them. Compressed ones too."""
    whole = make.pcap(FRAMES)
    head, records = whole[:24], whole[24:]
    at = sum(16 + len(frame) for frame in FRAMES[:6])
    paths = (
        put(tmp_path, "ring0", head + records[:at]),
        put(tmp_path, "ring1", gzip.compress(head + records[at:])),
    )
    seen = read(paths, Request(), silent)
    assert [(each.login.user, each.login.complete) for each in seen.logins] == [("somebody", True)]


def test_a_file_that_begins_earlier_is_another_stream(tmp_path: Path):
    late = make.pcap([*FRAMES] + [FRAMES[0]] * 2000)
    paths = (put(tmp_path, "a", late), put(tmp_path, "b", make.pcap(FRAMES)))
    [judged] = read(paths, Request(), silent).logins
    assert judged.login.count == 2


def test_what_is_missing_is_said(tmp_path: Path):
    other = make.conversation(make.POP3)
    other.client_port = 41000
    lost = make.pcap([frame for frame in make.frames_of(other) if b"USER" not in frame])
    paths = (
        put(tmp_path, "lost", lost),
        put(tmp_path, "cut", make.pcap(FRAMES)[:-5]),
        put(tmp_path, "link", make.pcap(FRAMES, link=105)),
        put(tmp_path, "none", b"no capture at all"),
        str(tmp_path / "not there"),
    )
    words = "\n".join(read(paths, Request(), silent).partial)
    for part in (
        "1 mail sessions are not whole", "cut: the file ends within a packet", "link type 105",
        "none: it is no capture", "not there cannot be read",
    ):  # fmt: skip
        assert part in words


def test_nothing_that_can_be_read_is_bad_input(tmp_path: Path):
    for data in (b"", b"no capture at all"):
        with pytest.raises(BadInput):
            read((put(tmp_path, "x", data),), Request(), silent)


def test_other_ports_where_asked_for(tmp_path: Path):
    frames = make.frames_of(make.conversation(make.POP3, port=2110))
    path = put(tmp_path, "odd", make.pcap(frames))
    assert not read((path,), Request(), silent).logins
    for request in (Request(ports=(2110,)), Request(any_port=True)):
        [judged] = read((path,), request, silent).logins
        assert str(judged.login.endpoint).endswith(":2110")


@pytest.mark.skipif(os.geteuid() != 0, reason="a packet socket needs root")
def test_an_interface_is_listened_to_by_a_child_without_privileges():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            served, _ = server.accept()
            with served:
                for side, data in make.POP3[:5]:
                    if side is Side.SERVER:
                        served.sendall(data)
                        served.recv(100)

        with Live("lo", Request(ports=(port,))) as live:
            seen = list(live.logins(5.0))
            [pid] = live._workers.pids()
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            ids = {line.split(":")[0]: set(line.split()[1:]) for line in status.splitlines()}
            assert "0" not in ids["Uid"] | ids["Gid"]
            assert ids["CapEff"] == ids["CapPrm"] == {"0" * 16}
            thread = threading.Thread(target=serve)
            thread.start()
            with socket.create_connection(("127.0.0.1", port)) as client:
                for side, data in make.POP3[:5]:
                    if side is Side.CLIENT:
                        client.recv(100)
                        client.sendall(data)
                client.recv(100)
            thread.join()
            end = time.monotonic() + 10
            while not seen and time.monotonic() < end:
                seen += live.logins(0.2)
            assert [(each.login.user, each.login.outcome) for each in seen] == [
                ("somebody", LoginOutcome.ACCEPTED)
            ]
            live.stop()
            with pytest.raises(Ended):
                seen += itertools.chain.from_iterable(
                    live.logins(0.2) for _ in iter(lambda: time.monotonic() < end, False)
                )
            document = live.document()
            assert document.logins == tuple(seen)
            assert document.counts["mail sessions"] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="a packet socket needs root")
def test_an_interface_that_is_not_there_is_bad_input():
    with Live("nowhere0", Request()) as live, pytest.raises(BadInput, match="nowhere0"):
        list(live.logins(5.0))


def test_who_may_not_listen_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch):
    def denied(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("mailseal.capture.live.socket.socket", denied)
    with Live("lo", Request()) as live, pytest.raises(BadInput, match="needs root"):
        list(live.logins(5.0))


def test_a_million_half_open_connections_take_little_memory():
    import tracemalloc

    seen: list[object] = []
    listener = wire.Listener(Request(), seen.append)
    talk = make.Talk()
    talk.begin()
    frame = bytearray(talk.packet(talk.pieces[0]))
    tracemalloc.start()
    for number in range(200_000):
        frame[26:30] = number.to_bytes(4, "big")
        listener.packet(0.0, 1, bytes(frame))
    grown = tracemalloc.get_traced_memory()[0]
    for number in range(200_000, 260_000):
        frame[26:30] = number.to_bytes(4, "big")
        listener.packet(0.0, 1, bytes(frame))
    assert tracemalloc.get_traced_memory()[0] < grown * 1.1
    tracemalloc.stop()
    assert grown < 90_000_000


@pytest.mark.slow
@pytest.mark.parametrize("where", ["behind a login", "in a message", "not mail"])
def test_a_flow_of_two_gigabytes_takes_no_more_memory_than_a_short_one(where: str):
    import tracemalloc

    begins = {
        "behind a login": make.POP3[:5],
        "in a message": [
            (Side.SERVER, b"220 mail.example ESMTP\r\n"), (Side.CLIENT, b"EHLO x\r\n"),
            (Side.SERVER, b"250 x\r\n"), (Side.CLIENT, b"DATA\r\n"), (Side.SERVER, b"354 go\r\n"),
        ],
        "not mail": [(Side.SERVER, b"SSH-2.0-x\r\n")],
    }  # fmt: skip
    seen: list[object] = []
    listener = wire.Listener(Request(), seen.append)
    talk = make.Talk(25)
    talk.begin()
    for side, data in begins[where]:
        talk.say(side, data)
    for piece in talk.pieces:
        listener.packet(0.0, 1, talk.packet(piece))
    octets, text = 0, (b"x" * 70 + b"\r\n") * 800
    talk.pieces.clear()
    talk.say(Side.CLIENT, text, len(text))
    frame = bytearray(talk.packet(talk.pieces[0]))
    begin = talk.pieces[0].sequence
    tracemalloc.start()
    while octets < 2 << 30:
        frame[38:42] = ((begin + octets) & 0xFFFFFFFF).to_bytes(4, "big")
        listener.packet(0.0, 1, bytes(frame))
        octets += len(text)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    listener.finish()
    assert len(seen) == (where == "behind a login")
