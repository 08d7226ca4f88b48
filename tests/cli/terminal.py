"""A command on a terminal of its own, and somebody who types when it asks.

Strategy: standard library alone, so that a booted host can run this file as it stands: it reads
what is to be typed as JSON from its input, and prints what came of it as JSON.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

PATIENCE = 60.0
"""Seconds for one command."""
_CTRL_C = "\x03"
# In a session of its own the command's stdin becomes its terminal: what prompts is answered there.
_TERMINAL = """import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])"""


def converse(
    command: Sequence[str],
    env: Mapping[str, str],
    answers: Mapping[str, str],
    until: str = "",
    cwd: str | None = None,
    seconds: float = PATIENCE,
) -> tuple[int, str]:
    """Exit code, and all that the terminal showed. `answers`: a pattern of what is shown to what is
    typed then; what was shown before something was typed does not count again. Where `until` is
    shown, Ctrl-C is typed, once. A command that takes longer is killed, with all that it started:
    then the code is that of SIGKILL.
    """
    master, slave = pty.openpty()
    shown = b""
    fresh = 0
    end = time.monotonic() + seconds
    with subprocess.Popen(
        [sys.executable, "-c", _TERMINAL, *command],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=dict(env), cwd=cwd,
    ) as process:  # fmt: skip
        os.close(slave)
        try:
            while (left := end - time.monotonic()) > 0:
                if not select.select([master], [], [], left)[0]:
                    break
                try:
                    shown += os.read(master, 65536)
                except OSError:  # Nobody has the terminal open any more.
                    return process.wait(10), _text(shown)
                text = _text(shown[fresh:])
                if until and re.search(until, text):
                    until, typed = "", _CTRL_C
                else:
                    typed = next((answers[each] for each in answers if re.search(each, text)), "")
                if typed:
                    fresh = len(shown)
                    os.write(master, typed.encode())
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait(10), _text(shown)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            os.close(master)


def _text(shown: bytes) -> str:
    return shown.decode("utf-8", "replace").replace("\r\n", "\n")


if __name__ == "__main__":
    print(json.dumps(converse(**json.load(sys.stdin))))
