"""Megabytes of a Nessus report a second: mailseal's reader beside what reads XML in Python at all.

Strategy: one generated report, shaped as the scanner writes it (most items of no interest, with
long descriptions), read in turns from the page cache by one processor. The floor is expat with no
handler; with two empty handlers it shows what calling Python costs for each element; iterparse is
what is written first. Each contestant says how many findings it saw, and must see all.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from bench.process import BenchError
from bench.table import Table
from mailseal import imports
from mailseal.imports.base import Options

SIZE = 50_000_000
CHUNK = 1 << 16
_EVERY = 50
"""One item in so many is a finding."""

_ITEM = """<ReportItem port="{port}" svc_name="x" protocol="tcp" severity="2" pluginID="{plugin}" \
pluginName="{name}" pluginFamily="Misc.">
<cvss3_base_score>5.3</cvss3_base_score>
<description>{prose}</description>
<fname>check.nasl</fname>
<plugin_modification_date>2026/01/07</plugin_modification_date>
<plugin_type>remote</plugin_type>
<risk_factor>Medium</risk_factor>
<see_also>https://mail.example/1
https://mail.example/2</see_also>
<solution>{prose}</solution>
<synopsis>The remote service does something.</synopsis>
<plugin_output>
{prose}
</plugin_output>
</ReportItem>
"""
_PROSE = "The remote host does something that somebody else may find of interest. " * 6


def run(rounds: int) -> Table:
    """Raises BenchError where a reader misses a finding."""
    readers: dict[str, Callable[[Path], int | None]] = {
        "expat alone": lambda path: _expat(path, False),
        "expat, empty handlers": lambda path: _expat(path, True),
        "ElementTree.iterparse": _iterparse,
        "mailseal": _mailseal,
    }
    turns: dict[str, list[float]] = {name: [] for name in readers}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "made.nessus")
        findings = _write(path)
        size = path.stat().st_size
        for _ in range(rounds):
            for name, reader in readers.items():
                started = time.process_time()
                seen = reader(path)
                turns[name].append(size / 1e6 / (time.process_time() - started))
                if seen not in (None, findings):
                    raise BenchError(f"{name} saw {seen} findings of {findings}")
    rates = {name: statistics.median(each) for name, each in turns.items()}
    return Table(
        f"A Nessus report of {size / 1e6:.0f} MB read by one processor, median of {rounds}",
        ("MB/s", "x floor"),
        {name: (rate, rate / rates["expat alone"]) for name, rate in rates.items()},
        (f"{findings} findings, one in {_EVERY} items; expat {expat.EXPAT_VERSION[6:]}.",),
    )


def _write(path: Path) -> int:
    """Writes the report; how many findings it has."""
    findings = written = 0
    with open(path, "w", encoding="utf-8") as stream:
        written += stream.write('<?xml version="1.0" ?>\n<NessusClientData_v2><Report name="x">\n')
        host = 0
        while written < SIZE:
            host += 1
            address = f"2001:db8::{host:x}"
            head = f'<ReportHost name="{address}"><HostProperties>'
            head += f'<tag name="host-ip">{address}</tag></HostProperties>\n'
            written += stream.write(head)
            for number in range(_EVERY):
                telling = number == 0
                findings += telling
                plugin, name = (
                    ("15855", "POP3 Cleartext Logins Permitted")
                    if telling
                    else (str(20000 + number), "Something Else")
                )
                written += stream.write(
                    _ITEM.format(port=110, plugin=plugin, name=name, prose=_PROSE)
                )
            written += stream.write("</ReportHost>\n")
        stream.write("</Report></NessusClientData_v2>\n")
        os.fsync(stream.fileno())
    return findings


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _expat(path: Path, handlers: bool) -> None:
    parser = expat.ParserCreate()
    if handlers:
        parser.StartElementHandler = lambda name, attributes: None
        parser.EndElementHandler = lambda name: None
    for chunk in _chunks(path):
        parser.Parse(chunk, False)
    parser.Parse(b"", True)


def _iterparse(path: Path) -> int:
    findings = 0
    for _, element in ElementTree.iterparse(path):
        if element.tag == "ReportItem":
            findings += int(element.get("pluginID") == "15855")
        if element.tag == "ReportHost":
            element.clear()
    return findings


def _mailseal(path: Path) -> int:
    return sum(1 for _ in imports.read(_chunks(path), Options()))
