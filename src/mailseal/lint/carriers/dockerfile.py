"""Dockerfiles: what RUN writes and COPY brings, and the ports that EXPOSE names.

After the Dockerfile reference: an instruction goes on in the next line behind a backslash, comment
lines in between are none of it; RUN, COPY and ADD take here-documents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from mailseal.configs import text
from mailseal.configs.text import Span
from mailseal.lint.carriers import shell
from mailseal.lint.carriers.base import Carried, Carrier, Port, Taken
from mailseal.lint.traced import Lines, Traced, joined, whole

_INSTRUCTION = re.compile(rb"[ \t]*([A-Za-z]+)[ \t]+")
_HERE = re.compile(rb"<<(-?)([\"']?)(\w+)\2(?![<\w])")
_FLAGS = re.compile(r"(--\S+\s+)+")
_PORT = re.compile(rb"(?<!\S)(\d{1,5})(?:-(\d{1,5}))?(?:/tcp)?(?!\S)", re.IGNORECASE)


def read(data: bytes) -> Carrier:
    """What a Dockerfile carries; never raises."""
    lines, rest = text.split_lines(data)
    ports: list[Port] = []
    carried: list[Carried] = []
    taken: list[Taken] = []
    file, places = whole(data), Lines(data)
    for name, words, bodies in _instructions(file, lines):
        if name == b"EXPOSE":
            ports += _exposed(words, places)
        elif name == b"RUN":
            carried += shell.carried(words)
        elif name in (b"COPY", b"ADD"):
            arguments = _arguments(words.data)
            for body in bodies[:1]:
                carried += [Carried(arguments[-1], body, False)] if arguments else []
            taken += _copied(arguments) if not bodies else ()
    return Carrier(tuple(ports), tuple(carried), tuple(taken), tuple(rest))


def _instructions(
    file: Traced, lines: list[text.Line]
) -> Iterator[tuple[bytes, Traced, list[Traced]]]:
    """Name, what stands behind it, and the here-documents, which RUN has among its words."""
    at = 0
    while at < len(lines):
        first = _INSTRUCTION.match(lines[at].text)
        if first is None:
            at += 1
            continue
        start, pieces = lines[at].start + first.end(), []
        closing = []
        while at < len(lines):
            line = lines[at]
            at += 1
            if line.text.lstrip().startswith(b"#"):
                continue
            pieces.append(file.cut(max(start, line.start), line.end))
            closing += [each[3] for each in _HERE.finditer(line.text)]
            if not line.text.rstrip().endswith(b"\\"):
                break
        words = joined(pieces)
        bodies = []
        name = first[1].upper()
        for word in closing if name in (b"RUN", b"COPY", b"ADD") else ():
            begin = at
            while at < len(lines) and lines[at].text.strip(b"\t\r") != word:
                at += 1
            if at < len(lines):
                end = lines[at].start
                bodies.append(file.cut(lines[begin].start, end))
                if name == b"RUN":
                    words = joined((words, file.cut(lines[begin].start, lines[at].end)))
            at += 1
        yield name, words, bodies


def _exposed(words: Traced, places: Lines) -> Iterator[Port]:
    for each in _PORT.finditer(words.data.replace(b"\\\n", b" \n")):
        first, last = int(each[1]), int(each[2] or each[1])
        start, end = words.at[each.start()], words.at[each.end()]
        place = Span(*places.place(start), start, end)
        yield Port(place, f"EXPOSE {each[0].decode()}", "", range(first, last + 1))


def _arguments(words: bytes) -> list[str]:
    """Of COPY and ADD, without flags; none for what another stage has."""
    shown = words.decode("utf-8", "replace").replace("\\\n", " ").strip()
    if "--from=" in shown:
        return []
    shown = _FLAGS.sub("", shown, count=1) if shown.startswith("--") else shown
    if shown.startswith("["):
        try:
            found = json.loads(shown)
        except (ValueError, RecursionError):
            return []
        return [each for each in found if isinstance(each, str)]
    return [each.strip("\"'") for each in shown.split()]


def _copied(arguments: list[str]) -> Iterator[Taken]:
    *sources, target = arguments or [""]
    for source in sources:
        if not any(sign in source for sign in "*?$:"):
            folder = target.endswith("/") or len(sources) > 1
            name = source.rstrip("/").rpartition("/")[2]
            path = f"{target.rstrip('/')}/{name}" if folder else target
            yield Taken((source.lstrip("/"),), path)
