"""What a file that carries others gives: a record of plain values."""

from __future__ import annotations

from typing import NamedTuple

from mailseal.configs.text import Malformed, Span
from mailseal.lint.traced import Traced


class Port(NamedTuple):
    """A TCP port that a container's network opens: where it is written, the address of the host
    that it is bound to (empty where every one), and the ports inside, which say what speaks there.
    """

    place: Span
    written: str
    host: str
    inside: range


class Carried(NamedTuple):
    """A text and the path of the file that it becomes; `part`: or is added to, so that of the rest
    nothing is known.
    """

    path: str
    text: Traced
    part: bool


class Taken(NamedTuple):
    """A file from beside the carrier: the relative paths where it may be, the first that is there
    counts, and the path that it gets.
    """

    sources: tuple[str, ...]
    path: str


class Carrier(NamedTuple):
    """All that a file opens and carries. `malformed` is what of it could not be read."""

    ports: tuple[Port, ...] = ()
    carried: tuple[Carried, ...] = ()
    taken: tuple[Taken, ...] = ()
    malformed: tuple[Malformed, ...] = ()
