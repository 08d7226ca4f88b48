"""POP2 clients of several tempers, all at once: a program of its own, for a place in the lab.

Reads a list of visits as JSON and prints what each was told, in the same order. A visit is
`{"how": ..., "address": ..., "port": ..., "lines": [...], "name": ..., "ca": ...}`; `how` is one of

    polite   waits for the greeting, then says its lines
    eager    says its first line before it is greeted
    tls      polite, inside TLS, the certificate verified against `ca` (PEM) and `name`

The answer is the list of lines that came back; the last is `!` and the reason where it ended early.
"""

import json
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

PATIENCE = 2.0
"""Seconds: a server that greets does so at once."""


def visit(wish: dict) -> list[str]:
    said: list[str] = []
    try:
        with socket.create_connection((wish["address"], wish["port"]), 10) as raw:
            raw.settimeout(PATIENCE if wish["how"] != "tls" else 10.0)
            if wish["how"] != "tls":
                talk(raw, wish, said)
                return said
            context = ssl.create_default_context(cadata=wish["ca"])
            with context.wrap_socket(raw, server_hostname=wish["name"]) as secured:
                talk(secured, wish, said)
    except OSError as error:
        said.append("!" + (getattr(error, "verify_message", "") or type(error).__name__))
    return said


def talk(connection: socket.socket, wish: dict, said: list[str]) -> None:
    wire = connection.makefile("rwb", buffering=0)
    lines = list(wish["lines"])
    if wish["how"] == "eager":
        wire.write(lines.pop(0).encode() + b"\r\n")
    while True:
        line = wire.readline(1000)
        if not line:
            raise EOFError
        said.append(line.decode("latin-1").rstrip("\r\n"))
        if not lines:
            return
        wire.write(lines.pop(0).encode() + b"\r\n")


def guarded(wish: dict) -> list[str]:
    try:
        return visit(wish)
    except EOFError:
        return ["!closed"]


if __name__ == "__main__":
    with ThreadPoolExecutor(16) as pool:
        json.dump(list(pool.map(guarded, json.load(sys.stdin))), sys.stdout)
