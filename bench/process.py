"""Programs that are measured, or measured against: started, timed, ended."""

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 600.0
"""No contestant takes longer, but for one that is known to."""


class BenchError(RuntimeError):
    """The bench cannot say anything; `str()` says why and what to do."""


@dataclass(frozen=True)
class Used:
    """Seconds of processor (user and system, children included) and of the clock."""

    cpu: float
    wall: float
    output: str


def measured(
    command: Sequence[str], cpus: set[int], expected: int = 0, seconds: float = SECONDS
) -> Used:
    """Runs a program to its end. Raises BenchError where it ends with another status."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, preexec_fn=pin(cpus)
        )
        status, used = ended(child, seconds)
        wall = time.monotonic() - started
        output.seek(0)
        if status != expected:
            errors.seek(0)
            raise BenchError(f"{command[0]} ended with {status}: {errors.read(2000)}")
        return Used(used.ru_utime + used.ru_stime, wall, output.read())


def ended(
    child: "subprocess.Popen[bytes]", seconds: float = SECONDS
) -> "tuple[int, resource.struct_rusage]":
    """Waits for the child, and ends it where it takes too long or we are interrupted."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            pid, status, used = os.wait4(child.pid, os.WNOHANG)
            if pid:
                child.returncode = os.waitstatus_to_exitcode(status)
                return child.returncode, used
            time.sleep(0.002)
        raise BenchError(f"pid {child.pid} took more than {seconds:.0f} s")
    finally:
        if child.returncode is None:
            child.kill()
            child.wait()


def pin(cpus: set[int]) -> Callable[[], None]:
    """For a child to stay on these processors."""
    return lambda: os.sched_setaffinity(0, cpus)


def compiled(source: Path, folder: Path) -> str:
    """A C program, built. Raises BenchError where there is no compiler."""
    program = folder / source.stem
    if not shutil.which("cc"):
        raise BenchError("no C compiler: install gcc and libc6-dev")
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", program, source], check=True)
    return str(program)


@contextlib.contextmanager
def running(command: Sequence[str], cpus: set[int]) -> Iterator[str]:
    """A server in the background; gives the first line it prints, and ends it."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=pin(cpus)
    ) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline().strip()
            if not line:
                raise BenchError(f"{command[0]} did not start")
            yield line
        finally:
            child.terminate()
