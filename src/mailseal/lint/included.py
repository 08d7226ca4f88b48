"""stunnel.conf with what it includes, as one text whose octets know their file.

After stunnel(8): `include = FOLDER` stands for all files of that folder in the order of their
names, as if they were written there. What they include themselves is not followed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mailseal.configs import stunnel
from mailseal.lint.traced import Lines, Traced, joined, whole

Beside = Callable[[str], Sequence[tuple[str, bytes]]]
"""What a file names by a path, relative to its own or absolute: path and content of the file, or of
each file of the folder by their names. Nothing where it is not there, or not to be looked at.
"""


def nothing(path: str) -> Sequence[tuple[str, bytes]]:
    """For a file of which nothing but its content is known."""
    return ()


class Files(NamedTuple):
    """Several files behind one another; `starts` is where each begins."""

    paths: tuple[str, ...]
    starts: tuple[int, ...]
    lines: tuple[Lines, ...]

    def place(self, offset: int) -> tuple[int, int, int]:
        """The number of the file, line and column."""
        number = bisect_right(self.starts, offset) - 1
        return (number, *self.lines[number].place(offset - self.starts[number]))


def files(sources: Sequence[tuple[str, bytes]]) -> Files:
    starts = [0]
    for _, data in sources[:-1]:
        # The end of a file is none of the next.
        starts.append(starts[-1] + len(data) + 1)
    paths = tuple(path for path, _ in sources)
    return Files(paths, tuple(starts), tuple(Lines(data) for _, data in sources))


def woven(path: str, data: bytes, beside: Beside) -> tuple[Traced, list[tuple[str, bytes]]]:
    """The text with all that it includes in its place, and the files that it is made of. An option
    `include` that nothing was found for stays.
    """
    sources = [(path, data)]
    file = whole(data)
    if b"include" not in data.lower():
        return file, sources
    pieces, done, start = [], 0, len(data) + 1
    for item in stunnel.parse(data).items:
        if not isinstance(item, stunnel.Option) or item.key.text.lower() != "include":
            continue
        found = beside(item.value.text)
        if not found:
            continue
        pieces.append(file.cut(done, item.span.start))
        for each in found:
            sources.append(each)
            closed = each[1] if each[1].endswith(b"\n") else each[1] + b"\n"
            pieces.append(Traced(closed, range(start, start + len(closed) + 1)))
            start += len(each[1]) + 1
        done = item.span.end
    return joined((*pieces, file.cut(done, len(data)))), sources
