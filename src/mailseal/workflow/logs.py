"""`mailseal logs`: from logs of mail servers to who logs in.

Strategy: files that rotation has made of one log are read as one, so that sessions go on from one
to the next; what stunnel logged in one file and a daemon in another comes together at the end. A
log that is followed is read by its name: what it is renamed to is read to its end, then the new
one. Whatever could not be read or told stands in the document: it is never the same as "nobody".
"""

from __future__ import annotations

import datetime
import math
import os
import re
import time
import zoneinfo
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mailseal import __version__
from mailseal.assess import meaning
from mailseal.imports.base import address_of
from mailseal.logs import NAMES, Fronts, Options, Reader
from mailseal.model.login import JudgedLogin, Login, TlsFailure
from mailseal.model.moment import Clock
from mailseal.report.logins import Logins
from mailseal.workflow import BadInput, rotation
from mailseal.workflow.gathering import Gathering
from mailseal.workflow.opened import SIZE, STDIN, CannotRead, blocks

DIALECTS = NAMES
INTERVAL = 0.5
"""Seconds between two looks at a log that is followed."""
PATIENCE = 3.0
"""Seconds that one log may be behind another."""


@dataclass(frozen=True)
class Request:
    """`paths` are files, or "-" for stdin. `dialects` are names of `DIALECTS` (empty: all). `zone`
    is that of moments that name none (empty: this machine's), of `since` and `until` too. `host`
    is the server's address where a log has none.
    """

    paths: tuple[str, ...]
    dialects: tuple[str, ...] = ()
    zone: str = ""
    host: str = ""
    since: str = ""
    until: str = ""

    def options(self) -> Options:
        """As `logs` wants them. Raises BadInput."""
        zone = _zone(self.zone)
        address = address_of(self.host) if self.host else ""
        if address is None:
            raise BadInput(f"--host {self.host!r} is no address: give the IPv4 or IPv6 address")
        plain = Options(self.dialects, zone, address)
        since = _moment("--since", self.since, zone) if self.since else plain.since
        until = _moment("--until", self.until, zone) if self.until else plain.until
        return Options(self.dialects, zone, address, since, until)


def _zone(name: str) -> datetime.tzinfo | None:
    offset = re.fullmatch(r"([+-])(\d\d):?(\d\d)", name)
    if offset:
        size = datetime.timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        if size < datetime.timedelta(hours=24):
            return datetime.timezone(size if offset[1] == "+" else -size)
    if name in ("UTC", "Z"):
        return datetime.UTC
    try:
        return zoneinfo.ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        words = "write +02:00, UTC or a name as in Europe/Berlin"
        raise BadInput(f"--zone {name!r} is not known: {words}") from None


def _moment(option: str, text: str, zone: datetime.tzinfo | None) -> float:
    try:
        moment = datetime.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError, OSError):
        words = "write a day or moment, as in 2026-01-31 or 2026-01-31T12:00"
        raise BadInput(f"{option} {text!r}: {words}") from None


Progress = Callable[[int, int], None]
"""Hears the octets read and the kinds of logins found so far."""
Sighting = JudgedLogin | TlsFailure


class Seen:
    """What was seen, and what may be missing; `document` is what there is to say of it."""

    def __init__(self, request: Request) -> None:
        self._options = request.options()
        self._paths = request.paths
        self._fronts = Fronts()
        self._readers: list[Reader] = []
        self._logins: Gathering[Login] = Gathering()
        self._failures: Gathering[TlsFailure] = Gathering()
        self.partial: list[str] = []
        self.size = 0

    def reader(self) -> Reader:
        """For a set of files."""
        self._readers.append(Reader(self._options, self._fronts))
        return self._readers[-1]

    @property
    def kinds(self) -> int:
        """Kinds of logins so far."""
        return len(self._logins)

    def take(self, reader: Reader, last: bool = False) -> list[Sighting]:
        """Adds up what a reader has seen since the last time, and gives it."""
        return self._add(reader.drain(last))

    def place(self, before: float = math.inf) -> list[Sighting]:
        """Adds up those of moments `before` who wait for a TLS front's word."""
        carrying = [each for reader in self._readers for each in reader.carrying()]
        return self._add(self._fronts.placed(carrying, before))

    def _add(self, seen: Sequence[Login | TlsFailure]) -> list[Sighting]:
        told: list[Sighting] = []
        for each in seen:
            if isinstance(each, Login):
                self._logins.add(each)
                told.append(JudgedLogin(each, meaning(each)))
            else:
                self._failures.add(each)
                told.append(each)
        return told

    def document(self) -> Logins:
        """All that was seen, judged."""
        lines = sum(reader.lines for reader in self._readers)
        logins = self._logins.all()
        counts = {
            "octets": self.size,
            "lines of mail servers": lines,
            "logins": sum(login.count for login in logins),
        }
        return Logins(
            __version__,
            self._paths,
            tuple(JudgedLogin(login, meaning(login)) for login in logins),
            tuple(self._failures.all()),
            counts,
            (*self.partial, *self._missing(lines)),
        )

    def _missing(self, lines: int) -> Iterator[str]:
        if not lines:
            known = ", ".join(self._options.dialects or NAMES)
            yield f"no line of a mail server that speaks of logins; these are known: {known}"
        numbers = {
            "lines longer than any of a mail server's were not read": sum(
                reader.overlong for reader in self._readers
            ),
            "sightings without a moment that can be understood do not count": sum(
                reader.undated for reader in self._readers
            ),
            "logins of more users than there is room for": self._logins.left_out,
            "failures of more clients than there is room for": self._failures.left_out,
        }
        yield from (f"{number} {words}" for words, number in numbers.items() if number)


def read(request: Request, progress: Progress, now: Clock = time.time) -> Logins:
    """What the files say. Raises BadInput where not one of them can be read at all."""
    seen = Seen(request)
    for files in rotation.ordered(request.paths):
        reader = seen.reader()
        for path in files:
            _file(path, reader, seen, progress, now)
        seen.take(reader, last=True)
    if len(seen.partial) == len(set(request.paths)) and not seen.size:
        raise BadInput("; ".join(seen.partial))
    seen.place()
    return seen.document()


def _file(path: str, reader: Reader, seen: Seen, progress: Progress, now: Clock) -> list[Sighting]:
    reader.begin(_reference(path, now))
    try:
        for block in blocks(path):
            seen.size += len(block)
            reader.feed(block)
            progress(seen.size, seen.kinds)
    except CannotRead as error:
        seen.partial.append(str(error))
    reader.end()
    return seen.take(reader)


def _reference(path: str, now: Clock) -> float:
    """No line of a file is later than its last change."""
    try:
        return now() if path == STDIN else min(os.stat(path).st_mtime, now())
    except OSError:
        return now()


class Following:
    """Logs that are read on as they grow, until `stop` says so. `with` closes them."""

    def __init__(self, request: Request, now: Clock = time.time) -> None:
        if STDIN in request.paths:
            raise BadInput("stdin cannot be followed: it is read as it comes, without --follow")
        self.seen = Seen(request)
        self._sets = rotation.ordered(request.paths)
        self._now = now
        self._tails: list[_Tail] = []

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *error: object) -> None:
        for tail in self._tails:
            tail.close()

    def sightings(
        self,
        stop: Callable[[], bool],
        progress: Progress,
        wait: Callable[[float], object] = time.sleep,
    ) -> Iterator[list[Sighting]]:
        """What was seen since the last time, again and again; at last what was held back. Raises
        BadInput where a log cannot be read.
        """
        for *older, path in self._sets:
            reader = self.seen.reader()
            for each in older:
                yield _file(each, reader, self.seen, progress, self._now)
            self._tails.append(_Tail(path, reader, self._now))
        while not stop():
            grown = 0
            for tail in self._tails:
                grown += tail.read()
                new = self.seen.take(tail.reader)
                self.seen.size += tail.taken()
                if new:
                    yield new
            progress(self.seen.size, self.seen.kinds)
            yield self.seen.place(self._now() - PATIENCE)
            if not grown:
                wait(INTERVAL)
        for tail in self._tails:
            tail.reader.end()
            yield self.seen.take(tail.reader, last=True)
        yield self.seen.place()


class _Tail:
    """A file that grows, and is replaced or begun anew by rotation."""

    def __init__(self, path: str, reader: Reader, now: Clock) -> None:
        self.reader = reader
        self._path = path
        self._now = now
        self._taken = 0
        self._descriptor = -1
        try:
            self._begin()
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror}") from None

    def _begin(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDONLY)
        self.reader.begin(self._now())

    def read(self) -> int:
        """Reads a block of what is there; how many octets that were."""
        try:
            if self._descriptor < 0:
                self._begin()
            block = os.read(self._descriptor, SIZE)
            if not block and self._moved():
                # Who writes may not have noticed at once.
                block = os.read(self._descriptor, SIZE)
                if not block:
                    self.reader.end()
                    self.close()
        except OSError:
            # It was renamed, and the new one is not there yet.
            return 0
        if block:
            self.reader.at(self._now())
            self.reader.feed(block)
        self._taken += len(block)
        return len(block)

    def taken(self) -> int:
        """The octets read since this was asked last."""
        taken, self._taken = self._taken, 0
        return taken

    def _moved(self) -> bool:
        """Whether the path is another file by now. One that was begun anew is read from there."""
        here, there = os.fstat(self._descriptor), os.stat(self._path)
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            return True
        if here.st_size < os.lseek(self._descriptor, 0, os.SEEK_CUR):
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            self.reader.end()
            self.reader.begin(self._now())
        return False

    def close(self) -> None:
        """Lets go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
