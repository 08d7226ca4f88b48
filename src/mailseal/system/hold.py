"""A program on another host that stays for as long as we do, and goes with us however we go.

Strategy: its standard input is the tie. Here an octet is written every BEAT seconds; there the end
of the input, or PATIENCE seconds without an octet, is the end: a connection that was cut without a
word may look alive from there for hours (tcp(7), tcp_keepalive_time).
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
from typing import IO, Callable, Iterator, List, Sequence

from mailseal.system.base import Completed
from mailseal.system.talk import pass_on

BEAT = 5.0
PATIENCE = 45.0
_LINE = 1024 * 1024


@contextlib.contextmanager
def hold(
    argv: Sequence[str], tell: Callable[[str], None], first: float, last: float
) -> Iterator[Completed]:
    """Runs a program that says one line, within `first` seconds, and stays until its input ends.
    Gives that line, with code 0; where it ended before, its code and standard error. At the end of
    the `with` it has ended, or was killed after `last` seconds. `tell` gets each line of its
    standard error.
    """
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said: List[bytes] = []
    over = threading.Event()
    listening = threading.Thread(target=pass_on, args=(process.stderr, said, tell), daemon=True)
    beating = threading.Thread(target=_beat, args=(process.stdin, over), daemon=True)
    timer = threading.Timer(first, process.kill)
    for thread in (listening, beating, timer):
        thread.start()
    try:
        line = process.stdout.readline(_LINE)
        timer.cancel()
        if not line:
            process.wait()
            listening.join(5.0)
        yield Completed(tuple(argv), 0 if line else process.returncode or 1, line, b"".join(said))
    finally:
        timer.cancel()
        over.set()
        beating.join(5.0)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(last)
        process.kill()
        process.wait()
        listening.join(5.0)
        process.stdout.close()


def _beat(stdin: IO[bytes], over: threading.Event) -> None:
    # A program that is gone reads nothing; that it is gone is noticed elsewhere.
    with contextlib.suppress(OSError):
        while not over.wait(BEAT):
            stdin.write(b"\n")
            stdin.flush()
    with contextlib.suppress(OSError):
        stdin.close()


def when_let_go(then: Callable[[], None]) -> None:
    """The other end: calls `then`, from a thread, once nobody holds this process any more."""

    def listen() -> None:
        while select.select([0], [], [], PATIENCE)[0] and os.read(0, 4096):
            pass
        then()

    threading.Thread(target=listen, daemon=True).start()
