"""popa3d. It has no configuration: with -D it listens where its params.h says (popa3d(8)).

Its greeting is a bare "+OK" (pop_root.c), which others have as well; so it is only probable.
"""

from __future__ import annotations

from typing import Sequence, Tuple

from mailseal.daemons.base import Daemon, Sign, text
from mailseal.model.local import Declared, Source
from mailseal.system.reader import Reader

PORT = 110


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    program = argv[0] if argv else "popa3d"
    return (Declared("", PORT, Source(program, 0, "port %d, compiled in; started with -D" % PORT)),)


DAEMON = Daemon(
    name="popa3d",
    title="popa3d (probably)",
    executables=("*/popa3d",),
    declares=_declares,
    signs=(Sign(("pop3",), text(r"^\+OK ?$")),),
)
