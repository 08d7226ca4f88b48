"""What was seen before: looks, verdicts, reports and findings, each with its first and last time.

Strategy: one SQLite file through the standard library. (An object mapper and a migration tool buy a
second kind of database, which nobody asks for, with a dependency and 0.2 s of each start.) Results
gather in memory and are written together in a short transaction, so that two scans at once wait for
each other by milliseconds, and a scan that waits for its network holds no lock. Whatever was
committed survives a kill or a power loss. Text of others goes in as parameters only. What is
deleted is overwritten: logins are personal data.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TypeVar

from mailseal.model.asset import Installed, KnownSoftware, Review
from mailseal.model.finding import Assessment, Finding
from mailseal.model.known import (
    FindingHistory,
    Interval,
    KnownEndpoint,
    KnownFinding,
    KnownLogin,
    Undecided,
)
from mailseal.model.login import JudgedLogin
from mailseal.model.look import Endpoint, Observation
from mailseal.model.reported import Reported
from mailseal.store import assets, logins, place, read, schema, standing
from mailseal.store.entry import Entry, Kept, Network, entry, observed
from mailseal.store.errors import StoreError, told
from mailseal.store.errors import read as reading
from mailseal.store.logins import LoginFilter
from mailseal.store.read import Filter
from mailseal.store.write import write

__all__ = [
    "KEPT_DAYS",
    "Filter",
    "Kept",
    "LoginFilter",
    "Network",
    "Store",
    "StoreError",
    "folder",
    "kept_days",
    "path_of",
]

path_of = place.path_of
folder = place.folder
kept_days = place.kept_days
KEPT_DAYS = place.KEPT_DAYS

_T = TypeVar("_T")

BATCH = 512
"""Results that are written together."""
SECONDS = 1.0
"""Older ones are written with the next."""
LOGINS = 4096
"""Kinds of logins that are written together."""
HURRY = 500
"""Milliseconds to wait for readers to let go of the write-ahead log."""
PATIENCE = 10.0
"""Seconds to wait for another process that writes."""


class Store:
    """An open store. Not for several threads. `notes` is what was mended when it was opened."""

    def __init__(self, connection: sqlite3.Connection, path: str, notes: tuple[str, ...]) -> None:
        self._connection = connection
        self._path = path
        self._batch: list[Entry] = []
        self._since = 0.0
        self.notes = notes

    @classmethod
    def open(
        cls,
        path: str,
        make: bool = True,
        patience: float = PATIENCE,
        migrations: Sequence[Sequence[str]] = schema.MIGRATIONS,
    ) -> Store:
        """Opens it; makes it first where `make` is set. Raises StoreError."""
        notes = place.prepare(os.path.abspath(path), make)
        with told(path):
            connection = sqlite3.connect(os.path.abspath(path), patience, isolation_level=None)
            try:
                for setting in (
                    "trusted_schema = OFF",
                    "cell_size_check = ON",
                    "synchronous = FULL",
                    "secure_delete = ON",
                ):
                    connection.execute("PRAGMA " + setting)
                connection.create_function("casefold", 1, _casefold, deterministic=True)
                schema.migrate(connection, path, migrations)
                _write_ahead(connection, patience)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path, notes)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.flush()
        finally:
            self.close()

    def close(self) -> None:
        """Closes it without writing what waits (`flush` does)."""
        self._connection.close()

    def record(
        self,
        observations: Sequence[Observation],
        assessment: Assessment,
        findings: Sequence[Finding],
        kept: Kept,
        reports: Sequence[Reported],
        now: str,
    ) -> None:
        """Takes in what one result says of one endpoint. The same once more changes nothing; what
        is older than what is known undoes nothing.

        `kept` is asked about findings that are known and not among `findings`: rule, and the name
        under which it was found; whether the looks show that the rule is kept. `now` (RFC 3339
        UTC) is the moment of reports that tell none, or one to come. Raises StoreError, and then
        what was not committed is dropped; ValueError for a moment that is none.
        """
        if not self._batch:
            self._since = time.monotonic()
        self._batch.append(entry(observations, assessment, findings, kept, reports, now))
        if len(self._batch) >= BATCH or time.monotonic() - self._since > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes and commits what waits. Raises StoreError."""
        batch, self._batch = self._batch, []
        if not batch:
            return

        def work() -> None:
            for each in batch:
                write(self._connection, each)

        self._committed(work)

    def record_logins(self, seen: Iterable[JudgedLogin], source: str) -> int:
        """Adds up who logged in; how many kinds there was no room for. What was recorded before,
        from this source or another, counts once. Moments are RFC 3339 UTC. Raises StoreError.
        """
        left = iter(seen)
        while batch := list(itertools.islice(left, LOGINS)):
            self._committed(functools.partial(logins.write, self._connection, batch, source))
        return self._committed(lambda: logins.bound(self._connection))

    def record_observed(
        self, assessment: Assessment, findings: Sequence[Finding], moments: Iterable[str]
    ) -> None:
        """Takes in a verdict that rests on logins alone, as of these moments. Raises StoreError,
        ValueError for a moment that is none.
        """
        self._batch += [observed(assessment, findings, moment) for moment in moments]
        self.flush()

    def record_installed(self, told: Sequence[Installed]) -> list[Installed]:
        """Takes in what a host says of its endpoints, and gives it back with the moments since when
        updates wait there. Moments are RFC 3339 UTC with milliseconds. Raises StoreError.
        """
        return self._committed(lambda: [assets.write(self._connection, each) for each in told])

    def review(self, finding: str, made: Review) -> None:
        """Notes that the endpoint of a finding (a whole id) was looked over. Raises StoreError."""
        self._committed(lambda: assets.review(self._connection, finding, made))

    def software(self, asked: Filter) -> Iterator[KnownSoftware]:
        """The software at the endpoints within what was asked for, by address. Raises
        StoreError.
        """
        self.flush()
        with reading(self._path):
            yield from assets.software(self._connection, asked)

    def software_of(self, finding: str) -> KnownSoftware:
        """That at the endpoint of a finding, by its whole id. Raises StoreError."""
        with reading(self._path):
            return assets.of_finding(self._connection, finding)

    def logins(self, asked: LoginFilter) -> Iterator[KnownLogin]:
        """Who logged in, newest first. Raises StoreError."""
        with reading(self._path):
            yield from logins.logins(self._connection, asked)

    def count(self, asked: LoginFilter) -> int:
        """How many kinds of logins. Raises StoreError."""
        with reading(self._path):
            return logins.count(self._connection, asked)

    def users(self, asked: LoginFilter) -> int:
        """How many users; without a seen name, how many clients. Raises StoreError."""
        with reading(self._path):
            return logins.users(self._connection, asked)

    def forget(self, asked: LoginFilter) -> int:
        """Deletes logins and overwrites them, here and in the write-ahead log as far as nobody else
        reads it now; how many kinds. Raises StoreError.
        """
        if not self.count(asked):
            return 0  # Nobody waits for a lock where there is nothing to do.
        count = self._committed(lambda: logins.delete(self._connection, asked))
        self._emptied()
        return count

    def erase(self) -> bool:
        """Writes the whole file anew without anything that was deleted; False where another process
        still reads the write-ahead log, which then holds it until that ends. Raises StoreError.
        """
        with told(self._path):
            self._connection.execute("VACUUM")
            return self._emptied()

    def _emptied(self) -> bool:
        """Empties the write-ahead log; whether nobody was in the way."""
        with told(self._path):
            (patience,) = self._connection.execute("PRAGMA busy_timeout").fetchone()
            self._connection.execute(f"PRAGMA busy_timeout = {HURRY}")
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._connection.execute(f"PRAGMA busy_timeout = {patience}")
            return not busy

    def _committed(self, work: Callable[[], _T]) -> _T:
        """Does it in one transaction."""
        with reading(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                made = work()
                self._connection.execute("COMMIT")
                return made
            finally:
                # Some errors (a full disk) have undone it already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Everything that is read within is of one moment, whatever others write meanwhile. Raises
        StoreError.
        """
        self.flush()
        with told(self._path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            # Some errors (a disk that does not read) have ended it already.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def findings(self, asked: Filter) -> Iterator[KnownFinding]:
        """The findings as they are asked for, most severe first. Raises StoreError."""
        self.flush()
        with reading(self._path):
            yield from read.findings(self._connection, asked)

    def endpoints(self, asked: Filter) -> tuple[int, int]:
        """How many endpoints are known within what was asked for, whatever their findings, and of
        how many the newest verdict is inconclusive. Raises StoreError.
        """
        self.flush()
        with reading(self._path):
            return read.endpoints(self._connection, asked)

    def undecided(self, asked: Filter) -> Iterator[Undecided]:
        """The undecided ones of `endpoints`, by address. Raises StoreError."""
        self.flush()
        with reading(self._path):
            yield from read.undecided(self._connection, asked)

    def standing(self, asked: Filter) -> Iterator[KnownEndpoint]:
        """What is known of each endpoint, by address. Raises StoreError."""
        self.flush()
        with reading(self._path):
            yield from standing.standing(self._connection, asked)

    def stood(self, endpoint: Endpoint, at: str) -> KnownEndpoint | None:
        """What was known of an endpoint before a moment, if anything. Raises StoreError."""
        self.flush()
        with reading(self._path):
            return standing.of(self._connection, endpoint, at)

    def intervals(self, asked: Filter) -> Iterator[Interval]:
        """When the findings were there, open or fixed by now, oldest first. Raises StoreError."""
        self.flush()
        with reading(self._path):
            yield from read.intervals(self._connection, asked)

    def looked(self, asked: Filter) -> tuple[str, str]:
        """The moments of the first and the newest look within what was asked for; empty where
        nobody looked. Raises StoreError.
        """
        self.flush()
        with reading(self._path):
            return read.looked(self._connection, asked)

    def ids(self, prefix: str, most: int = 5) -> list[str]:
        """Ids of findings that begin so. Raises StoreError."""
        self.flush()
        with reading(self._path):
            return read.ids(self._connection, prefix, most)

    def history(self, finding: str, logins_since: str = "") -> FindingHistory:
        """All that is known of a finding, by its whole id as `ids` gives it; its users are counted
        from `logins_since` on. Raises StoreError.
        """
        found = self.evidence(finding, logins_since)
        endpoint = found.known.finding.endpoint
        there = LoginFilter(endpoints=((endpoint.address, endpoint.port),), site=endpoint.site)
        return replace(found, logins=tuple(self.logins(there)))

    def evidence(self, finding: str, logins_since: str = "") -> FindingHistory:
        """The same without the logins, of which there may be very many. Raises StoreError."""
        with reading(self._path):
            return read.history(self._connection, finding, logins_since)


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _write_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Readers and the one writer do not wait for each other (https://www.sqlite.org/wal.html). The
    change of mode alone does not wait by itself for another process that makes it too.
    """
    end = time.monotonic() + patience
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
        time.sleep(0.02)
