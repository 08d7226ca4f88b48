#!/usr/bin/env python3
"""A legacy POP2 server (RFC 937) to show and to test what mailseal finds and fixes.

POP2 daemons have no packages any more, so the project brings one that speaks and fails like the
last one in use (UW ipop2d): every login is cleartext.  Not for production: it keeps plain
passwords and drops no privileges.

Strategy: one self-contained file, so that it can be copied to a host alone (standard library,
Python 3.9).  A session is a state machine (RFC 937, section 3): ``COMMANDS`` says in which states a
command may come; the methods say what follows.  It runs on two file descriptors and does not care
what they are, so inetd, xinetd, systemd, a pipe and the server's own listeners use the same code.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import fcntl
import hmac
import os
import select
import selectors
import signal
import socket
import stat
import sys
import syslog
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

VERSION = "1.0"
MAX_LINE = 1024
"""Octets of a command line with its line end."""
LOGIN_SECONDS = 180.0
IDLE_SECONDS = 1800.0
BAD_LOGIN_SECONDS = 3.0
MAX_SESSIONS = 64
"""Sessions at the same time in stand-alone mode; further clients wait to be accepted."""
_CHUNK = 4096


class State(enum.Enum):
    """Where a session stands (RFC 937, "Server decision table"), with UW's names."""

    AUTH = "waiting for the login"
    MBOX = "a mailbox is open"
    ITEM = "a message is chosen"
    NEXT = "a message was sent and awaits its acknowledgement"
    DONE = "over"


COMMANDS: dict[bytes, frozenset[State]] = {
    b"HELO": frozenset({State.AUTH}),
    b"FOLD": frozenset({State.MBOX, State.ITEM}),
    b"READ": frozenset({State.MBOX, State.ITEM}),
    b"RETR": frozenset({State.ITEM}),
    b"ACKS": frozenset({State.NEXT}),
    b"ACKD": frozenset({State.NEXT}),
    b"NACK": frozenset({State.NEXT}),
    b"QUIT": frozenset({State.AUTH, State.MBOX, State.ITEM}),
}


class Settings(NamedTuple):
    """What the administrator chose."""

    users: Path
    spool: Path
    disabled: bool = False
    bad_login_seconds: float = BAD_LOGIN_SECONDS
    login_seconds: float = LOGIN_SECONDS
    idle_seconds: float = IDLE_SECONDS


class Gone(Exception):
    """The client went away or was silent for too long: ``reason`` is for the log."""

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer


class Wire:
    """Lines in and octets out over two blocking descriptors, every wait bounded."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = b""

    def line(self, seconds: float) -> bytes | None:
        """The next line without its end; None if it is too long.

        ``seconds`` are for the whole line, so a client cannot hold the session octet by octet.
        """
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer[:MAX_LINE]:
            if len(self._buffer) >= MAX_LINE:
                return None
            self._wait(self._reader, select.POLLIN, deadline)
            data = os.read(self._reader, _CHUNK)
            if not data:
                raise Gone("Unexpected client disconnect, while reading line")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line[:-1] if line.endswith(b"\r") else line

    def send(self, data: bytes, seconds: float) -> None:
        """Send all of ``data``."""
        deadline = time.monotonic() + seconds
        while data:
            self._wait(self._writer, select.POLLOUT, deadline)
            # A pipe that polls as writable takes this much without blocking.
            data = data[os.write(self._writer, data[: select.PIPE_BUF]) :]

    @staticmethod
    def _wait(descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Gone("Autologout", b"- Autologout; idle for too long")


class Mailbox:
    """A mailbox file in mbox format, read once; deletions are written back by ``expunge``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.read_bytes()
        self._parts = _split_mbox(self._read)
        self._deleted = [False] * len(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def name(self) -> bytes:
        """How the server calls it in its answers."""
        return os.fsencode(self._path)

    def message(self, number: int) -> bytes | None:
        """Message ``number`` (from 1) as it is sent; None if it was deleted."""
        if self._deleted[number - 1]:
            return None
        _, _, text = self._parts[number - 1].partition(b"\n")
        return b"".join(line.rstrip(b"\r\n") + b"\r\n" for line in text.splitlines(keepends=True))

    def delete(self, number: int) -> None:
        """Mark message ``number`` for ``expunge``."""
        self._deleted[number - 1] = True

    def expunge(self) -> None:
        """Remove the deleted messages; mail that arrived meanwhile stays.

        Nothing is removed if somebody else rewrote the file.
        """
        if not any(self._deleted):
            return
        kept = [part for index, part in enumerate(self._parts) if not self._deleted[index]]
        with self._path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            now = file.read()
            if now.startswith(self._read):
                arrived = now[len(self._read) :]
                file.seek(0)
                file.write(b"".join(kept) + arrived)
                file.truncate()
        self._deleted = [False] * len(self._deleted)


def _split_mbox(content: bytes) -> list[bytes]:
    """The messages of an mbox file, each with its "From " line."""
    parts: list[bytes] = []
    blank = True
    for line in content.splitlines(keepends=True):
        if blank and line.startswith(b"From "):
            parts.append(line)
        elif parts:
            parts[-1] += line
        blank = line in (b"\n", b"\r\n")
    return parts


class Session:
    """One client, from the greeting to the goodbye.

    ``host`` names the client for the log; ``log`` takes one line and never sees a password.
    """

    def __init__(
        self, settings: Settings, wire: Wire, host: str, log: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._wire = wire
        self._host = host
        self._log = log
        self._state = State.AUTH
        self._user = b"???"
        self._mailbox: Mailbox | None = None
        self._current = 1
        self._message: bytes | None = None
        self._goodbye = b"+ Sayonara"

    def run(self) -> None:
        """Serve until the client has left; nothing the client does makes this raise."""
        logout = "Logout"
        try:
            self._serve()
        except Gone as gone:
            logout = gone.reason
            self._last_word(gone.answer)
        except OSError as error:
            logout = f"{error.strerror}, while serving"
        self._log(f"{logout} user={_printable(self._user)} host={self._host}")

    def _serve(self) -> None:
        if self._settings.disabled:
            self._answer(b"- POP2 server disabled on this system")
            return
        name = os.fsencode(socket.gethostname())
        self._answer(b"+ POP2 %s v%s server ready" % (name, VERSION.encode()))
        while self._state is not State.DONE:
            login = self._state is State.AUTH
            line = self._wire.line(
                self._settings.login_seconds if login else self._settings.idle_seconds
            )
            self._state = self._command(line)
        self._answer(self._goodbye)

    def _command(self, line: bytes | None) -> State:
        """Carry out one line; the next state."""
        if line is None:
            return self._leave(b"- Command line too long")
        verb, _, argument = line.lstrip(b" ").partition(b" ")
        verb = verb.upper()
        if not verb:
            return self._leave(b"- Missing or null command")
        if self._state not in COMMANDS.get(verb, ()):
            return self._leave(b"- Bogus or out of sequence command")
        if verb in (b"QUIT", b"RETR", b"ACKS", b"ACKD", b"NACK") and argument:
            return self._leave(b"- Bogus argument given to " + verb)
        handlers: dict[bytes, Callable[[bytes], State]] = {
            b"HELO": self._helo,
            b"FOLD": self._fold,
            b"READ": self._read,
            b"RETR": self._retr,
            b"ACKS": self._acks,
            b"ACKD": self._ackd,
            b"NACK": self._nack,
            b"QUIT": self._quit,
        }
        return handlers[verb](argument)

    def _helo(self, argument: bytes) -> State:
        user, _, quoted = argument.lstrip(b" ").partition(b" ")
        if not user or not quoted:
            return self._refuse(b"- Missing user or password")
        self._user = user
        if not _password_matches(self._settings.users, user, _unquote(quoted)):
            self._log(f"Login failure user={_printable(user)} host={self._host}")
            time.sleep(self._settings.bad_login_seconds)
            return self._refuse(b"- Bad login")
        self._log(f"Login user={_printable(user)} host={self._host}")
        return self._open(b"INBOX")

    def _fold(self, argument: bytes) -> State:
        if not argument:
            return self._refuse(b"- Missing mailbox name")
        return self._open(argument)

    def _open(self, name: bytes) -> State:
        """Open a mailbox; there is only the user's own, any other name finds none."""
        self._expunge()
        self._mailbox = None
        self._current = 1
        if name.upper() == b"INBOX":
            try:
                self._mailbox = Mailbox(self._settings.spool / os.fsdecode(self._user))
            except OSError as error:
                user = _printable(self._user)
                self._log(f"Mailbox of user={user} cannot be read: {error.strerror}")
        found = self._mailbox.name if self._mailbox is not None else b"<none>"
        self._answer(b"#%d messages in %s" % (self._count, found))
        return State.MBOX

    def _read(self, argument: bytes) -> State:
        argument = argument.strip()
        if argument:
            if not argument.isdigit() or not 1 <= int(argument) <= self._count:
                return self._refuse(b"- Invalid message number given to READ")
            self._current = int(argument)
        return self._offer()

    def _offer(self) -> State:
        """Announce the size of the current message."""
        if self._mailbox is None or self._current > self._count:
            self._answer(b"=0 No more messages")
            return State.MBOX
        self._message = self._mailbox.message(self._current)
        size = len(self._message) if self._message is not None else 0
        self._answer(b"=%d characters in message %d" % (size, self._current))
        return State.ITEM

    def _retr(self, _: bytes) -> State:
        if self._message is None:
            return State.DONE
        self._wire.send(self._message, self._settings.idle_seconds)
        return State.NEXT

    def _acks(self, _: bytes) -> State:
        self._current += 1
        return self._offer()

    def _ackd(self, _: bytes) -> State:
        if self._mailbox is not None:
            self._mailbox.delete(self._current)
        self._current += 1
        return self._offer()

    def _nack(self, _: bytes) -> State:
        return self._offer()

    def _quit(self, _: bytes) -> State:
        self._expunge()
        return State.DONE

    @property
    def _count(self) -> int:
        return len(self._mailbox) if self._mailbox is not None else 0

    def _expunge(self) -> None:
        if self._mailbox is not None:
            self._mailbox.expunge()

    def _answer(self, text: bytes) -> None:
        self._wire.send(text + b"\r\n", self._settings.idle_seconds)

    def _refuse(self, text: bytes) -> State:
        """Answer an error; the session ends with the usual goodbye."""
        self._answer(text)
        return State.DONE

    def _leave(self, text: bytes) -> State:
        """End the session with ``text`` in place of the usual goodbye."""
        self._goodbye = text
        return State.DONE

    def _last_word(self, text: bytes) -> None:
        """Tell a client that may be gone already."""
        if text:
            with contextlib.suppress(Gone, OSError):
                self._wire.send(text + b"\r\n", 1.0)


def _unquote(password: bytes) -> bytes:
    """The password behind RFC 937's quoting: a backslash stands before any octet."""
    plain = bytearray()
    octets = iter(password)
    for octet in octets:
        plain.append(next(octets, octet) if octet == ord("\\") else octet)
    return bytes(plain)


def _password_matches(users: Path, user: bytes, password: bytes) -> bool:
    """Whether the file of ``user:password`` lines has this pair; a file path is no user."""
    if b"/" in user or user.startswith(b"."):
        return False
    for line in users.read_bytes().splitlines():
        name, colon, expected = line.partition(b":")
        if colon and name == user:
            return hmac.compare_digest(expected, password)
    return False


def _printable(name: bytes) -> str:
    """A client's word as it may stand in a log: bounded, no control characters."""
    text = name[:80].decode("ascii", "backslashreplace")
    return "".join(letter if letter.isprintable() and letter != " " else "?" for letter in text)


def _client_name(connection: socket.socket) -> str:
    """The client's address in brackets; UNKNOWN where the socket has none."""
    try:
        peer = connection.getpeername()
    except OSError:
        return "UNKNOWN"
    return f"[{peer[0]}]" if isinstance(peer, tuple) else "UNKNOWN"


def _write_log(line: str) -> None:
    syslog.syslog(syslog.LOG_INFO, line)


def serve_stdin(settings: Settings) -> None:
    """One session on standard input and output, as inetd, xinetd and systemd hand it over."""
    host = "UNKNOWN"
    if stat.S_ISSOCK(os.fstat(0).st_mode):
        with socket.socket(fileno=os.dup(0)) as connection:
            host = _client_name(connection)
    Session(settings, Wire(0, 1), host, _write_log).run()


def parse_address(text: str) -> tuple[int, str | tuple[str, int]]:
    """Socket family and address of ``ADDR:PORT``, ``[V6]:PORT`` or ``unix:/path``.

    The address is as ``socket.bind`` wants it.  Raises argparse.ArgumentTypeError, which says
    what was expected.
    """
    if text.startswith("unix:/"):
        return socket.AF_UNIX, text[len("unix:") :]
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdigit() and int(port) < 65536):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an address: write ADDR:PORT, [V6]:PORT or unix:/path"
        )
    if host.startswith("[") and host.endswith("]"):
        return socket.AF_INET6, (host[1:-1], int(port))
    return socket.AF_INET, (host, int(port))


def _listen(family: int, address: str | tuple[str, int]) -> socket.socket:
    """A listening socket; an IPv6 one leaves IPv4 alone, so both can have the same port."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if isinstance(address, str):
            _remove_socket(Path(address))
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_socket(path: Path) -> None:
    """Remove a socket file; a file of another kind is somebody's and stays."""
    if path.is_socket():
        path.unlink()


class Server:
    """Stand-alone: listeners, and one thread for each client."""

    def __init__(
        self, settings: Settings, addresses: Sequence[tuple[int, str | tuple[str, int]]]
    ) -> None:
        self._settings = settings
        self._open: dict[socket.socket, threading.Thread] = {}
        self._free = threading.BoundedSemaphore(MAX_SESSIONS)
        self._listeners: list[socket.socket] = []
        try:
            for family, address in addresses:
                self._listeners.append(_listen(family, address))
        except OSError:
            self.close()
            raise

    def names(self) -> list[str]:
        """The addresses it listens on, with the ports the system chose for 0."""
        names = []
        for listener in self._listeners:
            address = listener.getsockname()
            if isinstance(address, str):
                names.append(f"unix:{address}")
            elif listener.family == socket.AF_INET6:
                names.append(f"[{address[0]}]:{address[1]}")
            else:
                names.append(f"{address[0]}:{address[1]}")
        return names

    def run(self) -> None:
        """Accept and serve until an exception ends it (SIGTERM raises SystemExit)."""
        with selectors.DefaultSelector() as selector:
            for listener in self._listeners:
                selector.register(listener, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    self._free.acquire()
                    self._accept(key.fileobj)

    def _accept(self, listener: object) -> None:
        assert isinstance(listener, socket.socket)
        try:
            connection, _ = listener.accept()
        except OSError:  # the client was gone before it was accepted
            self._free.release()
            return
        connection.setblocking(True)
        thread = threading.Thread(target=self._session, args=(connection,), daemon=True)
        self._open[connection] = thread
        thread.start()

    def _session(self, connection: socket.socket) -> None:
        try:
            wire = Wire(connection.fileno(), connection.fileno())
            Session(self._settings, wire, _client_name(connection), _write_log).run()
        finally:
            del self._open[connection]
            connection.close()
            self._free.release()

    def close(self) -> None:
        """Stop listening and end the sessions."""
        for listener in self._listeners:
            address = listener.getsockname()
            listener.close()
            if isinstance(address, str) and address:
                _remove_socket(Path(address))
        for connection, thread in list(self._open.items()):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it ended by itself
            thread.join(1.0)


def _announce(names: Sequence[str]) -> None:
    """Say that clients can come: to the terminal, and to systemd (sd_notify(3))."""
    for name in names:
        print(f"listening on {name}", file=sys.stderr, flush=True)
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + address[1:] if address.startswith("@") else address)
            notify.send(b"READY=1")


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(
        prog="ipop2d", description="A legacy POP2 server for demonstrations and tests."
    )
    parser.add_argument(
        "--listen",
        action="append",
        type=parse_address,
        default=[],
        metavar="ADDR:PORT",
        help="serve there, may be repeated: ADDR:PORT, [V6]:PORT, unix:/path"
        " (default: one session on standard input and output)",
    )
    parser.add_argument(
        "--users", type=Path, default=Path("/etc/pop2d.users"), help="file of user:password lines"
    )
    parser.add_argument(
        "--spool", type=Path, default=Path("/var/mail"), help="folder of the mailbox files"
    )
    parser.add_argument(
        "--greeting-only-disabled",
        action="store_true",
        help="answer that POP2 is disabled here, and close",
    )
    for name, default, meaning in (
        ("--bad-login-delay", BAD_LOGIN_SECONDS, "seconds to wait before a login is refused"),
        ("--login-timeout", LOGIN_SECONDS, "seconds a client has to log in"),
    ):
        parser.add_argument(name, type=float, default=default, metavar="SECONDS", help=meaning)
    options = parser.parse_args(arguments)
    settings = Settings(
        users=options.users,
        spool=options.spool,
        disabled=options.greeting_only_disabled,
        bad_login_seconds=options.bad_login_delay,
        login_seconds=options.login_timeout,
    )
    syslog.openlog("ipop2d", syslog.LOG_PID, syslog.LOG_MAIL)
    if not options.listen:
        serve_stdin(settings)
        return 0
    with contextlib.suppress(OSError):  # not everywhere is /proc writable
        Path("/proc/self/comm").write_text("ipop2d")  # the name in ps and ss, not the interpreter's
    signal.signal(signal.SIGTERM, _terminate)
    try:
        server = Server(settings, options.listen)
    except OSError as error:
        print(f"ipop2d: cannot listen: {error}", file=sys.stderr)
        return 1
    try:
        _announce(server.names())
        server.run()
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
