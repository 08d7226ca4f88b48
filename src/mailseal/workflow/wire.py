"""`mailseal wire`: from captures, or an interface, to who logs in.

Strategy: packets of several files are one stream where they follow one another (a ring of files
cuts sessions), and start anew where time goes back. What could not be read or told stands in the
document beside what was: it is never the same as "nobody". An interface is listened to by a child
that gives up its privileges once it has the socket: packets are written by strangers, and whoever
reads them can do nothing else. It sends logins as records; this process only adds them up.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from mailseal import __version__
from mailseal.assess import meaning
from mailseal.capture.files import Reader, Unreadable
from mailseal.capture.frames import Frames
from mailseal.capture.live import CannotListen, Interface
from mailseal.capture.observer import Observer
from mailseal.capture.streams import Streams
from mailseal.model import codec
from mailseal.model.login import JudgedLogin, Login
from mailseal.protocols.recognise import PORTS
from mailseal.report import records
from mailseal.report.logins import Logins
from mailseal.system.privileges import drop
from mailseal.system.workers import Workers
from mailseal.workflow import BadInput
from mailseal.workflow.gathering import Gathering
from mailseal.workflow.opened import CannotRead, blocks, name_of

BLOCK = 1 << 18
"""Octets that are read at a time: what fits into the processor's cache."""
TELL = 0.25
"""Seconds between two words of the listening child."""


@dataclass(frozen=True)
class Request:
    """What to listen for. `ports` are those of mail beside the usual ones; `any_port` looks at
    all. `site` names the network.
    """

    ports: tuple[int, ...] = ()
    any_port: bool = False
    site: str = "default"

    @property
    def wanted(self) -> Collection[int]:
        """The ports to look at; none means all."""
        return () if self.any_port else {*PORTS, *self.ports}


class Listener:
    """Packets in, logins out: the way through `capture` for one place in the network."""

    def __init__(self, request: Request, seen: Callable[[Login], object]) -> None:
        self._request = request
        self._observer = Observer(seen, request.site)
        self._frames = Frames(request.wanted)
        self._streams = Streams(self._observer.ear)
        self._latest = 0.0
        self._given_up = 0

    def packet(self, when: float, link: int, data: bytes) -> None:
        """A packet was captured."""
        segment = self._frames.segment(link, data)
        if segment is not None:
            self._streams.take(segment, when)
        if when > self._latest:
            self._latest = when

    def sweep(self, now: float) -> None:
        """Time has passed."""
        self._streams.sweep(now)
        self._observer.sweep(now)

    def anew(self, when: float) -> None:
        """A file begins, with a packet of this time."""
        if when < self._latest - 1.0:
            self.finish()
            self._streams = Streams(self._observer.ear)
            self._latest = 0.0

    def finish(self) -> None:
        """No more packets come."""
        self._streams.finish()
        self._frames.finish()
        self._given_up += self._streams.given_up

    def counts(self, packets: int) -> dict[str, int]:
        """What was gone through, in words."""
        seen = self._observer.counts
        return {
            "packets": packets,
            "mail sessions": seen.mail,
            "sealed by STARTTLS": seen.sealed,
            "inside TLS from the start": seen.tls,
        }

    def missing(self) -> Iterator[str]:
        """What may have been missed, and why."""
        frames, torn = self._frames, self._observer.counts.torn
        if torn:
            yield f"{torn} mail sessions are not whole: packets are missing, or it began before"
        if self._given_up:
            yield f"{self._given_up} sessions were given up: too many at a time"
        if frames.given_up:
            yield f"{frames.given_up} packets came in fragments, of which some are missing"
        if frames.broken:
            yield f"{frames.broken} packets of TCP are cut off or damaged within their headers"


Progress = Callable[[int, int], None]
"""Hears the octets read and the logins found so far."""


def read(paths: tuple[str, ...], request: Request, progress: Progress) -> Logins:
    """Captures. Raises BadInput where not one of them can be read at all."""
    gathered: Gathering[Login] = Gathering()
    listener = Listener(request, gathered.add)
    packets, size, partial = 0, 0, list[str]()
    whole = 0
    for path in paths:
        reader = Reader(request.wanted)
        first = True
        try:
            for when, link, data in reader.read(_told(path, size, gathered, progress)):
                if first:
                    listener.anew(when)
                    first = False
                listener.packet(when, link, data)
            whole += 1
        except Unreadable as error:
            partial.append(f"{name_of(path)}: {error}")
        except CannotRead as error:
            partial.append(str(error))
            whole += reader.packets > 0
        packets += reader.packets
        size += reader.size
        partial += _of_file(name_of(path), reader)
    if not whole:
        raise BadInput("; ".join(partial))
    listener.finish()
    return document(paths, gathered, listener.counts(packets), [*partial, *listener.missing()])


def _told(path: str, size: int, gathered: Gathering[Login], progress: Progress) -> Iterator[bytes]:
    for block in blocks(path, BLOCK):
        size += len(block)
        progress(size, len(gathered))
        yield block


def _of_file(name: str, reader: Reader) -> Iterator[str]:
    if reader.cut:
        yield f"{name}: {reader.cut}; what stands before was read"
    for link, count in reader.unknown.items():
        yield f"{name}: {count} packets of link type {link}, which is not known"


def document(
    sources: tuple[str, ...],
    gathered: Gathering[Login],
    counts: dict[str, int],
    partial: list[str],
) -> Logins:
    """What was seen, judged."""
    if gathered.left_out:
        words = f"{gathered.left_out} logins of more users than there is room for"
        partial = [*partial, words]
    judged = tuple(JudgedLogin(login, meaning(login)) for login in gathered.all())
    return Logins(__version__, sources, judged, (), counts, tuple(partial))


# -- an interface ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    """A word of the listening child: what it has gone through so far; `fault` ends it."""

    packets: int
    dropped: int
    counts: Mapping[str, int]
    missing: tuple[str, ...]
    fault: str = ""


class Live:
    """An interface, listened to by a child. `with` ends it. `heard` is its last word."""

    def __init__(self, name: str, request: Request) -> None:
        self._name = name
        self._request = request
        self.gathered: Gathering[Login] = Gathering()
        self.heard = Heard(0, 0, {}, ())

    def __enter__(self) -> Live:
        self._workers = Workers(self._child, 1)
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.__exit__(*error)

    def _child(self, source: int, sink: int) -> None:
        """Runs in the child: logins and words as lines, until it is told to stop."""
        _listen(self._name, self._request, source, sink)

    def stop(self) -> None:
        """Asks the child to end; what it still has to say comes by `logins`."""
        self._workers.send(0, b"stop\n")

    def logins(self, seconds: float) -> Iterator[JudgedLogin]:
        """What came within this time. Raises BadInput where there is nothing to listen to, and
        Ended once the child has ended.
        """
        for _, line in self._workers.receive(seconds):
            if line is None:
                raise Ended
            word = codec.loads(Login, line, lenient=False) if line.startswith(_LOGIN) else None
            if word is not None:
                self.gathered.add(word)
                yield JudgedLogin(word, meaning(word))
                continue
            self.heard = codec.loads(Heard, line, lenient=False)
            if self.heard.fault:
                raise BadInput(self.heard.fault)

    def document(self) -> Logins:
        """All that was seen."""
        heard = self.heard
        partial = list(heard.missing)
        if heard.dropped:
            partial.append(f"{heard.dropped} packets were dropped: they came faster than read")
        counts = {**heard.counts, "packets dropped": heard.dropped}
        return document((self._name,), self.gathered, counts, partial)


class Ended(Exception):
    """The child has ended."""


_LOGIN = b'{"type":"Login"'


def _listen(name: str, request: Request, source: int, sink: int) -> None:
    def say(value: Login | Heard) -> None:
        line = records.line(value).encode("ascii") + b"\n"
        while line:
            line = line[os.write(sink, line) :]

    try:
        interface = Interface(name, request.wanted)
    except CannotListen as error:
        say(Heard(0, 0, {}, (), str(error)))
        return
    with interface:
        try:
            drop()
        except OSError as error:
            say(Heard(0, 0, {}, (), f"the privileges cannot be given up: {error}"))
            return
        listener = Listener(request, say)
        packets, told = 0, 0.0

        def word(fault: str = "") -> None:
            counts = listener.counts(packets)
            say(Heard(packets, interface.count(), counts, tuple(listener.missing()), fault))

        word()
        while True:
            try:
                came = interface.read(TELL, source)
            except CannotListen as error:
                listener.finish()
                word(f"{name}: {error}")
                return
            if came is None:
                break
            for when, link, data in came:
                packets += 1
                listener.packet(when, link, data)
            if time.monotonic() > told + TELL:
                told = time.monotonic()
                listener.sweep(time.time())
                word()
        # What came before the word to stop is read out.
        with contextlib.suppress(CannotListen):
            for when, link, data in interface.read(0.0) or ():
                packets += 1
                listener.packet(when, link, data)
        listener.finish()
        word()
