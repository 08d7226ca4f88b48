"""Who logs in, out of a capture: mailseal beside those who look at packets for a living.

Strategy: one made capture of a million packets with 950 POP3 logins in it, as pcap and as pcapng,
read in turns from the page cache. tshark filters logins, dsniff lists them, tcpdump copies the
packets of POP3: three ways to ask the same. Each says how many logins it saw, and must see all.
Memory is the most that the process had for itself (RssAnon), of this capture and of one ten times
as large, which is made while it is read.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import traffic
from bench.process import BenchError, Used, measured
from bench.table import Table

PACKETS = 1_000_000
LOGINS = 950
LIMITS = "Limits: wall x tshark 0.025, CPU x dsniff 1, wall x tcpdump 2.5; RssAnon 100 MB."


def run(rounds: int) -> Table:
    """Raises BenchError where a peer is missing or somebody misses a login."""
    for program in ("tshark", "dsniff", "tcpdump", "editcap"):
        if not shutil.which(program):
            raise BenchError(f"no {program}: install tshark, dsniff and tcpdump")
    ours = [
        str(Path(sys.executable).with_name("mailseal")),
        "wire",
        "--no-store",
        "--format",
        "json",
    ]
    with tempfile.TemporaryDirectory() as folder:
        pcap, pcapng = Path(folder, "made.pcap"), Path(folder, "made.pcapng")
        with open(pcap, "wb", 1 << 20) as stream:
            traffic.write(stream, PACKETS, LOGINS)
        subprocess.run(["editcap", "-F", "pcapng", pcap, pcapng], check=True)
        copy = str(Path(folder, "copy.pcap"))
        turns: dict[str, Callable[[], Used]] = {
            "tshark -Y pop.request.command": lambda: _tshark(pcap),
            "dsniff -n -p": lambda: _dsniff(pcap),
            "tcpdump -w, port 110": lambda: _tcpdump(pcap, copy),
            "mailseal wire": lambda: _mailseal(ours, pcap),
            "mailseal wire, pcapng": lambda: _mailseal(ours, pcapng),
        }
        taken: dict[str, list[Used]] = {name: [] for name in turns}
        for _ in range(rounds):
            for name, turn in turns.items():
                taken[name].append(turn())
        size = pcap.stat().st_size
        small = _memory([*ours, str(pcap)], None)
        large = _memory([*ours, "-"], [str(PACKETS * 10), str(LOGINS * 10)])
    wall = {name: statistics.median(each.wall for each in used) for name, used in taken.items()}
    cpu = {name: statistics.median(each.cpu for each in used) for name, used in taken.items()}
    tshark, dsniff, tcpdump = list(turns)[:3]
    rows = {
        name: (
            wall[name], cpu[name], wall[name] / wall[tshark], cpu[name] / cpu[dsniff],
            wall[name] / wall[tcpdump],
        )
        for name in turns
    }  # fmt: skip
    return Table(
        f"{PACKETS:,} packets, {size / 1e6:.0f} MB, {LOGINS} logins, median of {rounds}",
        ("wall s", "CPU s", "x tshark", "CPU x dsniff", "x tcpdump"),
        rows,
        (
            f"mailseal's own memory at its most: {small:.1f} MB; of ten times as much, with ten "
            f"times the logins, {large:.1f} MB.",
            LIMITS,
        ),
    )


def _all(seen: int, expected: int, who: str) -> None:
    if seen != expected:
        raise BenchError(f"{who} saw {seen} logins of {expected}")


def _cpus() -> set[int]:
    return os.sched_getaffinity(0)


def _tshark(path: Path) -> Used:
    used = measured(["tshark", "-r", str(path), "-Y", "pop.request.command"], _cpus())
    # USER, PASS and QUIT of each.
    _all(len(used.output.splitlines()), LOGINS * 3, "tshark")
    return used


def _dsniff(path: Path) -> Used:
    command = ["sh", "-c", 'exec dsniff -n -p "$1" 2>&1', "sh", str(path)]
    used = measured(command, _cpus())
    _all(len(re.findall(r"USER user\d+", used.output)), LOGINS, "dsniff")
    return used


def _tcpdump(path: Path, copy: str) -> Used:
    used = measured(["tcpdump", "-r", str(path), "-w", copy, "port 110"], _cpus())
    frames = os.path.getsize(copy)
    _all(int(frames > LOGINS * traffic.PER_LOGIN * 70), 1, "tcpdump")
    return used


def _mailseal(ours: Sequence[str], path: Path) -> Used:
    used = measured([*ours, str(path)], _cpus(), expected=1)
    _all(len(json.loads(used.output)["logins"]), LOGINS, "mailseal")
    return used


def _memory(command: Sequence[str], made: Sequence[str] | None) -> float:
    """The most RssAnon of a run, in MB, looked at every few milliseconds."""
    maker = None
    if made is not None:
        maker = subprocess.Popen(
            [sys.executable, "-m", "bench.traffic", *made], stdout=subprocess.PIPE
        )
    source = maker.stdout if maker is not None else subprocess.DEVNULL
    most = 0
    try:
        with subprocess.Popen(command, stdin=source, stdout=subprocess.DEVNULL) as child:
            try:
                if maker is not None and maker.stdout is not None:
                    maker.stdout.close()
                while child.poll() is None:
                    status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii")
                    found = re.search(r"RssAnon:\s+(\d+) kB", status)
                    most = max(most, int(found.group(1)) if found else 0)
                    time.sleep(0.01)
            finally:
                child.kill()
            if child.returncode != 1:
                raise BenchError(f"mailseal wire ended with {child.returncode}")
    finally:
        if maker is not None:
            maker.kill()
            maker.wait()
    return most / 1000
