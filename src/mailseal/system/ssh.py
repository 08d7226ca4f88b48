"""Another machine by way of the OpenSSH client: programs run there, bytes go in and come out.

Strategy: the user's own `ssh` with the user's own configuration, so keys, agents, jump hosts and
host key checks are theirs and stay theirs. Each call is a connection of its own: what confirms a
change must not ride on a connection that was there before it. Standard error is passed on line by
line, so that progress is seen while it happens.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import threading
from dataclasses import dataclass
from typing import IO, Callable, List, Sequence, Tuple

from mailseal.system.base import Completed

_TARGET = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?"
    r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?/?"
)

_LIMIT = 32 * 1024 * 1024


@dataclass(frozen=True)
class Address:
    """Where to connect: `user` and `port` empty where ssh's configuration decides."""

    host: str
    user: str = ""
    port: str = ""

    def argv(self) -> Tuple[str, ...]:
        """The ssh command up to the remote command. The host can never be read as an option."""
        words = ["ssh", "-T", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=5"]
        words += ["-p", self.port] if self.port else []
        words += ["-l", self.user] if self.user else []
        return (*words, "--", self.host)


def parse(target: str) -> Address:
    """`ssh://[user@]host[:port]`. Raises ValueError."""
    match = _TARGET.fullmatch(target)
    if match is None:
        raise ValueError("%r is not ssh://[user@]host[:port]" % target)
    return Address(match["host"].strip("[]"), match["user"] or "", match["port"] or "")


def run(
    address: Address,
    argv: Sequence[str],
    *,
    data: bytes = b"",
    timeout: float = 600.0,
    tell: Callable[[str], None] = lambda line: None,
) -> Completed:
    """Runs a program there to its end. `tell` gets each line of its standard error. A code of 255
    is ssh's own failure (no connection, no login).
    """
    command = [*address.argv(), " ".join(shlex.quote(word) for word in argv)]
    done = stream(command, data, timeout, tell)
    return Completed(tuple(argv), done.code, done.out, done.err)


def stream(
    argv: Sequence[str], data: bytes, timeout: float, tell: Callable[[str], None]
) -> Completed:
    """Runs a program of this machine that speaks for another one, as `run` does."""
    command = list(argv)
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said: List[bytes] = []
    threads = [
        threading.Thread(target=_pass_on, args=(process.stderr, said, tell), daemon=True),
        threading.Thread(target=_feed, args=(process.stdin, data), daemon=True),
    ]
    for thread in threads:
        thread.start()
    timer = threading.Timer(timeout, process.kill)
    timer.start()
    try:
        out = process.stdout.read(_LIMIT)
        code = process.wait()
    finally:
        expired = not timer.is_alive()
        timer.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
        for thread in threads:
            thread.join(5.0)
        process.stdout.close()
    return Completed(tuple(argv), 124 if expired else code, out, b"".join(said))


def _feed(stdin: IO[bytes], data: bytes) -> None:
    # The program may end without reading it all; its exit code tells why. Closing writes what is
    # left, so it may fail for the same reason.
    with contextlib.suppress(OSError):
        stdin.write(data)
    with contextlib.suppress(OSError):
        stdin.close()


def _pass_on(stderr: IO[bytes], said: List[bytes], tell: Callable[[str], None]) -> None:
    for line in iter(lambda: stderr.readline(4096), b""):
        if len(said) < 1000:
            said.append(line)
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        tell("".join(char if char.isprintable() else "?" for char in text))
    stderr.close()
