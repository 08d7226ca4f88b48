"""CPU and time of an active look, per endpoint and protocol: ours, nmap's script, and C as the
floor.

Strategy: one server process plays thousands of endpoints (127.x.y.z on one port) on a processor of
its own; the contestants take turns on the other, on the same list of addresses. A contestant that
misses an endpoint has lost: the bench fails. What is no mail service is recognised by its greeting,
so a look at SSH is the greeting-only look, of ours and of everybody's.
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

ENDPOINTS = 16384
CONCURRENCY = 512
_HERE = Path(__file__).parent


class Service(NamedTuple):
    """`script` is nmap's for this protocol, `shows` what its output has once an endpoint, `says`
    the commands of the floor's dialogue, `exposed` whether a look finds it so.
    """

    script: str
    shows: str
    says: tuple[str, ...] = ()
    exposed: bool = True


SERVICES = {
    "ssh": Service("banner", "banner: SSH-2.0", exposed=False),
    "pop2": Service("banner", "banner: + POP2", ("HELO", "QUIT")),
    "pop3": Service("+pop3-capabilities", "pop3-capabilities:", ("CAPA", "QUIT")),
    "imap": Service("+imap-capabilities", "imap-capabilities:", ("a CAPABILITY", "a LOGOUT")),
    "smtp": Service("+smtp-commands", "smtp-commands:", ("EHLO x", "QUIT")),
}


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
    used: dict[str, dict[str, list[Used]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        targets = work / "targets"
        targets.write_text("".join(f"{address}\n" for address in addresses(ENDPOINTS)))
        server, floor = (compiled(_HERE / name, work) for name in ("server.c", "floor.c"))
        for name in SERVICES:
            with running([server, name], apart) as port:
                contestants = everybody(name, str(targets), port, floor)
                used[name] = {who: [] for who in contestants}
                for _ in range(rounds):
                    for who, contestant in contestants.items():
                        used[name][who].append(turn(name, who, contestant, theirs))
    return table(used, rounds)


def turn(service: str, who: str, contestant: Contestant, cpus: set[int]) -> Used:
    """One run. Raises BenchError where it misses an endpoint."""
    used = measured(contestant.command, cpus, contestant.status)
    seen = contestant.count(used.output)
    if seen != ENDPOINTS:
        raise BenchError(f"{service}: {who} saw {seen} of {ENDPOINTS}: {used.output[-1000:]}")
    return used


def addresses(count: int) -> list[str]:
    """So many addresses of the loopback network, 127.1.0.0 and on."""
    return [f"127.{1 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in range(count)]


def everybody(name: str, targets: str, port: str, floor: str) -> dict[str, Contestant]:
    """Who takes part, for a service."""
    service = SERVICES[name]
    numbers = [targets, port, str(CONCURRENCY)]
    python = [sys.executable, "-m"]
    unpaced = [
        "--no-store",
        "--rate",
        "0",
        "--rate-network",
        "0",
        "--rate-host",
        "0",
        "--processes",
        "1",
    ]
    scan = [
        "mailseal",
        "scan",
        "--no-store",
        "-l",
        targets,
        "--ports",
        port,
        "--format",
        "ndjson",
        *unpaced,
    ]
    nmap = ["nmap", "-sT", "-Pn", "-n", "--script", service.script, "-p", port, "-iL", targets]
    return {
        "C floor, greeting": Contestant([floor, *numbers], int),
        **(
            {"C floor, dialogue": Contestant([floor, *numbers, *service.says], int)}
            if service.says
            else {}
        ),
        "mailseal, looks and verdicts": Contestant([*python, "bench.ours", *numbers], int),
        # Exit status 1: something is exposed.
        "mailseal scan": Contestant([*python, *scan], verdicts(service), int(service.exposed)),
        f"nmap, {service.script.lstrip('+')}": Contestant(
            nmap, lambda text: text.count(service.shows)
        ),
    }


def verdicts(service: Service) -> Callable[[str], int]:
    """Counts the command's lines, one JSON record an endpoint, with the right verdict."""
    wanted = "exposed" if service.exposed else "absent"
    return lambda output: sum(json.loads(row)["verdict"] == wanted for row in output.splitlines())


def table(used: dict[str, dict[str, list[Used]]], rounds: int) -> Table:
    """Microseconds an endpoint, and the ratios to the floor and to nmap."""
    micro = 1e6 / ENDPOINTS
    rows = {}
    for name, turns in used.items():
        cpu = {who: statistics.median(each.cpu for each in taken) for who, taken in turns.items()}
        wall = {who: statistics.median(each.wall for each in taken) for who, taken in turns.items()}
        nmap = next(who for who in cpu if who.startswith("nmap"))
        for who in turns:
            rows[f"{name}: {who}"] = (
                cpu[who] * micro,
                wall[who] * micro,
                cpu[who] / cpu["C floor, greeting"],
                cpu[who] / cpu[nmap],
            )
    return Table(
        f"Looks at {ENDPOINTS} endpoints on loopback, median of {rounds}",
        ("cpu us/ep", "wall us/ep", "x floor", "x nmap"),
        rows,
        (
            f"Whole processes, their start included, {CONCURRENCY} connections at a time. Ours",
            "asks each way to log in; nmap's script and the floor's dialogue ask for the",
            "capabilities, banner and the floor's greeting for nothing. SSH: greeting-only look.",
        ),
    )
