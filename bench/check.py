"""Time and memory of `mailseal check --stored` at ten thousand endpoints and at a hundred thousand.

Strategy: stores of the same endpoints, exposed, refused and inside TLS by turns, each checked by a
process of its own that writes every deviation to a file. Its peer is the same program with fewer
endpoints: what counts is the ratio, of processor time because others use the machine too. Beside it
stands what SQLite alone takes to read every row.
"""

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.process import BenchError, ended, pin
from bench.table import Table
from mailseal.assess import assess
from mailseal.model.look import (
    Attempt,
    Channel,
    Endpoint,
    Observation,
    Outcome,
    Reach,
    TlsFacts,
    Vantage,
)
from mailseal.model.moment import rfc3339
from mailseal.report.result import ScanResult
from mailseal.rules import findings
from mailseal.store import Store
from mailseal.workflow.recording import Recorder

FEW, MANY = 10_000, 100_000
TIMES, PEAK = 11.0, 1.5
"""How much more time and memory ten times the endpoints may take."""
OPEN = 3
"""Of so many endpoints one is exposed, one refuses, one is inside TLS."""


def run(rounds: int) -> Table:
    """Raises BenchError where an endpoint is lost, or a limit is broken."""
    rows: dict[str, tuple[float, float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (FEW, MANY):
            path = Path(folder, f"{count}.sqlite3")
            fill(path, count)
            turns = [checked(path, count) for _ in range(rounds)]
            wall, cpu, peak = (statistics.median(each) for each in zip(*turns, strict=True))
            rows[f"{count} endpoints"] = (wall, cpu / count * 1e6, peak)
            read = statistics.median(floor(path) for _ in range(rounds))
            rows[f"{count}, rows alone"] = (read, read / count * 1e6, 0.0)
    few, many = (rows[f"{count} endpoints"] for count in (FEW, MANY))
    times, peak = many[1] * MANY / (few[1] * FEW), many[2] / few[2]
    if times > TIMES or peak > PEAK:
        raise BenchError(
            f"ten times the endpoints take {times:.1f}x the time, {peak:.2f}x the peak"
        )
    return Table(
        f"check --stored, median of {rounds}",
        ("wall s", "cpu us/ep", "peak MB"),
        rows,
        (
            f"{MANY} endpoints take {times:.1f} times the processor time (at most {TIMES:.0f}) and "
            f"{peak:.2f} times the peak memory (at most {PEAK}) of {FEW}.",
        ),
    )


def fill(path: Path, count: int) -> None:
    """A store of so many endpoints, seen now. Raises BenchError."""
    said: list[str] = []
    with Store.open(str(path)) as store:
        for _ in Recorder(store, said.append).recorded(_results(count)):
            pass
    if said:
        raise BenchError(said[0])


def _results(count: int) -> Iterator[ScanResult]:
    moment = rfc3339(time.time() - 3600)
    tls = TlsFacts(
        version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384", bits=256, chain=(b"0" * 900,),
        trust="", name_checked="", accepted=("TLSv1.2",), rejected=("SSLv3", "TLSv1", "TLSv1.1"),
    )  # fmt: skip
    helo = Attempt("HELO", Channel.CLEAR, True, Outcome.ACCEPTED, "it was processed")
    for number in range(count):
        seen = Observation(
            endpoint=Endpoint(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 109),
            vantage=Vantage.REMOTE, start=moment, end=moment, reach=Reach.OPEN, protocol="pop2",
            banner="+ POP2 mail.example ready", tls=None, attempts=(helo,),
            transcript=("S: + POP2 mail.example ready", "C: HELO", "S: - Missing user", "C: QUIT"),
            digest="0" * 64, gaps=(),
        )  # fmt: skip
        if number % OPEN == 1:
            refused = replace(helo, outcome=Outcome.REFUSED)
            seen = replace(seen, attempts=(refused,))
        elif number % OPEN == 2:
            seen = replace(seen, attempts=(), tls=tls)
        made = assess([seen])
        broken = findings(made, [seen])
        yield ScanResult("", seen.endpoint, made.verdict, "", made, broken, (), (seen,))


def checked(path: Path, count: int) -> tuple[float, float, float]:
    """One check: seconds of the clock and of the processor, peak in MB."""
    policy, out = path.with_suffix(".toml"), path.with_suffix(".ndjson")
    policy.write_text("")
    options = ("--format", "ndjson", "-o", str(out), "--overwrite")
    command = (
        *(sys.executable, "-m", "mailseal", "check", "--stored", "--store", str(path)),
        *("--policy", str(policy), *options),
    )
    started = time.monotonic()
    child = subprocess.Popen(command, preexec_fn=pin(os.sched_getaffinity(0)))
    status, used = ended(child)
    wall = time.monotonic() - started
    with out.open("rb") as lines:
        places = {line.partition(b'"port"')[0].rpartition(b'"address":')[2] for line in lines}
    # The certificate is none that can be read, so that those inside TLS deviate too.
    expected = count - (count + OPEN - 2) // OPEN
    if status != 1 or len(places) != expected:
        raise BenchError(f"check ended with {status} and {len(places)} endpoints of {expected}")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def floor(path: Path) -> float:
    """Seconds that SQLite takes to read every row."""
    connection = sqlite3.connect(path)
    try:
        started = time.monotonic()
        for table in ("endpoint", "period", "finding"):
            for _ in connection.execute(f"SELECT * FROM {table}"):
                pass
        return time.monotonic() - started
    finally:
        connection.close()
