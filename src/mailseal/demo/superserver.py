"""The toy host's super-servers: inetd, and a systemd socket with `Accept=yes`.

Both are one loop: listen, and start a program for each connection with the socket as its standard
input and output. inetd takes its table from an inetd.conf and reads it again on SIGHUP, closing the
listeners of lines that are gone; the socket has one fixed row. Says "ready" once it listens.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mailseal.configs import inetd

Key = tuple[str, int]
"""Address and port; a Unix socket's path and 0."""
Table = Mapping[Key, Sequence[str]]

DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
"""In front of a program: it cannot outlive the process that started it (setpriv(1))."""


def inetd_table(conf: Path, services: Path, programs: Mapping[str, Sequence[str]]) -> Table:
    """What an inetd.conf asks for. `programs`: the real command for each program of the toy."""
    names = inetd.parse_services(services.read_bytes())
    table: dict[Key, Sequence[str]] = {}
    for entry in inetd.parse(conf.read_bytes()).entries:
        port = inetd.port(entry, names)
        wildcard = "::" if entry.protocol == "tcp6" else "0.0.0.0"
        if port is None or entry.server not in programs:
            print("not served: " + entry.service, file=sys.stderr, flush=True)
            continue
        for address in entry.addresses:
            table[wildcard if address == "*" else address, port] = programs[entry.server]
    return table


def listen(key: Key) -> socket.socket:
    """A listening TCP socket for one family only. Raises OSError."""
    address, port = key
    v6 = ipaddress.ip_address(address).version == 6
    listener = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if v6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(64)
    except OSError:
        listener.close()
        raise
    return listener


def listen_unix(path: str, mode: int, owner: tuple[int, int]) -> socket.socket:
    """A listening Unix socket that is closed to others until it is as asked. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o777)
    try:
        listener.bind(path)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    os.chown(path, *owner)
    os.chmod(path, mode)
    listener.listen(64)
    return listener


class Superserver:
    """Listeners by key, and the sessions that were started from them."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._open: dict[Key, socket.socket] = {}
        self._sessions: list[subprocess.Popen[bytes]] = []
        self._awake, wake = socket.socketpair()
        self._wake = wake
        for end in (self._awake, wake):
            end.setblocking(False)
        self._selector.register(self._awake, selectors.EVENT_READ)
        signal.set_wakeup_fd(wake.fileno())

    def add(self, key: Key, listener: socket.socket, argv: Sequence[str]) -> None:
        """Serves a listener from now on."""
        listener.setblocking(False)
        self._open[key] = listener
        self._selector.register(listener, selectors.EVENT_READ, tuple(argv))

    def follow(self, table: Table) -> None:
        """Closes what is not in the table, opens what is new."""
        for key in [key for key in self._open if key not in table]:
            self._selector.unregister(self._open[key])
            self._open.pop(key).close()
        for key, argv in table.items():
            if key not in self._open:
                self.add(key, listen(key), argv)

    def run(self, reread: Callable[[], Table] | None) -> None:
        """Serves until SIGTERM. `reread` gives the table anew on SIGHUP."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._awake:
                    numbers = self._awake.recv(64)
                    if signal.SIGTERM in numbers:
                        return
                    if signal.SIGHUP in numbers and reread is not None:
                        self.follow(reread())
                        break  # the events at hand may be of listeners that are gone
                else:
                    self._serve(key.fileobj, key.data)
            self._sessions = [each for each in self._sessions if each.poll() is None]

    def _serve(self, listener: Any, argv: tuple[str, ...]) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # the client was gone before it was accepted
            return
        with connection:
            connection.setblocking(True)
            self._sessions.append(
                subprocess.Popen([*DIES_WITH_US, *argv], stdin=connection, stdout=connection)
            )

    def close(self) -> None:
        """Ends the sessions and stops listening."""
        for session in self._sessions:
            session.kill()
            session.wait()
        for listener in self._open.values():
            listener.close()
        self._selector.close()
        signal.set_wakeup_fd(-1)
        self._awake.close()
        self._wake.close()


def main(settings: Mapping[str, Any]) -> int:
    """`{"inetd": CONF, "services": FILE, "programs": {PATH: ARGV}}`, or `{"unix": PATH, "mode":,
    "uid":, "gid":, "argv":}`.
    """
    server = Superserver()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the wake-up descriptor tells the loop
    reread: Callable[[], Table] | None = None
    try:
        if "unix" in settings:
            owner = (settings["uid"], settings["gid"])
            listener = listen_unix(settings["unix"], settings["mode"], owner)
            server.add((settings["unix"], 0), listener, settings["argv"])
        else:
            conf, services = Path(settings["inetd"]), Path(settings["services"])
            reread = functools.partial(inetd_table, conf, services, settings["programs"])
            server.follow(reread())
        print("ready", flush=True)
        server.run(reread)
    except OSError as error:
        print(f"cannot serve: {error}", file=sys.stderr)
        return 1
    finally:
        server.close()
        if "unix" in settings:
            Path(settings["unix"]).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
