"""popa3d. It has no configuration: with -D it listens where its params.h says (popa3d(8))."""

from __future__ import annotations

from typing import Sequence, Tuple

from mailseal.daemons.base import Daemon
from mailseal.model.local import Declared, Source
from mailseal.system.reader import Reader

PORT = 110


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    program = argv[0] if argv else "popa3d"
    return (Declared("", PORT, Source(program, 0, "port %d, compiled in; started with -D" % PORT)),)


DAEMON = Daemon("popa3d", ("*/popa3d",), _declares)
