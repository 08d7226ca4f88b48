"""Servers to be looked at: real ones, rude ones and hostile ones, each a few lines, on loopback.

A peer is a function of one accepted connection; `serving` runs it in threads of this process and
ends them all. Peers loop on time, not for ever, so none outlives its test by much.
"""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

from mailseal.model.look import Endpoint

Peer = Callable[[socket.socket], None]
LONGEST = 8.0
"""Seconds no peer goes beyond."""


@contextlib.contextmanager
def serving(peer: Peer, host: str = "127.0.0.1", port: int = 0) -> Iterator[Endpoint]:
    """Serves `peer` until the block ends."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    threads: list[threading.Thread] = []
    open_: set[socket.socket] = set()
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError, ValueError):
                connection.settimeout(LONGEST)
                peer(connection)
            open_.discard(connection)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                open_.add(connection)
                thread = threading.Thread(target=serve, args=(connection,), daemon=True)
                threads.append(thread)
                thread.start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield Endpoint(host, listener.getsockname()[1])
        finally:
            # A shutdown wakes a blocked accept or recv; a close alone does not.
            for sock in (listener, *open_):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            acceptor.join(LONGEST)
            for thread in threads:
                thread.join(LONGEST)


@contextlib.contextmanager
def closed(host: str = "127.0.0.1") -> Iterator[Endpoint]:
    """A port that is ours and on which nobody listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((host, 0))
        yield Endpoint(host, sock.getsockname()[1])


def lines(connection: socket.socket) -> Iterator[bytes]:
    """The client's lines; ends with the connection."""
    with connection.makefile("rb") as reader:
        yield from reader


# -- services --------------------------------------------------------------------------------------


def pop2(
    connection: socket.socket,
    greeting: bytes = b"+ POP2 [peer] 2007f.75 server ready\r\n",
    delay: float = 0.0,
    users: dict[bytes, bytes] | None = None,
) -> None:
    """POP2 as UW's server speaks it: any refusal is followed by the goodbye and the end."""
    time.sleep(delay)
    connection.sendall(greeting)
    if greeting.startswith(b"-"):
        return
    for line in lines(connection):
        verb, _, argument = line.rstrip(b"\r\n").partition(b" ")
        user, _, password = argument.partition(b" ")
        if verb == b"QUIT":
            connection.sendall(b"+ Sayonara\r\n")
        elif verb != b"HELO":
            connection.sendall(b"- Bogus or out of sequence command\r\n")
        elif not password:
            connection.sendall(b"- Missing user or password\r\n+ Sayonara\r\n")
        elif users and users.get(user) == password:
            connection.sendall(b"#3 messages in /var/spool/mail/somebody\r\n")
            continue
        else:
            connection.sendall(b"- Bad login\r\n+ Sayonara\r\n")
        return


def says(*parts: bytes, pause: float = 0.0, stay: float = LONGEST) -> Peer:
    """Says the parts, waits, and reads nothing."""

    def peer(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        connection.settimeout(stay)
        while connection.recv(4096):
            pass

    return peer


def http(connection: socket.socket) -> None:
    """Answers whatever is said as a web server would."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>no</html>")


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(connection: socket.socket) -> None:
    """Says nothing more, and listens on: an end without a reset."""
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass


def forever(chunk: bytes, pause: float = 0.0) -> Peer:
    """Says the same again and again."""

    def peer(connection: socket.socket) -> None:
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            connection.sendall(chunk)
            time.sleep(pause)

    return peer


def secured(context: ssl.SSLContext, inside: Peer) -> Peer:
    """The peer `inside` TLS."""

    def peer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inner:
            inside(inner)

    return peer


def scripted(
    greeting: bytes,
    answers: dict[bytes, bytes],
    upgrade: bytes = b"",
    context: ssl.SSLContext | None = None,
    inside: dict[bytes, bytes] | None = None,
) -> Peer:
    """Greets, and answers the line that begins with a key (the longest) by its value; `*` of a
    table answers what nothing else does, and an empty value hangs up. The line `upgrade` begins TLS
    once it is answered, where `inside` is the table (and garbage comes where there is no context).
    """

    def peer(connection: socket.socket) -> None:
        connection.sendall(greeting)
        if talk(connection, answers, upgrade):
            if context is None:
                connection.recv(1)  # the ClientHello: what comes before it is another fault
                connection.sendall(b"\x00" * 64)
                return
            with context.wrap_socket(connection, server_side=True) as secure:
                talk(secure, inside or {}, b"")

    return peer


def talk(connection: socket.socket, answers: dict[bytes, bytes], upgrade: bytes) -> bool:
    """Carries a scripted dialogue on; True where TLS is to begin."""
    line = b""
    while octet := connection.recv(1):
        line += octet
        if octet != b"\n":
            continue
        fitting = (key for key in answers if line.upper().startswith(key))
        word = max(fitting, key=len, default=b"*")
        said = answers.get(word, b"")
        if not said:
            return False
        connection.sendall(said)
        if upgrade and word == upgrade:
            return True
        line = b""
    return False
