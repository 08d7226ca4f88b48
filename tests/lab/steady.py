"""Clients that come all the time: a program of its own, for a place in the lab.

Reads one line of JSON: `{"address": ..., "port": ..., "tls_port": ..., "held": "clear" or "tls",
"hold": seconds}`. First it opens sessions at the port and says READY. From then on cleartext
clients connect to the port and TLS clients, quick and slow ones, to `tls_port` (0: none), until a
second line comes. Each session that was opened goes on for `hold` seconds, and then says goodbye.
Prints the counts as JSON: `refused` are TCP connects that failed, for whatever reason.
"""

import collections
import json
import socket
import ssl
import sys
import threading
import time

CLEAR, TLS, SLOW, HELD = 4, 2, 2, 4
"""Clients of each kind at a time."""
THOUGHT = 2.0
"""Seconds from a slow client's connect to its handshake."""
PAUSE = 0.05
PATIENCE = 1.0
"""Seconds: how long a cleartext client waits to be greeted."""


class Load:
    def __init__(self, wish: dict) -> None:
        self.wish = wish
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.counts: collections.Counter = collections.Counter()
        # Who it is counts in other tests; here the handshake must not cost more than it has to.
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def connect(self, port: int, kind: str) -> socket.socket:
        try:
            made = socket.create_connection((self.wish["address"], port), 10)
        except OSError as error:
            self.count(f"{kind} refused")
            self.count(f"{kind} refused: {type(error).__name__}")
            raise
        self.count(f"{kind} accepted")
        return made

    def clear(self) -> None:
        with self.connect(self.wish["port"], "clear") as wire:
            wire.settimeout(PATIENCE)
            try:
                greeted = wire.recv(100).startswith(b"+")
                wire.sendall(b"QUIT\r\n")
                done = greeted and wire.recv(100).startswith(b"+")
            except TimeoutError:
                self.count("clear silent")
            else:
                self.count("clear served" if done else "clear closed")

    def tls(self, thought: float = 0.0) -> None:
        with self.connect(self.wish["tls_port"], "tls") as raw:
            try:
                time.sleep(thought)
                with self.context.wrap_socket(raw) as wire:
                    talk(wire, 0)
            except OSError as error:
                self.count(f"tls failed: {error}")
            else:
                self.count("tls served")

    def slow(self) -> None:
        self.tls(THOUGHT)

    def held(self, ready: threading.Barrier) -> None:
        raw = socket.create_connection((self.wish["address"], self.wish["port"]), 10)
        wire = self.context.wrap_socket(raw) if self.wish["held"] == "tls" else raw
        with wire:
            try:
                talk(wire, self.wish["hold"], ready)
            except OSError as error:
                self.count(f"held failed: {error}")
            else:
                self.count("held complete")

    def again(self, client) -> None:
        while not self.stop.wait(PAUSE):
            try:
                client()
            except OSError as error:
                self.count(f"trouble: {error}")


def talk(wire: socket.socket, seconds: float, ready=None) -> None:
    """A whole session. Raises OSError where it does not go as it should."""
    wire.settimeout(10)
    lines = wire.makefile("rb")
    until = time.monotonic() + seconds
    if not lines.readline().startswith(b"+"):
        raise OSError("not greeted")
    if ready:
        ready.wait(20)
    while True:
        wire.sendall(b"HELO alice secret\r\n")
        if not lines.readline().startswith(b"#"):
            raise OSError("not logged in")
        if time.monotonic() > until:
            break
        time.sleep(0.2)
    wire.sendall(b"QUIT\r\n")
    if not lines.readline().startswith(b"+"):
        raise OSError("no goodbye")


def main() -> None:
    load = Load(json.loads(sys.stdin.readline()))
    ready = threading.Barrier(HELD + 1)
    held = [threading.Thread(target=load.held, args=(ready,)) for _ in range(HELD)]
    for each in held:
        each.start()
    ready.wait(20)
    kinds = [load.clear] * CLEAR
    if load.wish["tls_port"]:
        kinds += [load.tls] * TLS + [load.slow] * SLOW
    threads = [threading.Thread(target=load.again, args=(kind,)) for kind in kinds]
    for each in threads:
        each.start()
    print("READY", flush=True)
    sys.stdin.readline()
    load.stop.set()
    for each in (*threads, *held):
        each.join(40)
    print(json.dumps(load.counts), flush=True)


if __name__ == "__main__":
    main()
