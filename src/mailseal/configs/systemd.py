"""systemd unit files and drop-ins, read as systemd itself reads them.

After systemd.syntax(7): sections in brackets, `key=value`, comments on lines of their own, a
backslash at the end of a line continues it (comments in between are left out). Where the manual is
silent this follows systemd 252: carriage return and NUL end a line as well, and a line that is not
UTF-8 is ignored. Of one unit the meaning is in all its files together, so `effective` takes the
unit and its drop-ins in the order systemd applies them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from mailseal.configs import text
from mailseal.configs.text import Malformed, Span, Splice, Trivia, Word

# LONG_LINE_MAX: systemd gives up on a file with a longer line.
MAX_LINE = 1 << 20

# A run of different end characters is one line end.
_ENDS = re.compile(rb"\n(?:\r\0?|\0\r?)?|\r(?:\n\0?|\0\n?)?|\0(?:\n\r?|\r\n?)?")
_BLANK = " \t\n\r"


@dataclass(frozen=True)
class Section:
    """The line that begins a section."""

    span: Span
    name: Word


@dataclass(frozen=True)
class Option:
    """`key=value` in a section. `value.text` has continuation lines joined as systemd joins them,
    with a space for each backslash; `value.span` reaches over all of them.
    """

    span: Span
    section: str
    key: Word
    value: Word


Items = Union[Trivia, Malformed, Section, Option]


@dataclass(frozen=True)
class Document(text.Document[Items]):
    """A parsed unit file or drop-in."""

    def options(self, section: str, key: Optional[str] = None) -> Tuple[Option, ...]:
        """The assignments in a section, those of one key if it is given, in order."""
        return tuple(
            item
            for item in self.items
            if isinstance(item, Option) and item.section == section and key in (None, item.key.text)
        )


def parse(data: bytes) -> Document:
    """The document of a unit file; never raises."""
    lines, rest = text.split_lines(data, _ENDS)
    mark, lines = text.without_bom(lines)
    return Document(data, text.tile([*mark, *_items(lines), *rest]))


def _items(lines: List[text.Line]) -> Iterator[Items]:
    section: Optional[str] = None
    for group in _groups(lines):
        item = _item(group, section)
        if isinstance(item, Section):
            section = item.name.text
        elif isinstance(item, Malformed) and group[0].text.lstrip(b" \t").startswith(b"["):
            section = None
        yield item


def _comment(line: text.Line) -> bool:
    return line.text.lstrip(b" \t")[:1] in (b"#", b";")


def _continues(line: text.Line) -> bool:
    """Whether the line ends in a backslash that is not itself escaped."""
    return (len(line.text) - len(line.text.rstrip(b"\\"))) % 2 == 1


def _groups(lines: List[text.Line]) -> Iterator[List[text.Line]]:
    """The lines of each comment, blank line, section or option."""
    group: List[text.Line] = []
    for line in lines:
        group.append(line)
        comment = _comment(line)
        if comment and len(group) > 1:
            continue
        if comment or not _continues(line):
            yield group
            group = []
    if group:
        yield group


def _item(group: List[text.Line], section: Optional[str]) -> Items:
    span = text.cover(group[0], group[-1])
    if _comment(group[0]):
        return Trivia(span)
    parts = [line for line in group if not _comment(line)]
    if sum(len(line.text) for line in parts) > MAX_LINE:
        return Malformed(span, f"longer than {MAX_LINE} bytes: systemd does not load the file")
    joined = b"".join(line.text[:-1] + b" " if _continues(line) else line.text for line in parts)
    try:
        body = joined.decode("utf-8").strip(_BLANK)
    except UnicodeDecodeError:
        return Malformed(span, "not UTF-8: systemd ignores the line")
    if not body:
        return Trivia(span)
    first = group[0]
    start = len(first.text) - len(first.text.lstrip(b" \t"))
    if body.startswith("["):
        if not body.endswith("]") or len(body) < 3 or len(parts) > 1:
            return Malformed(span, "not the name of a section: systemd does not load the file")
        return Section(span, first.word(start + 1, start + len(body.encode()) - 1))
    key, equals, value = body.partition("=")
    if not equals:
        return Malformed(span, "no '=': systemd ignores the line")
    if not key:
        return Malformed(span, "no name before '=': systemd ignores the line")
    if section is None:
        return Malformed(span, "outside of a section: systemd ignores the line")
    where = _value_span(parts)
    if where is None:
        return Malformed(span, "no '=' on the first line: systemd may still read it")
    name = key.rstrip(_BLANK)
    word = first.word(start, start + len(name.encode()))
    return Option(span, section, word, Word(value.strip(_BLANK), where))


def _value_span(parts: List[text.Line]) -> Optional[Span]:
    """The place of the value, white space around it left out; None without `=` in the first line.

    Where a backslash ends the value, as at the end of a file, it is in: to replace the value is to
    replace the continuation as well.
    """
    first = parts[0]
    begin = first.text.find(b"=") + 1
    if not begin:
        return None
    after = first.text[begin:]
    begin += len(after) - len(after.lstrip(b" \t"))
    last = next((line for line in reversed(parts) if line.text.strip(b" \t")), first)
    end = last.start + len(last.text.rstrip(b" \t"))
    start = first.start + begin
    return Span(first.number, first.column + begin, start, max(start, end))


def effective(documents: Sequence[Document]) -> Mapping[str, Mapping[str, Tuple[str, ...]]]:
    """Section to key to values, over a unit and its drop-ins in order.

    An empty assignment takes back what came before: then the values are (). An option with one
    value takes the last of them.
    """
    found: Dict[str, Dict[str, List[str]]] = {}
    for document in documents:
        for item in document.items:
            if isinstance(item, Section):
                found.setdefault(item.name.text, {})
            elif isinstance(item, Option):
                values = found[item.section].setdefault(item.key.text, [])
                if item.value.text:
                    values.append(item.value.text)
                else:
                    values.clear()
    return {
        section: {key: tuple(values) for key, values in options.items()}
        for section, options in found.items()
    }


# ---- command lines -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """One command of ExecStart= and its like: prefix characters (of `-@:+!`), the program, and the
    arguments from argv[0] on. Without `@` argv[0] is `path`. Specifiers (%) and variables ($) stay
    as they are.
    """

    prefixes: str
    path: str
    argv: Tuple[str, ...]


_ESCAPES = {
    "a": b"\a", "b": b"\b", "f": b"\f", "n": b"\n", "r": b"\r", "t": b"\t", "v": b"\v",
    "\\": b"\\", '"': b'"', "'": b"'", "s": b" ",
}  # fmt: skip
_NUMERIC = re.compile(r"x([0-9A-Fa-f]{2})|([0-3][0-7]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})")
_PREFIXES = "-@:+!"


def split_exec(value: str) -> Optional[Tuple[Command, ...]]:
    """The commands of an ExecStart= line; () for an empty one, which resets the list.

    None for a line that systemd does not take: a quote that is not closed, no program. A lone `;`
    parts commands, `\\;` is a semicolon as a word; an unknown escape stays as it is written.
    See systemd.service(5), COMMAND LINES, and systemd.syntax(7), QUOTING.
    """
    commands: List[Command] = []
    words: List[str] = []
    at = _skip(value, 0)
    while at < len(value):
        alone = at + 1 == len(value) or value[at + 1] in _BLANK
        escaped = value[at : at + 2] == "\\;" and (at + 2 == len(value) or value[at + 2] in _BLANK)
        if words and value[at] == ";" and alone:
            command = _command(words)
            if command is None:
                return None
            commands.append(command)
            words = []
            at += 1
        elif words and escaped:
            words.append(";")
            at += 2
        else:
            word, at = _word(value, at)
            if word is None:
                return None
            words.append(word)
        at = _skip(value, at)
    if words:
        command = _command(words)
        if command is None:
            return None
        commands.append(command)
    return tuple(commands)


def _skip(value: str, at: int) -> int:
    while at < len(value) and value[at] in _BLANK:
        at += 1
    return at


def _word(value: str, at: int) -> Tuple[Optional[str], int]:
    """The word at `at` without its quotes (None where one is not closed), and where it ends."""
    word = bytearray()
    quote = ""
    while at < len(value):
        character = value[at]
        at += 1
        if character == quote:
            quote = ""
        elif character == "\\" and at < len(value):
            piece, at = _unescape(value, at)
            word += piece
        elif not quote and character in "'\"":
            quote = character
        elif not quote and character in _BLANK:
            break
        else:
            word += text.encode(character)
    return (None if quote else text.decode(bytes(word))), at


def _unescape(value: str, at: int) -> Tuple[bytes, int]:
    """What the escape after a backslash stands for, and where it ends."""
    if value[at] in _ESCAPES:
        return _ESCAPES[value[at]], at + 1
    match = _NUMERIC.match(value, at)
    if match:
        hexadecimal, octal, short, long = match.groups()
        number = int(octal, 8) if octal else int(hexadecimal or short or long, 16)
        if number and (hexadecimal or octal):
            return bytes([number]), match.end()
        if number and number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF:
            return chr(number).encode(), match.end()
    return b"\\" + text.encode(value[at]), at + 1


def _command(words: Sequence[str]) -> Optional[Command]:
    path = words[0].lstrip(_PREFIXES)
    prefixes = words[0][: len(words[0]) - len(path)]
    argv = tuple(words[1:]) if "@" in prefixes else (path, *words[1:])
    return Command(prefixes, path, argv) if path and argv else None


def join_exec(commands: Sequence[Command]) -> str:
    """The line `split_exec` reads as these commands. Raises ValueError where there is none."""
    return " ; ".join(_join(command) for command in commands)


def _join(command: Command) -> str:
    words = [command.prefixes + command.path]
    words += command.argv if "@" in command.prefixes else command.argv[1:]
    if _command(words) != command or any("\0" in word for word in words):
        raise ValueError(f"no command line says {command!r}")
    return " ".join(map(_quote, words))


def _quote(word: str) -> str:
    if re.fullmatch(r"[!-~]+", word) and not re.search(r"[\"'\\;]", word):
        return word
    pieces = []
    for character in word:
        if character in '"\\':
            pieces.append("\\" + character)
        elif character.isprintable():
            pieces.append(character)
        else:
            pieces += (f"\\x{byte:02x}" for byte in text.encode(character))
    return '"' + "".join(pieces) + '"'


# ---- writing -------------------------------------------------------------------------------------


def set_option(document: Document, section: str, key: str, value: str) -> Tuple[Splice, ...]:
    """Give an option a value: the last assignment of it in the section is changed, or one is added
    after the last line there, with the section if need be. Raises ValueError for what systemd would
    not read back.
    """
    line, data = _option(key, value), document.data
    same = document.options(section, key)
    if same:
        splice = text.replace(data, same[-1].value.span, text.encode(value))
        return (splice,) if splice.old != splice.new else ()
    here = [
        item
        for item in document.items
        if (isinstance(item, Option) and item.section == section)
        or (isinstance(item, Section) and item.name.text == section)
    ]
    newline = text.newline_of(data)
    offset = here[-1].span.end if here else len(data)
    if not here:
        blank = newline if data else b""
        line = blank + _header(section) + newline + line
    if offset == len(data):
        line = _close(document, newline) + line
    return (text.insert_line(data, offset, line, newline),)


def _close(document: Document, newline: bytes) -> bytes:
    """A blank line where a backslash at the end of the file would swallow what is added."""
    groups = list(_groups(text.split_lines(document.data, _ENDS)[0]))
    parts = [line for line in groups[-1] if not _comment(line)] if groups else []
    return newline if parts and _continues(parts[-1]) else b""


def compose(sections: Sequence[Tuple[str, Sequence[Tuple[str, str]]]]) -> bytes:
    """A whole unit file or drop-in. `parse` gives the same back. Raises ValueError for what could
    not be read back.
    """
    return b"\n".join(
        b"\n".join([_header(name), *(_option(key, value) for key, value in options), b""])
        for name, options in sections
    )


def listens(path: str, group: str) -> Tuple[Tuple[str, str], ...]:
    """The options of a socket unit that listens at a Unix socket for root and `group` alone."""
    return (
        ("ListenStream", path),
        ("SocketUser", "root"),
        ("SocketGroup", group),
        ("SocketMode", "0660"),
        # systemd would close the socket for good after 200 connections in two seconds.
        ("TriggerLimitIntervalSec", "0"),
        ("RemoveOnStop", "yes"),
    )


def _header(section: str) -> bytes:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", section):
        raise ValueError(f"not the name of a section: {section!r}")
    return b"[" + section.encode() + b"]"


def _option(key: str, value: str) -> bytes:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
        raise ValueError(f"not the name of an option: {key!r}")
    new = text.one_line(value)
    backslashes = len(value) - len(value.rstrip("\\"))
    if backslashes % 2 or len(key) + len(new) >= MAX_LINE:
        raise ValueError(f"option {key}: too long, or ends in a backslash")
    new.decode("utf-8")  # systemd ignores a line that is not UTF-8
    return key.encode() + b"=" + new
