"""What lies in the folders that `lint` was given: the files in them, and what one names beside it.

Strategy: folders are walked in order and never through a link. A file may name others by a path
(`include`, the source of a copy): they are read where they lie in what was named, and nowhere else,
so that no file leads out of it. Everything has a bound.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from mailseal.lint.kinds import LEFTOVER
from mailseal.workflow import BadInput

LARGEST = 1 << 22
"""Octets of a file. No configuration is so long."""
MOST = 200_000
"""Files and folders of one run."""
MOST_BESIDE = 200
"""Files of a folder that is included."""
PASSED_FOLDERS = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv"})
"""What holds no configuration of a service, and much else."""


def walked(paths: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each file once, and whether it was named itself. Raises BadInput for what is not there."""
    seen: set[str] = set()
    count = 0
    for path in paths:
        if not os.path.exists(path):
            raise BadInput(f"{path} is not there: name a file or a folder")
        for each, itself in _folder(path) if os.path.isdir(path) else ((path, True),):
            count += 1
            if count > MOST:
                raise BadInput(f"more than {MOST} files: name smaller folders")
            if each not in seen:
                seen.add(each)
                yield each, itself


def _folder(folder: str) -> Iterator[tuple[str, bool]]:
    # A folder that cannot be read is answered for as a file that cannot.
    shut: list[str] = []
    for where, folders, names in os.walk(folder, onerror=lambda error: shut.append(error.filename)):
        folders[:] = sorted(set(folders) - PASSED_FOLDERS)
        for name in sorted(names):
            path = os.path.join(where, name)
            if not (LEFTOVER.search(name) or os.path.islink(path)) and os.path.isfile(path):
                yield path, False
    for path in shut:
        yield path, True


def content(path: str) -> bytes | str:
    """The octets of a file, or why there are none."""
    try:
        # A pipe without a writer would never answer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return "not a file"
            data = file.read(LARGEST + 1)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return data if len(data) <= LARGEST else f"longer than {LARGEST >> 20} MiB"


class Tree:
    """What was named: its folders, and the folder of each file."""

    def __init__(self, paths: Sequence[str]) -> None:
        folders = (path if os.path.isdir(path) else os.path.dirname(path) or "." for path in paths)
        self._roots = [(path, os.path.realpath(path)) for path in dict.fromkeys(folders)]

    def beside(self, path: str, name: str) -> tuple[tuple[str, bytes], ...]:
        """The file that one names, or the files of a folder in the order of their names; nothing
        where that is not in the tree. An absolute path is also looked for below the folders that
        the file is in: one of them may be the root of another host.
        """
        for place in self._places(path, name):
            if os.path.isdir(place):
                names = sorted(os.listdir(place))[:MOST_BESIDE]
                found = [os.path.join(place, each) for each in names]
                return self._contents([each for each in found if os.path.isfile(each)])
            if os.path.isfile(place):
                return self._contents([place])
        return ()

    def find(self, path: str, names: Sequence[str]) -> str:
        """The first of the files that one names that is there; empty where none is."""
        places = (place for name in names for place in self._places(path, name))
        return next((place for place in places if os.path.isfile(place)), "")

    def _places(self, path: str, name: str) -> Iterator[str]:
        if "\0" in name or len(name) > 4096:
            return
        wanted = [os.path.join(os.path.dirname(path), name)]
        above = os.path.abspath(path)
        while name.startswith("/") and above != "/":
            above = os.path.dirname(above)
            wanted.append(above + name)
        for each in wanted:
            place = os.path.normpath(each)
            if os.path.exists(place) and self._inside(place):
                yield place

    def _inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return any(os.path.commonpath((root, real)) == root for _, root in self._roots)

    def _contents(self, places: Sequence[str]) -> tuple[tuple[str, bytes], ...]:
        found = []
        size = 0
        for place in places:
            data = content(place) if self._inside(place) else ""
            if isinstance(data, bytes) and size + len(data) <= LARGEST:
                size += len(data)
                found.append((place, data))
        return tuple(found)
