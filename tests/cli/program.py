"""The real program in a process of its own, and what came of it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.cli.terminal import converse
from tests.project.tree import SRC

PROGRAM = [sys.executable, "-m", "mailseal"]


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
    """Runs it on a terminal, where `types` is typed when it asks (writes `: `); exit code and
    everything the terminal showed.
    """
    answers = {": $": types.decode()} if types else {}
    code, shown = converse(
        [*PROGRAM, *arguments], environment(TERM="xterm", **(env or {})), answers
    )
    return code, shown.encode()
