"""Private namespaces that hold everything a lab makes, so that nothing can be left behind.

Strategy: one keeper process waits in mount, network and process namespaces of its own.  Bridges,
hosts, mounts and files (a private tmpfs on /run) exist only in there; when the keeper goes, the
kernel takes all of it down.  The keeper waits on a pipe from this process, so it goes however
this process ends, SIGKILL included.  Every lab sees the same empty world: the same addresses
can be used in each, side by side.  Only cgroup folders are visible to the machine; they carry
the owner's pid, and each start removes those whose owner is dead.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from lab.images import LabError

CGROUPS = "/sys/fs/cgroup"
"""Where the enclosure mounts the unified hierarchy, whatever the machine itself uses."""
RUN = "/run/lab"
"""The enclosure's own folder, in memory."""
PREFIX = "mailseal-lab-"
"""What the cgroups of all labs begin with; the owner's pid follows."""
CLOSE_SECONDS = 15.0
END_SECONDS = 10.0

_serial = itertools.count(1)

# The outer shell outlives the inner namespaces, to remove their cgroups when they are empty.
_KEEPER = f"""
set -eu
cgroup={CGROUPS}/$1
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns {RUN}
mount -t cgroup2 cgroup2 {CGROUPS}
for leftover in {CGROUPS}/{PREFIX}*; do
    owner=${{leftover##*/{PREFIX}}}
    test -e "/proc/${{owner%%-*}}" || find "$leftover" -depth -type d -exec rmdir {{}} + || :
done 2>/dev/null
mkdir "$cgroup"
unshare --net --pid --fork --kill-child --mount-proc sh -c '
    ip link set lo up
    echo ready
    exec cat >/dev/null' || :
find "$cgroup" -depth -type d -exec rmdir {{}} +
"""


class Enclosure:
    """The namespaces of one lab: a place to run programs in and to keep files in."""

    def __init__(self) -> None:
        self.cgroup = f"{PREFIX}{os.getpid()}-{next(_serial)}"
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _KEEPER, "sh", self.cgroup],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stderr is not None
        if self._keeper.stdout.readline() != "ready\n":
            reason = self._keeper.stderr.read().strip()
            self.close()
            raise LabError(f"cannot make namespaces for the lab (needs root): {reason}")
        # unshare -> (forks) -> the process that holds the inner namespaces.
        self.pid = only_child(only_child(self._keeper.pid))

    def __enter__(self) -> Enclosure:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def path(self, inside: str) -> Path:
        """How this process reaches a path of the enclosure."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def argv(self, command: Sequence[str], netns: str | None = None) -> list[str]:
        """The command that runs ``command`` inside, in the main or a named network namespace."""
        network = self.path(f"/run/netns/{netns}") if netns else Path(f"/proc/{self.pid}/ns/net")
        folder = os.getcwd()
        return [
            "nsenter",
            f"--target={self.pid}",
            "--mount",
            "--pid",
            f"--net={network}",
            # Folders below the machine's /run do not exist inside.
            f"--wdns={folder if self.path(folder).is_dir() else '/'}",
            "--",
            *command,
        ]

    def run(self, command: Sequence[str], input: str | None = None) -> str:
        """Run a short administrative command inside; its output.  Raises LabError if it fails."""
        done = run(self.argv(command), input=input.encode() if input else None, timeout=30)
        if done.returncode != 0:
            raise LabError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def close(self) -> None:
        """Take everything down; returns when all processes are gone.  May be called twice."""
        keeper = self._keeper
        for stream in (keeper.stdin, keeper.stdout, keeper.stderr):
            if stream is not None:
                stream.close()
        try:
            keeper.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(keeper.pid, signal.SIGKILL)
            keeper.wait()
            raise LabError(
                f"the lab did not end within {CLOSE_SECONDS:.0f} s and was killed;"
                f" the next one removes its cgroup {self.cgroup}"
            ) from None


def children(pid: int) -> list[int]:
    """The child processes of ``pid``, as this process numbers them."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def only_child(pid: int) -> int:
    """The one child of ``pid``."""
    (child,) = children(pid)
    return child


def popen(argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start ``argv`` as the leader of a session of its own (see ``end``)."""
    return subprocess.Popen(argv, start_new_session=True, **options)


def end(
    process: subprocess.Popen[bytes],
    number: signal.Signals = signal.SIGKILL,
    seconds: float = END_SECONDS,
) -> None:
    """Send a program of ``popen`` a signal and wait for its end, which is forced after ``seconds``.

    nsenter stays outside as the parent of the program proper.  The signal goes to the program,
    so that nsenter lives to collect it: a dead process nobody collects holds up the end of the
    namespace it is in.
    """
    if process.poll() is not None:
        return
    for pid in children(process.pid) or [process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(
    argv: Sequence[str], input: bytes | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """``subprocess.run`` with captured output, that leaves nothing running after a time-out."""
    process = popen(
        argv,
        stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        stdout, stderr = process.communicate(input, timeout)
    except BaseException:
        end(process)
        raise
    finally:
        for stream in (process.stdin, process.stdout, process.stderr):
            _close(stream)
    return subprocess.CompletedProcess(list(argv), process.returncode, stdout, stderr)


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        stream.close()
