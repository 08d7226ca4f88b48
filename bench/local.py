"""Milliseconds to tell who listens, at 2,000 listeners: `mailseal local --all` beside `ss -ltnp`.

Strategy: one process opens the sockets in a network namespace of its own, so that the machine's own
listeners are not among them; contestants are started inside it, one after the other in each round.
`ss` names process and socket; mailseal also user, package, unit and configuration, and starts a
Python. What the gathering costs without the start stands in rows of its own, the part that `ss`
does (sockets of one namespace and who holds them) in the last.
"""

import os
import statistics
import sys

from bench.process import BenchError, Used, measured, running
from bench.table import Table

LISTENERS = 2000
_SERVER = """
import os, resource, socket, sys, time
count = int(sys.argv[1])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
kept = [socket.create_server(("0.0.0.0", 10000 + number)) for number in range(count)]
print(os.getpid(), flush=True)
time.sleep(600)
"""
_TIMED = """
import time
from mailseal.facts.local import gather
from mailseal.system.live import LiveSystem
system = LiveSystem()
began = time.perf_counter()
found = %s
print(time.perf_counter() - began, len(found))
"""
_PARTS = {
    "mailseal, gathering": "gather(system, every=True).listeners",
    "mailseal, every namespace": "system.sockets()",
    "mailseal, this namespace": "system.listeners()",
}


def run(rounds: int) -> Table:
    """Raises BenchError without root: a network namespace needs it."""
    if os.geteuid() != 0:
        raise BenchError("a network namespace needs root: run it as root")
    cpus = os.sched_getaffinity(0)
    commands = {
        "ss -ltnp": ["ss", "-H", "-ltnp"],
        "mailseal local --all": [sys.executable, "-m", "mailseal", "local", "--all"],
        **{name: [sys.executable, "-c", _TIMED % part] for name, part in _PARTS.items()},
    }
    turns: dict[str, list[float]] = {name: [] for name in commands}
    server = ["unshare", "--net", sys.executable, "-c", _SERVER, str(LISTENERS)]
    with running(server, cpus) as pid:
        for _ in range(rounds):
            for name, command in commands.items():
                inside = ["nsenter", f"--net=/proc/{pid}/ns/net", *command]
                used = measured(inside, cpus)
                turns[name].append(_seconds(name, used))
    peer = statistics.median(turns["ss -ltnp"])
    rows = {
        name: (statistics.median(each) * 1000, max(each) * 1000, statistics.median(each) / peer)
        for name, each in turns.items()
    }
    return Table(
        f"Who listens, at {LISTENERS} listeners of one process, median of {rounds}",
        ("ms", "worst ms", "x ss"),
        rows,
        ("Wall clock, start of the program included but for the rows with a comma.",),
    )


def _seconds(name: str, used: Used) -> float:
    """What counts of a turn. Raises BenchError where not all were seen."""
    if name not in _PARTS:
        seen = sum(":1" in line and "0.0.0.0" in line for line in used.output.splitlines())
        if seen < LISTENERS:
            raise BenchError(f"{name} saw {seen} of {LISTENERS} listeners")
        return used.wall
    seconds, count = used.output.split()
    if int(count) < LISTENERS:
        raise BenchError(f"{name} saw {count} of {LISTENERS} listeners")
    return float(seconds)
