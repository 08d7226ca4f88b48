"""Seconds from `apply` to proven, by strategy, and back again: on booted hosts, from another one.

Strategy: a mail host of the lab for each way that a service is run, and a desk that changes it over
SSH and proves it from there, as an administrator would (Dovecot's is changed on the host itself, by
looks of its own). The plan is made before; what is timed is
`mailseal apply` to its end, proofs included, then `mailseal rollback`, which proves the old state.
stunnel's package is there beforehand: how long apt takes is the mirror's figure. Meanwhile a client
knocks at the port again and again; the last column is the longest time between two connections that
were taken.
"""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from bench.process import BenchError
from bench.table import Table
from lab import Client, Host, Lab, LabError, Network, missing
from lab.daemons import DAEMONS, install
from tests.lab.story import PROGRAM, ROOT, Ran, desk_of, install_stunnel, mailseal

_EVERY = 0.2
"""Seconds between two connections of who knocks at the port. At 0.05 Dovecot drops some, its queue
of logins being full, and a look among them fails the proof.
"""


class Way(NamedTuple):
    """How the service is run, and the options of the plan."""

    starter: str
    port: int
    options: tuple[str, ...]


WAYS = {
    "wrap, inetd": Way("inetd", 109, ("--strategy", "wrap")),
    "wrap, a daemon of its own": Way("standalone", 109, ("--strategy", "wrap")),
    "offer, inetd": Way("inetd", 109, ("--strategy", "wrap", "--stage", "offer")),
    "offer, a gateway": Way("inetd", 109, ("--strategy", "gateway", "--stage", "offer")),
    "retire, inetd": Way("inetd", 109, ("--strategy", "retire")),
    "native, Dovecot": Way("dovecot-2.3", 110, ("--strategy", "native")),
}


def run(rounds: int) -> Table:
    """Raises BenchError where there is no lab here, or a change is not proven."""
    if missing():
        raise BenchError("no lab here: " + "; ".join(missing()))
    rows = {}
    for name, way in WAYS.items():
        try:
            with Lab() as lab:
                turns = _turns(lab, way, rounds)
        except LabError as error:
            raise BenchError(str(error)) from None
        rows[name] = tuple(statistics.median(each) for each in zip(*turns, strict=True))
    return Table(
        f"Sealing a booted host, seconds, median of {rounds}",
        ("apply to proven", "rollback to proven", "nobody there"),
        rows,
        (
            f"nobody there: between two connections that were taken, one tried every "
            f"{_EVERY * 1000:.0f} ms while applying; that retire ends the service does not count.",
        ),
    )


def _turns(lab: Lab, way: Way, rounds: int) -> list[tuple[float, float, float]]:
    net = lab.network()
    mail = changed = _mail_host(lab, net, way)
    client = lab.client(net, "client")
    options = way.options
    if "gateway" in options:
        changed = _host(lab, net, "gateway")
        options += ("--backend", f"{mail.ipv4}:{way.port}", "--trust-leg", "a network of its own")
    if "retire" not in options and "native" not in options:
        install_stunnel(changed)
    # Hosts with a daemon of Debian's have no ssh: they are changed where they stand.
    home, on = changed, tuple[str, ...]()
    target: tuple[str, ...] = (f"{mail.ipv4}:{way.port}",)
    if way.starter not in DAEMONS:
        home, target = desk_of(lab, net, changed), ("ssh://mailhost", "--port", str(way.port))
        on = ("--on", "ssh://mailhost")
    turns = []
    for _ in range(rounds):
        _done(mailseal(home, "plan", *target, *options, "-o", "p", "--overwrite"))
        with _knocking(client, mail.ipv4, way.port) as knocking:
            applied = _timed(home, "apply", "p", *on, "--yes")
            longest, _ = knocking.communicate(b"\n", timeout=10)
        turns.append((applied, _timed(home, "rollback", *on), float(longest)))
    return turns


def _mail_host(lab: Lab, net: Network, way: Way) -> Host:
    daemon = DAEMONS.get(way.starter)
    mail = _host(lab, net, "mailhost", daemon.system if daemon else "bookworm")
    if daemon:
        install(mail, daemon, "permitted", ("192.0.2.99", "2001:db8:1::99"))
        return mail
    mail.install_pop2d(way.starter, "--bad-login-delay 0")
    if way.starter == "inetd":
        # It would end a service that starts more than 256 times a minute (inetd(8)).
        mail.run(["sed", "-i", "s/nowait/nowait.6000/", "/etc/inetd.conf"])
        mail.run(["systemctl", "restart", "inetd"])
        mail.wait_listening(109)
    return mail


def _host(lab: Lab, net: Network, name: str, system: str = "bookworm") -> Host:
    host = lab.host(name, system=system, network=net, binds={ROOT: "/srv/mailseal"})
    host.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    return host


@contextlib.contextmanager
def _knocking(client: Client, address: str, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    argv = [sys.executable, "-I", "-c", _KNOCK, address, str(port), str(_EVERY)]
    with client.popen(argv) as child:
        try:
            yield child
        finally:
            child.kill()


_KNOCK = """
import select, socket, sys, time
last, longest = None, 0.0
while not select.select([0], [], [], float(sys.argv[3]))[0]:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
    except OSError:
        continue
    now = time.monotonic()
    longest, last = max(longest, now - (last or now)), now
print(longest)
"""


def _timed(home: Host, *words: str) -> float:
    started = time.monotonic()
    _done(mailseal(home, *words, timeout=300))
    return time.monotonic() - started


def _done(ran: Ran) -> None:
    if ran.code:
        raise BenchError(f"mailseal ended with {ran.code}: {ran.said[-1000:]}")
