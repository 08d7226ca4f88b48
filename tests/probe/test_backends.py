"""Who takes connections, asked of real sockets, and never longer than was said."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

from mailseal.probe.backends import MOST, Answered, Place, ask


def test_each_place_has_its_answer(tmp_path: Path):
    path = str(tmp_path / "s")
    with (
        socket.create_server(("127.0.0.1", 0)) as open_,
        socket.create_server(("127.0.0.1", 0)) as closed,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(path)
        unix.listen()
        port, gone = open_.getsockname()[1], closed.getsockname()[1]
        closed.close()
        places = {
            Place("127.0.0.1", port): Answered(True, True),
            Place("127.0.0.1", gone): Answered(True),
            Place("name.invalid", 109): Answered(False),
            Place("", path=path): Answered(True, True),
            Place("", path=path + "x"): Answered(True),
        }
        assert ask(tuple(places)) == places
    assert ask([Place("", path="/x" * 200)]) == {}


def test_who_speaks_first_is_asked_where_that_is_wanted():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            for _ in range(2):
                wire, _ = server.accept()
                with wire, contextlib.suppress(ConnectionError):
                    wire.sendall(b"+ POP2\r\n")
                    wire.recv(1)

        thread = threading.Thread(target=greet)
        thread.start()
        port = server.getsockname()[1]
        places = Place("127.0.0.1", port), Place("127.0.0.1", port, waits=True)
        assert list(map(ask([*places]).get, places)) == [
            Answered(True, True),
            Answered(True, True, True),
        ]
        thread.join(10)


def test_what_does_not_answer_keeps_nobody_waiting():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        port = silent.getsockname()[1]
        begun = time.monotonic()
        places = [
            Place("127.0.0.1", port, path="", waits=True),
            *(Place("192.0.2.1", n) for n in range(1, 200)),
        ]
        found = ask(places, 0.5)
        assert time.monotonic() - begun < 3
        assert found[places[0]] == Answered(True, True)
        assert len(found) <= MOST
