"""Mail programs run side by side, on the host that has them: reads a list of errands as JSON from
standard input, prints what came of each, in the same order.

Strategy: a program of its own, so that one command to a host is enough for many. An errand is
`{"argv": [...], "files": {name: text}, "input": text, "terminal": bool}`, run in a folder of its
own, which is its home; or with `"address"`, `"port"` and `"lines"` besides a dialogue typed by
hand, over a socket or, where there is an `argv`, through that program. A line is `[wait, say]`: the
server's line that is waited for (a regular expression; if it has a group that takes no part, the
answer was no and the rest is left; empty: nothing is waited for), and what is then said; the last
`say` is the farewell, said either way. What came of it is `[status, output]`; a dialogue's status
is 1 where an answer was no.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import IO, Any

Start = Callable[..., "subprocess.Popen[bytes]"]

SECONDS = 30
"""For each errand."""
AT_ONCE = 8
"""popa3d takes ten connections of one address."""


def main() -> None:
    errands = json.load(sys.stdin)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        json.dump(list(pool.map(run, errands)), sys.stdout)


def run(errand: dict[str, Any]) -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as home:
        for name, text in errand["files"].items():
            Path(home, name).write_text(text, encoding="utf-8")
            Path(home, name).chmod(0o600)
        # Whatever it waits for, it ends: timeout(1) kills it, and its status is 137.
        argv = ["timeout", "-s", "KILL", str(SECONDS), *errand["argv"]] if errand["argv"] else []
        environment = {**os.environ, "HOME": home, "TERM": "xterm"}

        def start(**streams: Any) -> subprocess.Popen[bytes]:
            return subprocess.Popen(argv, cwd=home, env=environment, **streams)

        if errand["lines"]:
            return typed(errand, start)
        if errand["terminal"]:
            return on_terminal(start)
        with start(stdin=PIPE, stdout=PIPE, stderr=STDOUT) as program:
            said, _ = program.communicate(errand["input"].encode())
        return program.returncode, said.decode(errors="replace")


def on_terminal(start: Start) -> tuple[int, str]:
    """Some programs want somebody in front of a screen."""
    screen, inside = pty.openpty()
    said = b""
    with start(stdin=inside, stdout=inside, stderr=inside, start_new_session=True) as program:
        os.close(inside)
        with contextlib.suppress(OSError):  # EIO: the last who had the terminal has gone
            while data := os.read(screen, 4096):
                said += data
        os.close(screen)
    return program.returncode, said.decode(errors="replace")


def typed(errand: dict[str, Any], start: Start) -> tuple[int, str]:
    """A dialogue typed by hand."""
    if errand["argv"]:
        with start(stdin=PIPE, stdout=PIPE, stderr=subprocess.DEVNULL, bufsize=0) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            return dialogue(errand["lines"], program.stdout, program.stdin.write)
    where = (errand["address"], errand["port"])
    with socket.create_connection(where, SECONDS) as wire, wire.makefile("rb") as reader:
        return dialogue(errand["lines"], reader, wire.sendall)


def dialogue(
    lines: list[tuple[str, str]], reader: IO[bytes], write: Callable[[bytes], object]
) -> tuple[int, str]:
    """Says each line when its turn has come; the status, and what was said and heard."""
    transcript = ""
    agreed = True
    *before, (last, farewell) = lines
    for wait, say in [*before, (last, "")]:
        match = None if wait else re.match("", "")
        while match is None:
            line = reader.readline().decode("latin-1")
            transcript += "S: " + line
            if not line:
                return 2, transcript
            match = re.match(wait, line)
        agreed = None not in match.groups()
        if not agreed:
            break
        if say:
            write(say.encode() + b"\r\n")
            transcript += f"C: {say}\n"
    with contextlib.suppress(ConnectionError):
        write(farewell.encode() + b"\r\n")
        while reader.readline():
            pass
    return (0 if agreed else 1), transcript


if __name__ == "__main__":
    main()
