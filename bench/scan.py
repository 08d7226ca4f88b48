"""CPU and time of an active look, per endpoint: ours, nmap's banner script, and C as the floor.

Strategy: one server process plays thousands of POP2 endpoints (127.x.y.z on one port) on a
processor of its own; the contestants take turns on the other, on the same list of addresses. A
contestant that misses an endpoint has lost: the bench fails.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.process import BenchError, Used, compiled, measured, running
from bench.table import Table

ENDPOINTS = 4096
CONCURRENCY = 512
_HERE = Path(__file__).parent


class Contestant(NamedTuple):
    """`count` reads from the output how many endpoints it saw; `status` is what it exits with."""

    command: list[str]
    count: Callable[[str], int]
    status: int = 0


def run(rounds: int) -> Table:
    """Raises BenchError where a contestant is missing or misses an endpoint."""
    if not shutil.which("nmap"):
        raise BenchError(
            "nmap is the peer of this bench and is not installed: apt-get install nmap"
        )
    cpus = sorted(os.sched_getaffinity(0))
    apart, theirs = {cpus[-1]}, set(cpus[:-1]) or {cpus[0]}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        targets = work / "targets"
        targets.write_text("".join(f"{address}\n" for address in addresses(ENDPOINTS)))
        with running([compiled(_HERE / "server.c", work)], apart) as port:
            contestants = everybody(str(targets), port, compiled(_HERE / "floor.c", work))
            used: dict[str, list[Used]] = {name: [] for name in contestants}
            for _ in range(rounds):
                for name, contestant in contestants.items():
                    turn = measured(contestant.command, theirs, contestant.status)
                    seen = contestant.count(turn.output)
                    if seen != ENDPOINTS:
                        raise BenchError(f"{name} saw {seen} of {ENDPOINTS}: {turn.output[-1000:]}")
                    used[name].append(turn)
    return table(used, rounds)


def addresses(count: int) -> list[str]:
    """So many addresses of the loopback network, 127.1.0.0 and on."""
    return [f"127.1.{number >> 8}.{number & 255}" for number in range(count)]


def everybody(targets: str, port: str, floor: str) -> dict[str, Contestant]:
    numbers = [targets, port, str(CONCURRENCY)]
    python = [sys.executable, "-m"]
    scan = ["mailseal", "scan", "-l", targets, "--ports", port, "--format", "ndjson"]
    banner = ["nmap", "-sT", "-Pn", "-n", "--script", "banner", "-p", port, "-iL", targets]
    return {
        "C floor": Contestant([floor, *numbers], int),
        "mailseal, looks and verdicts": Contestant([*python, "bench.ours", *numbers], int),
        # Exit status 1: something is exposed.
        "mailseal scan": Contestant([*python, *scan], exposed, 1),
        "nmap, banner script": Contestant(banner, lambda text: text.count("banner: + POP2")),
    }


def exposed(output: str) -> int:
    """How many of the command's lines, one JSON record an endpoint, say so."""
    return sum(json.loads(line)["verdict"] == "exposed" for line in output.splitlines())


def table(used: dict[str, list[Used]], rounds: int) -> Table:
    micro = 1e6 / ENDPOINTS
    cpu = {name: statistics.median(turn.cpu for turn in turns) for name, turns in used.items()}
    wall = {name: statistics.median(turn.wall for turn in turns) for name, turns in used.items()}
    rows = {
        name: (
            cpu[name] * micro,
            wall[name] * micro,
            cpu[name] / cpu["C floor"],
            cpu[name] / cpu["nmap, banner script"],
        )
        for name in used
    }
    return Table(
        f"Scan of {ENDPOINTS} POP2 endpoints on loopback, median of {rounds}",
        ("cpu us/ep", "wall us/ep", "x floor", "x nmap"),
        rows,
        (
            "Whole processes, their start included. Ours and the floor: greeting, HELO, answer,",
            f"QUIT, goodbye, {CONCURRENCY} at a time; nmap reads the greeting alone. The command",
            "also writes its records.",
        ),
    )
