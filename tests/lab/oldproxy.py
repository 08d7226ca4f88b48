#!/usr/bin/env python3
"""A STARTTLS proxy with the fault of CVE-2011-0411, to put in front of an SMTP server that serves
TLS on port 465: `oldproxy.py CERTIFICATE KEY`, listens on port 587.

Strategy: it reads what is there, not line by line, and what came behind STARTTLS it takes for the
first command inside TLS.
"""

import selectors
import socket
import socketserver
import ssl
import sys

ANSWERS = {
    b"EHLO": b"250-mail.example\r\n250 STARTTLS\r\n",
    b"QUIT": b"221 bye\r\n",
    b"STAR": b"220 go on\r\n",
}
SECONDS = 30


class Session(socketserver.BaseRequestHandler):
    """One client."""

    def handle(self) -> None:
        client = self.request
        client.settimeout(SECONDS)
        client.sendall(b"220 mail.example ESMTP\r\n")
        kept, verb = b"", b""
        while verb not in (b"STAR", b"QUIT"):
            while b"\n" not in kept:
                more = client.recv(4096)
                if not more:
                    return
                kept += more
            line, _, kept = kept.partition(b"\n")
            verb = line[:4].upper()
            client.sendall(ANSWERS.get(verb, b"530 Must issue a STARTTLS command first\r\n"))
        if verb == b"STAR":
            self.inside(client, kept)

    def inside(self, client: socket.socket, kept: bytes) -> None:
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(sys.argv[1], sys.argv[2])
        # The server's certificate is for another name than that of the loopback.
        trusting = ssl._create_unverified_context()
        outer = socket.create_connection(("127.0.0.1", 465), SECONDS)
        with (
            trusting.wrap_socket(outer) as server,
            served.wrap_socket(client, server_side=True) as secure,
            selectors.DefaultSelector() as ready,
        ):
            server.recv(4096)  # Its greeting: after STARTTLS there is none.
            server.sendall(kept)
            ready.register(server, selectors.EVENT_READ, secure)
            ready.register(secure, selectors.EVENT_READ, server)
            while found := ready.select(SECONDS):
                for key, _ in found:
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    key.data.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    """Both families."""

    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    Server(("::", 587), Session).serve_forever()
