"""How long the program takes to start, beside the bare interpreter.

Strategy: whole processes, taking turns, one at a time; the least time counts, because whatever else
the machine does only adds to it. The scan looks at one real POP2 server on loopback, from the
command line to its printed verdict.
"""

import os
import sys
import tempfile
from pathlib import Path

from bench.process import compiled, measured, running
from bench.table import Table

TURNS = 12
"""Of each contestant in a round."""
_HERE = Path(__file__).parent


def run(rounds: int) -> Table:
    """Raises BenchError where a program does not do what it should."""
    cpus = sorted(os.sched_getaffinity(0))
    apart, ours = {cpus[-1]}, set(cpus[:-1]) or {cpus[0]}
    program = [str(Path(sys.executable).with_name("mailseal"))]
    with tempfile.TemporaryDirectory() as folder:
        server = compiled(_HERE / "server.c", Path(folder))
        with running([server, "pop2"], apart) as port:
            contestants = {
                "python -I -c pass": ([sys.executable, "-I", "-c", "pass"], 0),
                "mailseal --version": ([*program, "--version"], 0),
                "mailseal scan, one endpoint": (
                    [*program, "scan", "--no-store", f"127.0.0.1:{port}"],
                    1,
                ),
            }
            least = dict.fromkeys(contestants, float("inf"))
            for _ in range(rounds * TURNS):
                for name, (command, status) in contestants.items():
                    least[name] = min(least[name], measured(command, ours, status).wall)
    bare = least["python -I -c pass"]
    return Table(
        f"Start, the least of {rounds * TURNS}",
        ("ms", "x python"),
        {name: (wall * 1000, wall / bare) for name, wall in least.items()},
        ("Limits: --version 4 times the bare interpreter, a scan of one endpoint 12 times.",),
    )
