"""Where a line of a log has its moment, host, program and message, in every form that logs have.

Strategy: one pattern for the forms of syslog (RFC 3164, with or without priority; an RFC 3339
moment in its place, as rsyslog and journalctl write it), one each for RFC 5424 and for the files
that a daemon writes itself, and two readers for what journald exports. A moment is kept as it
stands and worked out where somebody asks: few of them matter.
"""

from __future__ import annotations

import datetime
import json
import re
from typing import NamedTuple

EXPORT = b"__CURSOR="
"""How journald's export format begins (https://systemd.io/JOURNAL_EXPORT_FORMATS)."""

NUMBERS = (b'"MESSAGE":[', b'"MESSAGE" : [')
"""In `journalctl -o json`: a message that is no text, octet by octet (newer releases, older)."""

_SYSLOG = re.compile(
    rb"""(?:<\d{1,3}>)?
    ( [A-Z][a-z]{2}\ [\ \d]\d\ \d\d:\d\d:\d\d(?:\.\d{1,6})?
    | \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)? )[ ]
    # A host never ends with a colon, a program always does. FreeBSD and Solaris add a word.
    (?:([^\s]*[^\s:])\ )?(?:<\w+\.\w+>\ )?([^ \t-\r:\[(]+)(?:\(\w+\))?(?:\[(\d+)\])?:[ ]
    (?:\[ID\ \d+\ [\w.]+\]\ )?""",
    re.VERBOSE,
)
"""Moment, host, program, process id; then the message."""
_RFC5424 = re.compile(
    rb"""<\d{1,3}>1\ (\S+)\ (\S+)\ (\S+)\ (\S+)\ \S+
    \ (?:-|(?:\[(?:[^\]\\]|\\.)*\])+)\ ?(?:\xef\xbb\xbf)?""",
    re.VERBOSE,
)
_OWN = (
    # Exim's main log, where nothing but Exim writes; stunnel's `output`.
    (
        re.compile(rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: [+-]\d{4})?) (?:\[(\d+)\] )?"),
        b"exim",
    ),
    (re.compile(rb"(\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d) ()"), b"stunnel"),
)
_REPEATED = re.compile(rb"message repeated (\d{1,9}) times: \[ ?(.*)\]\Z", re.DOTALL)


class Message(NamedTuple):
    """Who wrote a message, and when, as it stands there."""

    stamp: bytes
    host: bytes
    program: bytes
    pid: bytes


Found = tuple[Message, bytes, int, int]
"""A Message; then `data, at, end`: its text is `data[at:end]`."""


def message(data: bytes, start: int, end: int) -> Found | None:
    """What stands in a line; None where its form is not known."""
    found = _SYSLOG.match(data, start, end)
    if found:
        # As Message(...) makes it, in a third of the time: this is done for each line.
        return tuple.__new__(Message, found.groups(b"")), data, found.end(), end
    if data.startswith(b"{", start, end):
        return _json(data[start:end])
    found = _RFC5424.match(data, start, end)
    if found:
        stamp, host, program, pid = (b"" if each == b"-" else each for each in found.groups())
        return Message(stamp, host, program, pid), data, found.end(), end
    for pattern, program in _OWN:
        found = pattern.match(data, start, end)
        if found:
            return Message(found[1], b"", program, found[2] or b""), data, found.end(), end
    return None


def repeated(data: bytes, at: int, end: int) -> tuple[int, bytes] | None:
    """How often, and the message, where rsyslog folded several into one line."""
    found = _REPEATED.match(data, at, end)
    return (int(found[1]), found[2]) if found else None


_FIELDS = (
    *("MESSAGE", "__REALTIME_TIMESTAMP", "_HOSTNAME"),
    *("SYSLOG_IDENTIFIER", "_COMM", "SYSLOG_PID", "_PID"),
)


def _json(line: bytes) -> Found | None:
    """A line of `journalctl -o json`."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    return _entry({name: _octets(entry.get(name)) for name in _FIELDS})


def _octets(value: object) -> bytes:
    """A field's value: text, or numbers where it is none."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, list) and all(type(each) is int and 0 <= each < 256 for each in value):
        return bytes(value)
    return b""


def export(data: bytes, start: int, end: int) -> Found | None:
    """An entry of `journalctl -o export`: lines NAME=value; or NAME, then the value's length in
    eight octets, the value, and a line end.
    """
    fields = dict.fromkeys(_FIELDS, b"")
    while start < end:
        stop = data.find(b"\n", start, end)
        stop = end if stop < 0 else stop
        name, equals, value = data[start:stop].partition(b"=")
        if not equals:
            size = int.from_bytes(data[stop + 1 : stop + 9], "little")
            value = data[stop + 9 : min(stop + 9 + size, end)]
            stop = stop + 9 + size
        known = name.decode("ascii", "replace")
        if known in fields:
            fields[known] = value
        start = stop + 1
    return _entry(fields)


def _entry(fields: dict[str, bytes]) -> Found | None:
    text, stamp = fields["MESSAGE"], fields["__REALTIME_TIMESTAMP"]
    if not text or not stamp.isdigit():
        return None
    program = fields["SYSLOG_IDENTIFIER"] or fields["_COMM"]
    pid = fields["SYSLOG_PID"] or fields["_PID"]
    return Message(stamp, fields["_HOSTNAME"], program, pid), text, 0, len(text)


_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class Times:
    """Moments as seconds since the epoch. `zone` is that of moments without one (None: this
    machine's). Moments without a year have the newest that does not lie behind `reference`, so a
    log that runs over New Year is read right if it spans less than a year.
    """

    SLACK = 86400.0
    """Seconds that a log's clock may be ahead."""
    KEPT = 4096
    """Moments that are remembered: lines of one second follow each other."""

    def __init__(self, zone: datetime.tzinfo | None, reference: float) -> None:
        self._zone = zone
        self._reference = reference + self.SLACK
        self._known: dict[bytes, float] = {}

    def seconds(self, stamp: bytes) -> float | None:
        """None for what is no moment."""
        known = self._known.get(stamp)
        if known is None:
            try:
                known = self._seconds(stamp.decode("ascii"))
            except (ValueError, OverflowError, OSError):
                return None
            if len(self._known) >= self.KEPT:
                self._known.clear()
            self._known[stamp] = known
        return known

    def _seconds(self, text: str) -> float:
        if text.isdigit():
            return int(text[:18]) / 1e6
        if text[4:5] == "-":
            return self._zoned(datetime.datetime.fromisoformat(_iso(text)))
        if text[4:5] == ".":
            return self._zoned(datetime.datetime.fromisoformat(text.replace(".", "-")))
        return self._yearless(text)

    def _yearless(self, text: str) -> float:
        month = _MONTHS.index(text[:3]) + 1
        rest = f"{month:02}-{int(text[4:6]):02} {text[7:]}"
        year = datetime.datetime.fromtimestamp(self._reference, datetime.UTC).year + 1
        # The 29th of February is in one year of eight at the least.
        for back in range(10):
            try:
                moment = self._zoned(datetime.datetime.fromisoformat(f"{year - back}-{rest}"))
            except ValueError:
                continue
            if moment <= self._reference:
                return moment
        raise ValueError(text)

    def _zoned(self, moment: datetime.datetime) -> float:
        if moment.tzinfo is None and self._zone is not None:
            moment = moment.replace(tzinfo=self._zone)
        return moment.timestamp()


def _iso(text: str) -> str:
    """As `fromisoformat` takes it: Exim has a blank before the zone."""
    return text[:19] + text[19:].replace(" ", "").replace(",", ".")
