"""A program that speaks for another host, such as ssh or nsenter: bytes go in, bytes come out, and
what it says meanwhile is passed on.

Strategy: two threads feed and listen, so that neither end waits for the other. Standard error is
passed on line by line, printable, so that progress is seen while it happens; the output is bounded.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from typing import IO, Callable, List, Sequence

from mailseal.system.base import Completed

_LIMIT = 32 * 1024 * 1024


def talk(
    argv: Sequence[str], data: bytes, timeout: float, tell: Callable[[str], None]
) -> Completed:
    """Runs a program to its end, `data` on its standard input. `tell` gets each line of its
    standard error. A program that takes longer than `timeout` seconds is killed: code 124.
    """
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said: List[bytes] = []
    threads = [
        threading.Thread(target=pass_on, args=(process.stderr, said, tell), daemon=True),
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


def pass_on(stderr: IO[bytes], said: List[bytes], tell: Callable[[str], None]) -> None:
    """Tells each line, printable, and keeps the first thousand in `said`. Closes the stream."""
    for line in iter(lambda: stderr.readline(4096), b""):
        if len(said) < 1000:
            said.append(line)
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        tell("".join(char if char.isprintable() else "?" for char in text))
    stderr.close()
