"""`/metrics` for a Prometheus server on this machine.

Strategy: a thread of its own hands out the newest text and knows nothing else; it listens on
loopback alone, because it has no way to ask who is there. A client that says nothing is cut off
after a while, and only so many are heard at a time.
"""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator

from mailseal.watch.metrics import TYPE
from mailseal.watch.sinks import Deadline

LIMIT = 5.0
"""Seconds for one request and its answer."""
AT_ONCE = 8


@contextlib.contextmanager
def listening(address: str, port: int, text: Callable[[], str]) -> Iterator[int]:
    """Answers with `text` while it lasts; the port (that of the system's choice for 0). Raises
    OSError, ValueError for an address that is not loopback.
    """
    if not ipaddress.ip_address(address).is_loopback:
        raise ValueError(f"{address} is not an address of this machine alone")
    with _Server(address, port, text) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics")
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _Server(http.server.ThreadingHTTPServer):
    """Each connection in a thread, within its limit."""

    def __init__(self, address: str, port: int, text: Callable[[], str]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.text = text
        self._free = threading.BoundedSemaphore(AT_ONCE)
        super().__init__((address, port), _Request)

    def server_bind(self) -> None:
        # The library's own asks for the name of the address here, which may hang.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "", self.server_address[1]

    def process_request_thread(self, request: object, client_address: object) -> None:
        """One connection. More than there is room for are closed unheard."""
        assert isinstance(request, socket.socket)
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            with Deadline(LIMIT) as deadline:
                deadline.hold(request)
                super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no fault of ours."""


class _Request(http.server.BaseHTTPRequestHandler):
    """GET /metrics, and nothing else."""

    server: _Server
    timeout = LIMIT
    server_version = "mailseal"
    sys_version = ""

    def do_GET(self) -> None:
        found = self.path.partition("?")[0] == "/metrics"
        body = (self.server.text() if found else "It is at /metrics.\n").encode("utf-8")
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody is told who asks."""
