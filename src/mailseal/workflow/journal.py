"""The results of an interrupted scan, taken up again: its NDJSON file is the journal.

Strategy: each result is one line and stands there whole as soon as it is known, so what has a line
is done. A last line without its end was cut off, and is dropped: its endpoint was in flight. Only
what is needed to go on is kept: a number for each endpoint, and the counts.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from mailseal.model.codec import VERSION
from mailseal.model.finding import Severity, Verdict
from mailseal.model.look import Endpoint
from mailseal.report.result import SEVERITIES
from mailseal.workflow import BadInput, seen

LINE = 1 << 24
"""Octets of a record; ours stay far below."""


@dataclass
class Earlier:
    """What was answered before. `worst` is the severest finding. `keys` are of `seen.key`."""

    keys: seen.Keys = field(default_factory=seen.Keys)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    worst: Severity | None = None


def take_up(stream: BinaryIO, name: str, site: str, asked_name: str = "") -> Earlier:
    """Reads the journal `name`, open for reading and writing, drops a torn last line, and leaves
    the position at its end. `asked_name` is the name that certificates had to fit, where one was
    given for all. Raises BadInput where a line is no result.
    """
    earlier = Earlier()
    number = end = 0
    stream.seek(0)
    while line := stream.readline(LINE):
        number += 1
        if not line.endswith(b"\n"):
            if len(line) == LINE:
                raise _no_record(name, number)
            break
        end += len(line)
        try:
            _note(earlier, json.loads(line), site, asked_name)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise _no_record(name, number) from None
    stream.truncate(end)
    stream.seek(end)
    return earlier


def _no_record(name: str, number: int) -> BadInput:
    return BadInput(
        f"{name}, line {number}: no result of a scan by this version; "
        "--resume goes on with the file that --format ndjson -o wrote"
    )


def _note(earlier: Earlier, record: Any, site: str, asked_name: str) -> None:
    if record["type"] != "ScanResult" or record["version"] != VERSION:
        raise ValueError
    verdict = Verdict(record["verdict"])
    endpoint, asked = record["endpoint"], str(record["asked"])
    if endpoint is None:
        earlier.keys.add(seen.key(None, asked))
    elif endpoint["site"] == site:
        place = Endpoint(endpoint["address"], endpoint["port"], site)
        name = asked_name or ("" if asked == place.address else asked)
        earlier.keys.add(seen.key(place, name))
    earlier.verdicts[verdict] += 1
    for finding in record["findings"]:
        severity = Severity(finding["severity"])
        if earlier.worst is None or SEVERITIES.index(severity) > SEVERITIES.index(earlier.worst):
            earlier.worst = severity
