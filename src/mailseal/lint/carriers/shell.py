"""What a shell script writes into files: echo, printf, cat, tee and sed, and Postfix's postconf.

Strategy: words, quotes, redirections and here-documents after POSIX (XCU 2.2, 2.3, 2.7), command by
command; who writes what where is read off, nothing is worked out. A value that has a variable stays
as it is written. Of one script all that goes into one file is one text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from mailseal.lint.carriers import sed
from mailseal.lint.carriers.base import Carried
from mailseal.lint.traced import Traced, joined, literal

LONGEST = 1 << 17
"""Octets of a script that is read."""

_TOKEN = re.compile(
    rb"""(?P<blank>[ \t]+|\\\r?\n)
    |(?P<copy>[0-9]*[<>]&[0-9-]*|&>>?|[0-9]+>>?(?=[ \t]*/dev/))
    |(?P<output>>>|>\|?)
    |(?P<here><<-?(?!<))
    |(?P<pipe>\|(?!\|))
    |(?P<end>&&|\|\||;;?|&|\n|\r|[()])
    |(?P<input><<<|<)
    |(?P<word>(?:'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\s'"\\;|&<>()])+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_PIECE = re.compile(
    rb"""'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|\\(?P<escaped>.)|(?P<plain>[^'"\\]+)""",
    re.DOTALL,
)
_IN_DOUBLE = re.compile(rb"""\\(?P<kept>["\\$`])|\\(?P<line>\r?\n)""")
_ESCAPE = re.compile(rb"\\([nt\\])")
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"\\": b"\\"}
_MAIN_CF = "/etc/postfix/main.cf"


class _Command(NamedTuple):
    """Words without their quotes; `outputs`: path and whether it is appended to; `given`: what it
    reads from its standard input, where that is in the script.
    """

    words: list[Traced]
    outputs: list[tuple[str, bool]]
    given: Traced | None


def carried(script: Traced) -> Iterator[Carried]:
    """The texts of files that a script writes."""
    texts: dict[str, tuple[list[Traced], bool]] = {}
    for path, text, part in _written(script) if len(script.data) <= LONGEST else ():
        if path not in texts or not part:
            texts[path] = ([], part)
        texts[path][0].append(text)
    for path, (pieces, part) in texts.items():
        yield Carried(path, joined(pieces), part)


def _written(script: Traced) -> Iterator[tuple[str, Traced, bool]]:
    for command in _commands(script):
        words = [word.data.decode("utf-8", "replace") for word in command.words]
        while words and (words[0] == "sudo" or re.fullmatch(r"\w+=.*", words[0])):
            words, command = words[1:], command._replace(words=command.words[1:])
        program = words[0].rpartition("/")[2] if words else ""
        if program == "postconf":
            yield from _postconf(words, command)
            continue
        if program == "sed":
            for path, line in sed.added(command.words):
                yield path, joined((line, _line_end(line))), True
            continue
        text = _said(program, words, command)
        outputs = list(command.outputs)
        if program == "tee":
            append = "-a" in words or "--append" in words
            outputs += [(word, append) for word in words[1:] if not word.startswith("-")]
        for path, append in outputs if text else ():
            if text and path.startswith(("/", "$", ".", "{")):
                yield path, text, append


def _said(program: str, words: list[str], command: _Command) -> Traced | None:
    """What a command prints; None where that is not known."""
    if program in ("cat", "tee"):
        plain = program == "tee" or not [word for word in words[1:] if word != "-"]
        return command.given if plain else None
    if program == "echo":
        count = 1
        while count < len(words) and re.fullmatch(r"-[neE]+", words[count]):
            count += 1
        line = joined(command.words[count:], b" ") if words[count:] else None
        # Debian's sh reads escapes without -e.
        return joined((_unescaped(line), _line_end(line))) if line else None
    if program == "printf" and len(words) > 1:
        parts = command.words[2:] if "%" in words[1] else command.words[1:2]
        return joined([_unescaped(part) for part in parts], b"\n") if parts else None
    return None


def _postconf(words: list[str], command: _Command) -> Iterator[tuple[str, Traced, bool]]:
    flags = "".join(word[1:] for word in words[1:] if word.startswith("-"))
    if not set(flags) & set("MPFXd#"):
        for word in command.words[1:]:
            if b"=" in word.data and not word.data.startswith(b"-"):
                yield _MAIN_CF, joined((word, _line_end(word))), True


def _line_end(text: Traced) -> Traced:
    return literal(b"\n", text.at[len(text.data)])


def _unescaped(text: Traced) -> Traced:
    pieces = []
    done = 0
    for each in _ESCAPE.finditer(text.data):
        pieces += [text.cut(done, each.start()), literal(_ESCAPES[each[1]], text.at[each.start()])]
        done = each.end()
    return joined((*pieces, text.cut(done, len(text.data)))) if done else text


# ---- the language --------------------------------------------------------------------------------


def _commands(script: Traced) -> Iterator[_Command]:
    words: list[Traced] = []
    outputs: list[tuple[str, bool]] = []
    given: Traced | None = None
    waiting = ""
    append = False
    at = 0
    # Here-documents begin behind the line: where the next one is.
    body = 0
    while at < len(script.data):
        token = _TOKEN.match(script.data, at)
        assert token
        kind, at = token.lastgroup, token.end()
        if token[0].startswith(b"#"):
            at = _line_after(script.data, token.start()) - 1
        elif kind == "word" and waiting == "here":
            text, body = _here(script, token[0], max(body, _line_after(script.data, at)))
            given, waiting = text, ""
        elif kind == "word" and waiting:
            target = _unquoted(script.cut(*token.span())).data.decode("utf-8", "replace")
            outputs += [(target, append)] if waiting == "output" else []
            waiting = ""
        elif kind == "word":
            words.append(_unquoted(script.cut(*token.span())))
        elif kind in ("output", "here", "input"):
            waiting, append = kind, token[0] == b">>"
        elif kind in ("end", "pipe"):
            command = _Command(words, outputs, given)
            yield command
            names = [word.data.decode("utf-8", "replace") for word in words]
            through = _said(names[0].rpartition("/")[2], names, command) if names else None
            words, outputs, waiting = [], [], ""
            given = through if kind == "pipe" else None
            if token[0] == b"\n" and body > at:
                at = body
    yield _Command(words, outputs, given)


def _line_after(data: bytes, at: int) -> int:
    end = data.find(b"\n", at)
    return end + 1 if end >= 0 else len(data) + 1


def _here(script: Traced, word: bytes, start: int) -> tuple[Traced, int]:
    """The here-document that begins at `start`, and where what is behind it begins."""
    closing = word.strip(b"'\"")
    at = min(start, len(script.data))
    while at < len(script.data):
        after = _line_after(script.data, at)
        if script.data[at : after - 1].strip(b"\t\r") == closing:
            return script.cut(start, at), min(after, len(script.data))
        at = min(after, len(script.data))
    return script.cut(min(start, at), at), at


def _unquoted(word: Traced) -> Traced:
    pieces = []
    for each in _PIECE.finditer(word.data):
        kind = each.lastgroup or ""
        inner = word.cut(*each.span(kind))
        if kind == "double":
            done = 0
            for escape in _IN_DOUBLE.finditer(inner.data):
                pieces.append(inner.cut(done, escape.start()))
                done = escape.start() + 1 if escape["kept"] else escape.end()
            inner = inner.cut(done, len(inner.data))
        pieces.append(inner)
    return joined(pieces) if pieces else word
