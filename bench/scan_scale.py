"""A scan's memory at ten thousand targets and at a million, and what a second process adds.

Strategy: the targets are addresses of the loopback network on a port where nobody listens, so that
a million looks take minutes; all else (list, line, verdict, record) is as always. The peak is
the kernel's high-water mark of the process, its workers included. Its peer is the same program with
fewer targets: what counts is the ratio. What a second process adds shows only where the servers and
the processes have cores of their own; with fewer than four it is not measured, and that is said.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.process import BenchError, compiled, ended, pin, running
from bench.scan import addresses
from bench.table import Table

FEW, MANY = 10_000, 1_000_000
ENDPOINTS = 16384
CORES = 4
SECONDS = 3600.0
"""A million looks take minutes, on a busy machine more than the ten of every other contestant."""
_HERE = Path(__file__).parent
_UNPACED = ["--rate", "0", "--rate-network", "0", "--rate-host", "0", "--per-host", "0"]


def run(rounds: int) -> Table:
    """Raises BenchError where a scan misses an endpoint."""
    cpus = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows = {f"{count} targets": memory(work, count, set(cpus)) for count in (FEW, MANY)}
        few, many = (rows[name][0] for name in rows)
        notes = [
            f"Peak at {MANY} is {many / few:.2f} times that at {FEW} (at most 1.2; under 120 MB)."
        ]
        if len(cpus) < CORES:
            notes.append(
                f"A second process was not measured: {len(cpus)} cores, and {CORES} are needed "
                "for servers, reader and two that look to have one each."
            )
        else:
            notes.append(f"A second process adds {second(work, cpus, rounds):.2f}x (at least 1.7).")
    return Table(
        "Scan of closed ports on loopback, one process, one run",
        ("peak MB", "cpu us/ep", "wall us/ep"),
        rows,
        notes,
    )


def memory(work: Path, count: int, cpus: set[int]) -> tuple[float, float, float]:
    """Peak in MB, and microseconds of processor and clock per endpoint."""
    cpu, wall, peak = scan(work, count, cpus, "1", "--processes", "1")
    return peak, cpu / count * 1e6, wall / count * 1e6


def second(work: Path, cpus: list[int], rounds: int) -> float:
    """How much faster two processes are than one, at real servers on cores of their own."""
    theirs, ours = {cpus[-1]}, set(cpus[:-1])
    best = {}
    with running([compiled(_HERE / "server.c", work), "pop2"], theirs) as port:
        for count in ("1", "2"):
            turns = [scan(work, ENDPOINTS, ours, port, "--processes", count) for _ in range(rounds)]
            best[count] = min(wall for _, wall, _ in turns)
    return best["1"] / best["2"]


def scan(
    work: Path, count: int, cpus: set[int], port: str, *options: str
) -> tuple[float, float, float]:
    """One scan: seconds of processor, seconds of the clock, peak in MB."""
    targets, out = work / f"targets-{count}", work / "out.ndjson"
    if not targets.exists():
        with targets.open("w") as file:
            file.writelines(f"{address}\n" for address in addresses(count))
    command = [
        sys.executable,
        "-m",
        "mailseal",
        "scan",
        "--no-store",
        "-l",
        str(targets),
        "--ports",
        port,
    ]
    command += [
        "--no-store",
        *_UNPACED,
        *options,
        "--format",
        "ndjson",
        "-o",
        str(out),
        "--overwrite",
    ]
    started = time.monotonic()
    child = subprocess.Popen(command, preexec_fn=pin(cpus))
    status, used = ended(child, SECONDS)
    wall = time.monotonic() - started
    with out.open("rb") as file:
        found = sum(1 for _ in file)
    if status not in (0, 1) or found != count:
        raise BenchError(f"the scan of {count} ended with {status} and {found} results")
    return used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024
