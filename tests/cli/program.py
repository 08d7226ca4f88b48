"""The real program in a process of its own, and what came of it."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from tests.project.tree import SRC

PROGRAM = [sys.executable, "-m", "mailseal"]
# In a session of its own the program's stdin becomes its terminal: what prompts is answered there.
TERMINAL = """import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])"""


def environment(**more: str) -> dict[str, str]:
    """The least a program needs; what a developer has set does not count."""
    known = {name: os.environ[name] for name in ("PATH", "MAILSEAL_STORE") if name in os.environ}
    return {**known, "PYTHONPATH": str(SRC), "LC_ALL": "C.UTF-8", **more}


def mailseal(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    pass_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Runs it to its end without a terminal."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        env=environment(**(env or {})),
        pass_fds=pass_fds,
        timeout=60,
    )


def on_terminal(
    *arguments: str, env: Mapping[str, str] | None = None, types: bytes = b""
) -> tuple[int, bytes]:
    """Runs it on a terminal, where `types` is typed once it asks (writes `: `); exit code and
    everything the terminal showed.
    """
    master, slave = pty.openpty()
    shown = b""
    command = [sys.executable, "-c", TERMINAL, *PROGRAM, *arguments]
    with subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env=environment(TERM="xterm", **(env or {})),
    ) as process:  # fmt: skip
        os.close(slave)
        end = time.monotonic() + 60
        try:
            while time.monotonic() < end:
                try:
                    data = os.read(master, 65536)
                except OSError:  # The program has closed its side.
                    break
                shown += data
                if types and shown.endswith(b": "):
                    os.write(master, types)
                    types = b""
            return process.wait(10), shown
        finally:
            process.kill()
            os.close(master)
