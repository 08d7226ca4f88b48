"""What others report: scanners' reports and lists of sockets, from any source, read as a stream.

Strategy: one file a format; `FORMATS` is the table. Which format it is shows in the first KiB,
never in the file's name. Every octet is hostile: memory, depth and text are bounded, and the fault
that ends the reading is one exception (`Unreadable`) that names the place and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mailseal.imports import nessus, nmap, openvas, sockets
from mailseal.imports.base import Item, Options, Reader, Unreadable, headed

HEAD = 1024
"""Octets from which the format is recognised."""


class Format(NamedTuple):
    """`mark` is found in the first KiB (as text) of every such report, and of no other's."""

    name: str
    title: str
    mark: re.Pattern[str]
    read: Reader


FORMATS: tuple[Format, ...] = (
    Format("nessus", "Nessus (.nessus)", re.compile(r"<NessusClientData_v2\b"), nessus.read),
    Format("nmap", "nmap -oX", re.compile(r"<nmaprun\b"), nmap.read),
    Format(
        "openvas",
        "OpenVAS, GVM (XML)",
        re.compile(r"<(get_reports_response|report)\b"),
        openvas.read,
    ),
    Format("sockets", "netstat -an, ss -ltn", sockets.LOOKS_LIKE, sockets.read),
)
BY_NAME = {form.name: form for form in FORMATS}


def recognise(head: bytes) -> Format | None:
    """The format of a report that begins so; None where it is none of ours."""
    text = head[:HEAD].decode(sockets.encoding_of(head), "replace")
    return next((form for form in FORMATS if form.mark.search(text)), None)


def read(chunks: Iterable[bytes], options: Options, name: str = "") -> Iterator[Item]:
    """What a report says, as it is read; `name` of a format spares the recognition. Raises
    Unreadable, after all that stood before the fault.
    """
    head, whole = headed(chunks, HEAD)
    if not head:
        raise Unreadable("the whole file", "it is empty", "export the report again")
    form = BY_NAME[name] if name else recognise(head)
    if form is None:
        known = ", ".join(form.title for form in FORMATS)
        advice = f"these are known: {known}; or name the format with --from"
        raise Unreadable("the first KiB", "no known report begins so", advice)
    yield from form.read(whole, options)
