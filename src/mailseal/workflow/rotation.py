"""Which files are one log, and in which order: what log rotation makes of a name.

Strategy: names tell (logrotate(8), newsyslog(8)): `mail.log.2.gz`, `mail.log-20260131`, `mail.log`.
Numbers count backwards, dates forwards, and the file without either is the newest.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable

_COMPRESSED = re.compile(r"\.(?:gz|xz|zst|bz2)\Z")
_NUMBER = re.compile(r"\.(\d{1,4})\Z")
_DATE = re.compile(r"[-.](\d{8}(?:[-T]?\d{2,6})?|\d{4}-\d\d-\d\d)\Z")


def ordered(paths: Iterable[str]) -> list[list[str]]:
    """Sets of files that belong together, oldest first; the sets as their first file was named."""
    sets: dict[str, list[tuple[tuple[int, int, str], str]]] = {}
    for path in dict.fromkeys(paths):
        base, place = _placed(path)
        sets.setdefault(base, []).append((place, path))
    return [[path for _, path in sorted(files)] for files in sets.values()]


def _placed(path: str) -> tuple[str, tuple[int, int, str]]:
    """The log's own name, and where in its history a file stands."""
    name = _COMPRESSED.sub("", path)
    dated = _DATE.search(name)
    if dated and os.path.basename(name[: dated.start()]):
        return name[: dated.start()], (0, 0, dated[1])
    numbered = _NUMBER.search(name)
    if numbered and os.path.basename(name[: numbered.start()]):
        return name[: numbered.start()], (1, -int(numbered[1]), "")
    return name, (2, 0, "")
