"""What recording costs: mailseal's store beside plain executemany of the same rows.

Strategy: a scan of many endpoints, most of them exposed POP2 (the dearest kind: a look, a verdict
and a finding), recorded for the first time and then once more a day later, when times only move.
The floor writes the same rows that the first recording left, with one executemany a table, in
transactions of the same size: what SQLite itself takes. All write to the same disk, synced.
"""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.process import BenchError
from bench.table import Table
from mailseal.assess import assess
from mailseal.model.look import Attempt, Channel, Endpoint, Observation, Outcome, Reach, Vantage
from mailseal.model.moment import rfc3339
from mailseal.report.result import ScanResult
from mailseal.rules import findings
from mailseal.store import BATCH, Filter, Store
from mailseal.workflow.recording import Recorder

ENDPOINTS = 20_000
DAY = 86400
_TABLES = ("endpoint", "period", "finding")


def run(rounds: int) -> Table:
    """Raises BenchError where a record is lost."""
    turns: dict[str, list[tuple[float, float]]] = {}
    size = 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            path = Path(folder, "store.sqlite3")
            for name, day in (("first time", 0), ("the day after", 1)):
                results = list(_results(day))
                turns.setdefault(f"mailseal, {name}", []).append(_recorded(path, results))
            size = path.stat().st_size
            turns.setdefault("mailseal, read all", []).append(_read(path))
            turns.setdefault("executemany of the rows", []).append(_floor(path, Path(folder)))
    medians = {
        name: [statistics.median(figures) * 1e6 / ENDPOINTS for figures in zip(*each, strict=True)]
        for name, each in turns.items()
    }
    floor = medians["executemany of the rows"]
    return Table(
        f"{ENDPOINTS} endpoints recorded in {BATCH}s, median of {rounds}",
        ("cpu us/ep", "wall us/ep", "ep/s", "x floor"),
        {name: (cpu, wall, 1e6 / wall, cpu / floor[0]) for name, (cpu, wall) in medians.items()},
        (f"Two days of it take {size / ENDPOINTS:.0f} octets an endpoint.",),
    )


def _results(day: int) -> Iterator[ScanResult]:
    moment = rfc3339(1768478400 + day * DAY)
    for number in range(ENDPOINTS):
        seen = Observation(
            endpoint=Endpoint(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 109),
            vantage=Vantage.REMOTE, start=moment, end=moment, reach=Reach.OPEN, protocol="pop2",
            banner="+ POP2 mail.example ready", tls=None,
            attempts=(Attempt("HELO", Channel.CLEAR, True, Outcome.ACCEPTED, "it was processed"),),
            transcript=("S: + POP2 mail.example ready", "C: HELO", "S: - Missing user", "C: QUIT"),
            digest="0" * 64, gaps=(),
        )  # fmt: skip
        if number % 4 == 3:
            attempt = replace(seen.attempts[0], outcome=Outcome.REFUSED)
            seen = replace(seen, attempts=(attempt,))
        made = assess([seen])
        broken = findings(made, [seen])
        yield ScanResult("", seen.endpoint, made.verdict, "", made, broken, (), (seen,))


def _recorded(path: Path, results: list[ScanResult]) -> tuple[float, float]:
    said: list[str] = []
    with Store.open(str(path)) as store:
        started = time.process_time(), time.monotonic()
        for _ in Recorder(store, said.append).recorded(results):
            pass
        taken = time.process_time() - started[0], time.monotonic() - started[1]
    if said:
        raise BenchError(said[0])
    return taken


def _read(path: Path) -> tuple[float, float]:
    with Store.open(str(path)) as store:
        started = time.process_time(), time.monotonic()
        count = sum(1 for _ in store.findings(Filter()))
        taken = time.process_time() - started[0], time.monotonic() - started[1]
    if count != ENDPOINTS - ENDPOINTS // 4:
        raise BenchError(f"{count} findings are known of {ENDPOINTS - ENDPOINTS // 4}")
    return taken


def _floor(path: Path, folder: Path) -> tuple[float, float]:
    source = sqlite3.connect(path)
    rows = {name: source.execute(f"SELECT * FROM {name}").fetchall() for name in _TABLES}
    source.close()
    Store.open(str(folder / "floor.sqlite3")).close()
    target = sqlite3.connect(folder / "floor.sqlite3", isolation_level=None)
    target.execute("PRAGMA synchronous = FULL")
    started = time.process_time(), time.monotonic()
    for at in range(0, ENDPOINTS, BATCH):
        target.execute("BEGIN IMMEDIATE")
        for name, every in rows.items():
            share = len(every) / ENDPOINTS
            some = every[round(at * share) : round(min(at + BATCH, ENDPOINTS) * share)]
            marks = ", ".join("?" * len(every[0]))
            target.executemany(f"INSERT INTO {name} VALUES ({marks})", some)
        target.execute("COMMIT")
    taken = time.process_time() - started[0], time.monotonic() - started[1]
    counts = [target.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _TABLES]
    target.close()
    if counts != [len(every) for every in rows.values()]:
        raise BenchError("the floor lost rows")
    return taken
