"""What a scan is to look at: words and lists of words, read as a stream.

Strategy: lists may have a million lines, so no line is kept. They are read twice: first to find
all that is wrong with them before the first packet, and to count; then for the scan. What cannot
be read twice (stdin, a pipe) is written to a temporary file first. Hosts come before networks: what
was named by itself is reported as such, and not again as one of a network's many.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from mailseal.model.target import BadTarget, Target, parse
from mailseal.probe import targets
from mailseal.probe.scope import BadRule, Permit, Rules
from mailseal.workflow import BadInput

SWEEP_LIMIT = 1 << 24
"""Addresses of one network: a /8. More is a slip of the pen."""
LINE = 1024
"""Octets of a line."""
STDIN = "stdin"
FAULTS = 20
"""Faults that are named; the rest are counted."""


@dataclass(frozen=True)
class Word:
    """A target as it was written, and where (file "" for an argument)."""

    text: str
    file: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        """`FILE, line N: `, to begin a complaint with."""
        return f"{self.file}, line {self.line}: " if self.file else ""

    @property
    def origin(self) -> tuple[str, int] | None:
        """File and line, where it stands in a file that can be looked up."""
        return (self.file, self.line) if self.file and self.file != STDIN else None


class Listing:
    """The lines of a file, or of stdin for `-`: one target or rule a line, `#` begins a comment.
    Raises BadInput where it cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.name = STDIN if path == "-" else path
        try:
            self._stream = _readable(path)
        except OSError as error:
            raise BadInput(f"the list {self.name} cannot be read: {error.strerror}") from None

    def words(self) -> Iterator[Word]:
        """From the first line on, however often that is asked for. Raises BadInput."""
        number = 0
        try:
            self._stream.seek(0)
            while line := self._stream.readline(LINE + 1):
                number += 1
                if len(line) > LINE:
                    raise BadInput(f"{self.name}, line {number}: longer than {LINE} octets")
                text = line.partition(b"#")[0].strip().decode("utf-8", "replace")
                if text:
                    yield Word(text, self.name, number)
        except OSError as error:
            raise BadInput(f"the list {self.name} cannot be read: {error.strerror}") from None

    def close(self) -> None:
        """Lets the file go."""
        self._stream.close()


def _readable(path: str) -> BinaryIO:
    """A stream that can be read again from its beginning."""
    # Descriptor 0 rather than sys.stdin: that one is missing where a caller closed it.
    stream = open(0 if path == "-" else path, "rb", closefd=path != "-")  # noqa: SIM115
    if path != "-" and stream.seekable():
        os.read(stream.fileno(), 0)  # A folder can be opened, and not read.
        return stream
    import shutil
    import tempfile

    with stream:
        kept = tempfile.TemporaryFile()  # noqa: SIM115
        shutil.copyfileobj(stream, kept)
    return kept


def rules(words: Iterable[str], listings: Iterable[Listing]) -> Rules:
    """A scope or what is excluded. Raises BadInput naming every fault."""
    made, faults = Rules(), _Faults()
    for word in (*map(Word, words), *_all(listings)):
        try:
            made.add(word.text)
        except BadRule as error:
            faults.add(word, str(error))
    faults.end()
    return made


def permit(
    scope: Listing | None, excluded: Sequence[str], exclude_files: Iterable[Listing]
) -> Permit:
    """What may be contacted. A name that is excluded is asked for, so that its addresses are left
    alone however they are come by. Raises BadInput, also where such a name has no address: until
    that is known, nothing is contacted.
    """
    inside = None if scope is None else rules((), (scope,))
    without = rules(excluded, exclude_files)
    for name in sorted(without.names):
        if name.startswith("*."):
            continue
        found = targets.addresses(name)
        if isinstance(found, targets.Unresolved):
            raise BadInput(
                f"{name} is excluded, but {found.reason}: exclude its address, or take it out"
            )
        for address in found:
            without.add(address)
    return Permit(inside, without)


class Inventory:
    """The targets of a scan. `total` is the number of endpoints, a name counted as one address;
    `exact` that there is no name among them; `network` the first network, if any. Raises BadInput
    naming every fault.
    """

    def __init__(
        self, words: Sequence[Word], listings: Sequence[Listing], ports: Sequence[int]
    ) -> None:
        self._words = words
        self._listings = listings
        self._ports = ports
        self._kinds: set[bool] = set()
        self.total = 0
        self.exact = True
        self.network = ""
        self._survey()

    def _survey(self) -> None:
        faults = _Faults()
        for word in self._all():
            try:
                target = parse(word.text, self._ports)
                count = target.endpoints()
            except BadTarget as error:
                faults.add(word, str(error))
                continue
            if count > SWEEP_LIMIT * len(target.ports):
                faults.add(word, f"{target.host} has too many addresses: write smaller networks")
            self.total += count
            self.exact = self.exact and not target.named
            self.network = self.network or (target.host if target.network else "")
            self._kinds.add(target.network)
        faults.end()
        if not self._kinds:
            raise BadInput("there is no target: name a host, host:port or network")

    def __iter__(self) -> Iterator[Target]:
        for network in sorted(self._kinds):
            for word in self._all():
                try:
                    target = parse(word.text, self._ports)
                except BadTarget as error:
                    raise BadInput(f"changed while it was read: {word.place}{error}") from None
                if target.network is network:
                    yield replace(target, origin=word.origin)

    def _all(self) -> Iterator[Word]:
        yield from self._words
        yield from _all(self._listings)


def _all(listings: Iterable[Listing]) -> Iterator[Word]:
    for listing in listings:
        yield from listing.words()


class _Faults:
    """What is wrong with the input, line by line."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._more = 0

    def add(self, word: Word, reason: str) -> None:
        if len(self._lines) < FAULTS:
            self._lines.append(word.place + reason)
        else:
            self._more += 1

    def end(self) -> None:
        """Raises BadInput where there was any."""
        if self._lines:
            more = [f"and {self._more} more"] if self._more else []
            raise BadInput("\n".join([*self._lines, *more]))
