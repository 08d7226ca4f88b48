"""What `sed -i` puts into files: the texts of its commands s, a, i and c.

After the manual of GNU sed. Which lines a command meets is up to the file that is there, so each
text counts as a line that is added. One with a part of what was matched in it (`&`, a group) is not
known, and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.lint.traced import Traced, joined, literal

_PART = r"(?:\\.|[^\\\n/]){0,500}"
_ADDRESS = rf"(?:\d{{1,9}}|\$|/{_PART}/[IM]?)"
# Each part has a bound: from each of many commands that do not end, a search would go to the end.
_COMMAND = re.compile(
    rf"""[\s;{{}}]*(?:{_ADDRESS}\s*(?:,\s*[+~]?{_ADDRESS}\s*)?!?\s*)?
    (?:s(?P<sign>[^\\\s])(?:\\.|(?!(?P=sign))[^\\\n]){{0,500}}(?P=sign)
        (?P<new>(?:\\.|(?!(?P=sign))[^\\]){{0,2000}})(?P=sign)
    |[aic](?:\\\n|\\|[ \t])[ \t]*(?P<line>[^\n]*)
    |[^;\n]+)""".encode(),
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(rb"(?P<unknown>\\(?:\d|g<)|&)|\\(?P<end>n)|\\(?P<kept>.)", re.DOTALL)
_ESCAPE_OF_PYTHON = re.compile(rb"(?P<unknown>\\(?:\d|g<))|\\(?P<end>n)|\\(?P<kept>.)", re.DOTALL)


def added(words: list[Traced]) -> Iterator[tuple[str, Traced]]:
    """Each file that a command line of sed changes, and a text that it puts there."""
    in_place, scripts, files = _arguments(words)
    for script in scripts if in_place else ():
        for text in _texts(script):
            for file in files:
                yield file.data.decode("utf-8", "replace"), text


def _arguments(words: list[Traced]) -> tuple[bool, list[Traced], list[Traced]]:
    in_place, expected = False, False
    scripts: list[Traced] = []
    plain: list[Traced] = []
    for word in words[1:]:
        data = word.data
        if expected:
            scripts.append(word)
            expected = False
        elif data.startswith(b"--"):
            in_place |= data.partition(b"=")[0] == b"--in-place"
            expected = data == b"--expression"
            if data.startswith(b"--expression="):
                scripts.append(word.cut(len(b"--expression="), len(data)))
        elif flags := re.match(rb"-[a-zA-Z]", data) and data:
            # What stands behind -i is the end of the copy's name.
            letters, i, _ = flags.partition(b"i")
            in_place |= bool(i)
            at = letters.find(b"e")
            expected = at == len(data) - 1
            if 0 <= at < len(data) - 1:
                scripts.append(word.cut(at + 1, len(data)))
        else:
            plain.append(word)
    if not scripts:
        scripts, plain = plain[:1], plain[1:]
    return in_place, scripts, plain


def _texts(script: Traced) -> Iterator[Traced]:
    at = 0
    while found := _COMMAND.match(script.data, at):
        at = found.end()
        if found["new"] is not None:
            text = replacement(script.cut(*found.span("new")))
            if text:
                yield text
        elif found["line"]:
            yield script.cut(*found.span("line"))


def replacement(text: Traced, python: bool = False) -> Traced | None:
    """What a replacement stands for, in sed or as Python's `re` has it; None where a part of what
    was matched is in it.
    """
    pieces = []
    done = 0
    for each in (_ESCAPE_OF_PYTHON if python else _ESCAPE).finditer(text.data):
        if each["unknown"]:
            return None
        pieces.append(text.cut(done, each.start()))
        done = each.end()
        pieces.append(
            literal(b"\n", text.at[each.start()]) if each["end"] else text.cut(done - 1, done)
        )
    return joined((*pieces, text.cut(done, len(text.data))))
