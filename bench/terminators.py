"""Logins through TLS: the stunnel of a wrap, stunnel as the distribution's sample has it, HAProxy.

Strategy: each terminator stands alone, on a processor of its own, before the same backend, with the
same certificate (ECDSA P-256, as a wrap's private CA makes it), and they take turns. The client is
on the other processor with the backend. Logins are whole: handshake (never resumed), greeting,
HELO, QUIT, the end; each is counted, and the processor time is the kernel's figure. Connections a
second are of `openssl s_time`, two at a time, which only shake hands. Nobody logs to syslog: where
none runs, the C library writes each line to the console, and that would be what is measured. The
unit of a wrap has a filter of system calls besides, which needs a booted host.
"""

import contextlib
import itertools
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.process import BenchError, compiled, pin, running
from bench.table import Table
from mailseal.terminators import stunnel

LOGINS = 1500
SECONDS = 3
NAME = "mail.example"
_SAMPLE = Path("/usr/share/doc/stunnel4/examples/stunnel.conf-sample")
_HAPROXY = Path("/etc/haproxy/haproxy.cfg")
_HERE = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK")
_HELLO = b"+ POP2 bench "


class Terminator(NamedTuple):
    """The command that serves a configuration, and the configuration for two ports."""

    command: Callable[[str], list[str]]
    config: Callable[[int, str, Path], str]


def run(rounds: int) -> Table:
    """Raises BenchError where a terminator is missing, does not start or loses a login."""
    cpus = sorted(os.sched_getaffinity(0))
    apart, theirs = {cpus[-1]}, set(cpus[:-1]) or {cpus[0]}
    rates: dict[str, list[float]] = {name: [] for name in TERMINATORS}
    costs: dict[str, list[float]] = {name: [] for name in TERMINATORS}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        both = _certificate(work)
        client = ssl.create_default_context(cafile=str(both))
        os.sched_setaffinity(0, theirs)
        try:
            with running([compiled(_HERE / "server.c", work), "pop2"], theirs) as backend:
                for _, (name, terminator) in itertools.product(range(rounds), TERMINATORS.items()):
                    with _serving(terminator, backend, both, work, apart) as (port, pid):
                        rates[name].append(_rate(port, both))
                        costs[name].append(_cost(port, pid, client))
        finally:
            os.sched_setaffinity(0, cpus)
    ours = next(iter(TERMINATORS))
    rate, cost = statistics.median(rates[ours]), statistics.median(costs[ours])
    return Table(
        f"TLS in front of POP2, one processor each, median of {rounds}",
        ("connections/s", "CPU us/login", "x ours, rate", "x ours, CPU"),
        {
            name: (
                statistics.median(rates[name]),
                statistics.median(costs[name]) * 1e6,
                statistics.median(rates[name]) / rate,
                statistics.median(costs[name]) / cost,
            )
            for name in TERMINATORS
        },
        (
            f"connections: openssl s_time -new, two at a time, {SECONDS} s; logins: {LOGINS}, one "
            "after the other, full handshakes (TLS 1.3, ECDSA P-256)",
        ),
    )


def _ours(port: int, backend: str, both: Path) -> str:
    made = stunnel.config(
        "pop2", [f"127.0.0.1:{port}"], f"127.0.0.1:{backend}", str(both), str(both)
    )
    return made.decode()


def _sample(port: int, backend: str, both: Path) -> str:
    """The sample's own server section, its comment signs taken away, in the foreground."""
    text = _SAMPLE.read_text(encoding="utf-8-sig")
    found = re.search(r"(?m)^;\[pop3s\]\n(?:;.+\n)+", text)
    if found is None:
        raise BenchError(f"{_SAMPLE} has no section for POP3 any more")
    section = re.sub(r"(?m)^;", "", found[0])
    for key, value in (("accept", port), ("connect", backend), ("cert", both)):
        section = re.sub(rf"(?m)^{key} *=.*$", f"{key} = {value}", section)
    return f"foreground = yes\npid =\nsyslog = no\n{section}"


def _haproxy(port: int, backend: str, both: Path) -> str:
    """The distribution's own settings for TLS, and one service."""
    settings = [
        line for line in _HAPROXY.read_text().splitlines() if line.strip().startswith("ssl-default")
    ]
    return "\n".join(
        (
            "global",
            *settings,
            "defaults",
            "  mode tcp",
            "  timeout connect 5s",
            "  timeout client 60s",
            "  timeout server 60s",
            "frontend pop2",
            f"  bind 127.0.0.1:{port} ssl crt {both}",
            "  default_backend pop2",
            "backend pop2",
            f"  server one 127.0.0.1:{backend}",
            "",
        )
    )


def _stunnel(config: str) -> list[str]:
    return [stunnel.DEBIAN.program, config]


TERMINATORS = {
    "stunnel, as mailseal sets it": Terminator(_stunnel, _ours),
    "stunnel, the sample's settings": Terminator(_stunnel, _sample),
    "HAProxy": Terminator(lambda config: ["haproxy", "-db", "-f", config], _haproxy),
}


@contextlib.contextmanager
def _serving(
    terminator: Terminator, backend: str, both: Path, work: Path, cpus: set[int]
) -> Iterator[tuple[int, int]]:
    """A terminator that answers; gives its port and process."""
    port = _free_port()
    config = work / "terminator.conf"
    config.write_text(terminator.config(port, backend, both))
    command = terminator.command(str(config))
    if not shutil.which(command[0]):
        raise BenchError(f"{command[0]} is a peer of this bench: script/bootstrap bench")
    with (
        open(work / "terminator.log", "wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=pin(cpus)) as child,
    ):
        try:
            _wait(port, child, work / "terminator.log")
            yield port, child.pid
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def _wait(port: int, child: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if child.poll() is not None:
            break
        time.sleep(0.05)
    raise BenchError(f"{child.args!r} does not listen: {log.read_text(errors='replace')[-500:]}")


def _free_port() -> int:
    with socket.socket() as drawn:
        drawn.bind(("127.0.0.1", 0))
        port: int = drawn.getsockname()[1]
    return port


def _rate(port: int, both: Path) -> float:
    """Connections a second, as two clients count them."""
    command = ["openssl", "s_time", "-new", "-connect", f"127.0.0.1:{port}"]
    command += ["-CAfile", str(both), "-time", str(SECONDS)]
    clients = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    total = 0.0
    for client in clients:
        said, _ = client.communicate(timeout=60)
        found = re.search(r"(\d+) connections in (\d+) real seconds", said)
        if not found or not int(found[1]):
            raise BenchError(f"openssl s_time had no connection: {said[-300:]}")
        total += int(found[1]) / int(found[2])
    return total


def _cost(port: int, pid: int, client: ssl.SSLContext) -> float:
    """Seconds of the terminator's processor a login."""
    before = _used(pid)
    for number in range(LOGINS):
        with (
            socket.create_connection(("127.0.0.1", port), 10) as raw,
            client.wrap_socket(raw, server_hostname=NAME) as wire,
            wire.makefile("rwb", buffering=0) as lines,
        ):
            hello = lines.readline()
            lines.write(b"HELO user%d secret\r\n" % number)
            answer = lines.readline()
            lines.write(b"QUIT\r\n")
            if not hello.startswith(_HELLO) or not answer.startswith(b"- ") or not lines.readline():
                raise BenchError(f"login {number} was not answered: {hello!r} {answer!r}")
    return (_used(pid) - before) / LOGINS


def _used(pid: int) -> float:
    """Seconds of processor of a process, user and system: proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _certificate(work: Path) -> Path:
    """Key and certificate in one file."""
    key, both = work / "key.pem", work / "both.pem"
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"),
            *("-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(key)),
        ],
        capture_output=True,
        check=True,
    )
    both.touch(0o600)
    both.write_bytes(made.stdout + key.read_bytes())
    return both
