"""Lists of sockets from other hosts: `netstat -an`, `netstat -ano` (Windows), `ss -ltnp`.

Strategy: a table of line dialects, told by shape and not by words, because Windows translates its
own. A socket listens where its remote end is the wildcard. A list says that something listens, and
no more. What listens on every address needs the host's own (`--host`), which no list tells; what
only the host itself or its link reaches is left out, and counted.
"""

from __future__ import annotations

import codecs
import ipaddress
import re
from collections.abc import Iterable, Iterator

from mailseal.imports.base import (
    Item,
    LeftOut,
    Options,
    Unreadable,
    address_of,
    headed,
    port_of,
    words,
)
from mailseal.model.look import Endpoint
from mailseal.model.reported import Claimed, Reported

LINE = 4096
"""Characters of a line. `ss -p` names every process that shares a socket."""

_DIALECTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (source, re.compile(pattern))
    for source, pattern in (
        # LISTEN 0 128 0.0.0.0:110 0.0.0.0:* users:(("x",pid=1,fd=4)); with -a or more the netid.
        ("ss", r"(?:tcp\s+)?LISTEN\s+\d+\s+\d+\s+(\S+)\s+\S+:\*(?:\s|$)"),
        # tcp 0 0 0.0.0.0:110 0.0.0.0:* LISTEN (Linux); tcp4 0 0 *.110 *.* LISTEN (BSD, macOS, AIX)
        ("netstat", r"tcp\w*\s+\d+\s+\d+\s+(\S+)\s+(?:\S+:\*|\*\.\*)(?:\s|$)"),
        # TCP 0.0.0.0:110 0.0.0.0:0 LISTENING 1234 (Windows)
        ("netstat", r"TCP\s+(\S+)\s+(?:0\.0\.0\.0|\[::\]):0(?:\s|$)"),
        # *.110 *.* 0 0 49152 0 LISTEN (Solaris)
        ("netstat", r"(\S+)\s+\*\.\*\s+\d+\s+\d+\s+\d+\s+\d+\s+LISTEN(?:\s|$)"),
    )
)
_LOCAL = re.compile(r"\[?([^\[\]]*?)\]?[.:]([^.:]+)\Z")
_WILDCARDS = ("*", "0.0.0.0", "::")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # What PowerShell writes behind ">".
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LOOKS_LIKE = re.compile(
    r"^\s*(?:(?:tcp|udp)\w*\s+\S|listen\s+\d|netid\b|state\s+recv-q|proto\s+recv-q|local address)",
    re.I | re.M,
)
"""A line of a list, or the head of one."""


def encoding_of(head: bytes) -> str:
    """The encoding by its mark; else Latin-1, which reads every octet: only ASCII matters."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), "latin-1")


def read(chunks: Iterable[bytes], options: Options) -> Iterator[Item]:
    """The listening TCP sockets on `options.ports`. Raises Unreadable."""
    seen = False
    for number, line in _lines(chunks):
        seen = seen or LOOKS_LIKE.search(line) is not None
        for source, pattern in _DIALECTS:
            if match := pattern.match(line.strip()):
                seen = True
                yield from _socket(source, match[1], line, number, options)
                break
    if not seen:
        what = "nothing in it looks like a list of sockets"
        raise Unreadable("the whole file", what, "give the output of netstat -an or ss -ltn")


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """Lines without their ends, counted from 1. Raises Unreadable for one beyond bounds."""
    head, chunks = headed(chunks, len(codecs.BOM_UTF8))
    decoder = codecs.getincrementaldecoder(encoding_of(head))("replace")
    number, held = 1, ""
    for chunk in chunks:
        for start in range(0, len(chunk), 1 << 16):
            *whole, held = (held + decoder.decode(chunk[start : start + (1 << 16)])).split("\n")
            for line in whole:
                yield number, line[:LINE]
                number += 1
            if len(held) > LINE:
                what = f"a line of more than {LINE} characters"
                raise Unreadable(f"line {number}", what, "this is no list of sockets")
    yield number, held


def _socket(source: str, local: str, line: str, number: int, options: Options) -> Iterator[Item]:
    match = _LOCAL.match(local)
    if match is None or match[2] == "*":
        return
    bound, port = match[1].partition("%")[0], port_of(match[2])
    if port is None:
        what = f"names in place of numbers ({words(local, 60)})"
        raise Unreadable(f"line {number}", what, "take the list again with the option -n")
    if port not in options.ports:
        return
    if bound in _WILDCARDS:
        # "::" takes IPv4 as well wherever the host says no more about it.
        every = [host for host in options.hosts if bound != "0.0.0.0" or ":" not in host]
        if not every:
            family = "an IPv4" if bound == "0.0.0.0" else "an"
            raise Unreadable(
                f"line {number}",
                f"port {port} listens on every address, and the list does not say which they are",
                f"name {family} address of that host: --host ADDRESS",
            )
        yield from (_reported(source, host, port, line, options) for host in every)
        return
    address = address_of(bound)
    if address is None:
        what = f"{words(local, 60)} in line {number}"
        yield LeftOut(what, "no whole address (netstat cuts long ones: add -W)", claim=False)
        return
    reach = ipaddress.ip_address(address)
    if reach.is_loopback:
        yield LeftOut(words(local, 60), "listens for the host itself alone", claim=False)
    elif reach.is_link_local:
        yield LeftOut(words(local, 60), "listens for its own link alone", claim=False)
    else:
        yield _reported(source, address, port, line, options)


def _reported(source: str, address: str, port: int, line: str, options: Options) -> Reported:
    return Reported(
        Endpoint(address, port, options.site),
        source=source,
        check="",
        title="listening socket",
        says=Claimed.LISTENS,
        text=words(line),
    )
