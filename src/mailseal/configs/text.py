"""What every configuration format here shares: positions, pieces, splices and diffs.

A parser works on bytes, because offsets must be those of the file; only the values it hands out are
text (UTF-8, with surrogateescape for what is not, so that text goes back to the same bytes). The
items of a document tile its bytes: each begins where the one before ended. What a parser cannot
read becomes `Malformed` in the same row of items, and parsing never raises.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import (
    Generic,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Pattern,
    Protocol,
    Sequence,
    Tuple,
    TypeVar,
)

from mailseal.model.ops import Splice as Splice

# Beyond this the rest of a file is one Malformed item: no real configuration is so long, and a file
# of five million empty lines must not take a minute.
MAX_LINES = 50_000

BOM = b"\xef\xbb\xbf"
LINE_FEED = re.compile(rb"\n")


@dataclass(frozen=True)
class Span:
    """A place in a file: the 1-based line, the 1-based column in bytes, and byte offsets
    [start, end) from the beginning of the file.
    """

    line: int
    column: int
    start: int
    end: int


@dataclass(frozen=True)
class Word:
    """A value and where it stands. `text` is what the daemon would read, not always the bytes."""

    text: str
    span: Span


@dataclass(frozen=True)
class Trivia:
    """One or more lines that mean nothing to the daemon: comments and blank lines."""

    span: Span


@dataclass(frozen=True)
class Malformed:
    """A stretch the daemon refuses, ignores or reads otherwise than it looks; `reason` says which.

    Never to be counted as clean: what stands there is unknown.
    """

    span: Span
    reason: str


class Placed(Protocol):
    """Whatever has a place in a file."""

    @property
    def span(self) -> Span: ...


Item = TypeVar("Item", bound=Placed)


@dataclass(frozen=True)
class Document(Generic[Item]):
    """A parsed file. `items` tile `data`: b"".join(document.pieces) == document.data."""

    data: bytes
    items: Tuple[Item, ...]

    @property
    def pieces(self) -> Tuple[bytes, ...]:
        """The bytes of each item, in order."""
        return tuple(self.data[item.span.start : item.span.end] for item in self.items)

    @property
    def malformed(self) -> Tuple[Malformed, ...]:
        """What could not be read as the daemon reads it."""
        return tuple(item for item in self.items if isinstance(item, Malformed))


class Line(NamedTuple):
    """A physical line: its number, where its text starts (offset and column), the text without its
    end, and the end. A tuple, because a file may have many.
    """

    number: int
    column: int
    start: int
    text: bytes
    end: int

    def span(self, first: int, last: int) -> Span:
        """The place of text[first:last]."""
        return Span(self.number, self.column + first, self.start + first, self.start + last)

    def word(self, first: int, last: int) -> Word:
        return Word(decode(self.text[first:last]), self.span(first, last))

    @property
    def whole(self) -> Span:
        """The place of the line with its end."""
        return Span(self.number, self.column, self.start, self.end)


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """The bytes `decode` was given. Raises ValueError for a surrogate that stands for no byte."""
    return text.encode("utf-8", "surrogateescape")


def split_lines(
    data: bytes, ends: Pattern[bytes] = LINE_FEED
) -> Tuple[List[Line], List[Malformed]]:
    """The lines of `data`, and what lies beyond MAX_LINES (nothing, or one item)."""
    lines: List[Line] = []
    start = 0
    for end in ends.finditer(data):
        if len(lines) == MAX_LINES:
            reason = f"more than {MAX_LINES} lines: the rest was not read"
            return lines, [Malformed(Span(MAX_LINES + 1, 1, start, len(data)), reason)]
        lines.append(Line(len(lines) + 1, 1, start, data[start : end.start()], end.end()))
        start = end.end()
    if start < len(data):
        lines.append(Line(len(lines) + 1, 1, start, data[start:], len(data)))
    return lines, []


def without_bom(lines: List[Line]) -> Tuple[List[Trivia], List[Line]]:
    """A byte order mark at the very beginning as an item of its own, and the lines after it."""
    if not lines or not lines[0].text.startswith(BOM):
        return [], lines
    first, size = lines[0], len(BOM)
    rest = Line(1, 1 + size, size, first.text[size:], first.end)
    return [Trivia(Span(1, 1, 0, size))], [rest, *lines[1:]]


def tile(items: Iterable[Item]) -> Tuple[Item, ...]:
    """The items in a row, neighbouring Trivia made one."""
    row: List[Item] = []
    for item in items:
        if row and isinstance(item, Trivia) and isinstance(row[-1], Trivia):
            first = row[-1].span
            row[-1] = type(item)(Span(first.line, first.column, first.start, item.span.end))
        else:
            row.append(item)
    return tuple(row)


def cover(first: Line, last: Line) -> Span:
    """The place of the lines from `first` to `last`, ends included."""
    return Span(first.number, first.column, first.start, last.end)


# ---- edits ---------------------------------------------------------------------------------------


def one_line(text: str) -> bytes:
    """The bytes of a value to be written. Raises ValueError where a parser would not read back the
    same: a line end or NUL inside, white space around.
    """
    if any(character in text for character in "\n\r\0"):
        raise ValueError(f"a value may not hold a line end or NUL: {text!r}")
    if text != text.strip(" \t\v\f"):
        raise ValueError(f"white space around a value would be lost: {text!r}")
    return encode(text)


def newline_of(data: bytes) -> bytes:
    """How this file ends its lines, judged by the first."""
    return b"\r\n" if data[: data.find(b"\n") + 1].endswith(b"\r\n") else b"\n"


def indentation(document: Document[Item], span: Span) -> bytes:
    """The white space before `span` on its line."""
    start = span.start - span.column + 1
    before = document.data[start : span.start]
    return before[len(before.rstrip(b" \t")) :]


def insert_line(data: bytes, offset: int, line: bytes, newline: bytes) -> Splice:
    """Put `line` at `offset`, which is the end of a line or of the file."""
    at_line_start = offset == 0 or data[offset - 1 : offset] == b"\n"
    return Splice(offset, b"", (b"" if at_line_start else newline) + line + newline)


def replace(data: bytes, span: Span, new: bytes) -> Splice:
    return Splice(span.start, data[span.start : span.end], new)


def apply_splices(data: bytes, splices: Iterable[Splice]) -> bytes:
    """`data` after all the splices, whose offsets are those before any of them.

    Insertions at one offset keep their order. Raises ValueError where `old` is not what is there or
    two splices overlap: the file is not the one that was planned for, and must be planned anew.
    """
    pieces: List[bytes] = []
    done = 0
    for splice in sorted(splices, key=lambda each: each.offset):
        end = splice.offset + len(splice.old)
        if splice.offset < done:
            raise ValueError(f"splices overlap at byte {splice.offset}")
        if splice.offset > len(data) or data[splice.offset : end] != splice.old:
            raise ValueError(f"the bytes at {splice.offset} are not those that were to be replaced")
        pieces += (data[done : splice.offset], splice.new)
        done = end
    return b"".join((*pieces, data[done:]))


def whole_lines(data: bytes, splices: Iterable[Splice]) -> Tuple[Splice, ...]:
    """The same change by splices of whole lines, for people to read; those that meet become one.

    A line that is no UTF-8 keeps the splices it has: not every executor can write such bytes.
    """
    found: List[Splice] = []
    for start, end, group in _touched(data, splices):
        moved = [Splice(each.offset - start, each.old, each.new) for each in group]
        old = data[start:end]
        new = apply_splices(old, moved)
        found += [Splice(start, old, new)] if _is_text(old + new) else group
    return tuple(found)


def _touched(data: bytes, splices: Iterable[Splice]) -> List[Tuple[int, int, List[Splice]]]:
    """Stretches of whole lines, and the splices in each."""
    found: List[Tuple[int, int, List[Splice]]] = []
    for splice in sorted(splices, key=lambda each: each.offset):
        start, end = data.rfind(b"\n", 0, splice.offset) + 1, splice.offset + len(splice.old)
        before = data[start : splice.offset] + splice.new
        if (end and data[end - 1 : end] != b"\n") or (before and not before.endswith(b"\n")):
            end = data.find(b"\n", end) + 1 or len(data)
        group: List[Splice] = []
        if found and start <= found[-1][1]:
            first, last, group = found.pop()
            start, end = min(first, start), max(last, end)
        group.append(splice)
        found.append((start, end, group))
    return found


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# ---- diffs ---------------------------------------------------------------------------------------


def visible(text: str) -> str:
    """`text` with whatever could act on a terminal, or hide, spelled out as an escape."""
    return "".join(
        character if character.isprintable() or character == "\t" else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as surrogateescape carries it
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def diff(path: str, before: bytes, after: bytes, context: int = 3) -> str:
    """A unified diff for people to read: "" when nothing changes, hostile bytes made visible.

    Not for patch(1): an escape in it stands for one byte of the file. `context` is in lines.
    """
    return "".join(_diff_lines(visible(path), _feed_lines(before), _feed_lines(after), context))


def _feed_lines(data: bytes) -> List[str]:
    """Lines by line feed alone; str.splitlines would also cut at form feeds and the like."""
    return [decode(line.group()) for line in re.finditer(rb"[^\n]*\n|[^\n]+", data)]


def _diff_lines(
    path: str, before: Sequence[str], after: Sequence[str], context: int
) -> Iterator[str]:
    for line in difflib.unified_diff(before, after, f"a/{path}", f"b/{path}", n=context):
        if line.endswith("\n"):
            yield visible(line[:-1]) + "\n"
        else:
            yield visible(line) + "\n\\ No newline at end of file\n"
