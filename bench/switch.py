"""Seconds without service while a service is switched from cleartext to TLS: `mailseal apply`
beside the plain way, stop - edit - start, as an administrator would do it by hand.

Strategy: a booted host serves POP2 by inetd; a client on the network connects every two
milliseconds, before, during and after. What counts is the time from its last connection that came
about before the first refused one, to the first that came about after the last refused one. Either
way everything is prepared beforehand (package, certificate, configuration); the edit by hand takes
the time of `sed`, not of a person. The service is a few lines of shell, so that starting it a
thousand times does not become what is measured.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.process import BenchError
from bench.table import Table
from lab import Client, Host, Lab, missing

ROOT = Path(__file__).parents[1]
SECONDS = 120.0
Switch = Callable[[Host, Client], tuple[float, int]]

_SERVER = b"""#!/bin/sh
printf '+ POP2 bench ready\\r\\n'
while read -r word rest; do
    case $word in
        QUIT*) printf '+ bye\\r\\n'; exit ;;
        *) printf -- '- Missing user or password\\r\\n' ;;
    esac
done
"""
# Without a limit of its own inetd turns a service off that is asked for 256 times in a minute.
_ENTRIES = b"""\
109 stream tcp nowait.1000000 nobody /usr/local/sbin/shpop2d shpop2d
109 stream tcp6 nowait.1000000 nobody /usr/local/sbin/shpop2d shpop2d
"""

_PREPARE = """
cd /etc/stunnel
openssl req -x509 -newkey rsa:2048 -nodes -keyout pop2.key -out pop2.crt -subj /CN=mail -days 9
{
    echo 'foreground = yes'; echo 'cert = /etc/stunnel/pop2.crt'; echo 'key = /etc/stunnel/pop2.key'
    for address in "$@"; do
        printf '[pop2-%s]\\naccept = %s:109\\nconnect = 127.0.0.1:1009\\n' "$address" "$address"
    done
} >pop2.conf
"""
_BY_HAND = """
systemctl stop inetd
sed -i -e '/tcp6/d' -e 's/^109 /127.0.0.1:1009 /' /etc/inetd.conf
systemctl start inetd
systemctl start stunnel@pop2
"""
_MAILSEAL = """
PYTHONPATH=/srv/mailseal/src:$(echo /srv/mailseal/.venv/lib/python3*/site-packages)
export PYTHONPATH PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
exec python3 -m mailseal "$@"
"""

# Connects until its standard input ends; prints the longest gap (seconds) and the refusals.
_HAMMER = """
import json, select, socket, sys, time
last, gap, refused, streak = time.monotonic(), 0.0, 0, False
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    try:
        socket.create_connection((sys.argv[1], 109), 5).close()
    except OSError:
        refused, streak = refused + 1, True
        continue
    now = time.monotonic()
    if streak:
        gap, streak = max(gap, now - last), False
    last = now
print(json.dumps([gap, refused, streak]))
"""


def run(rounds: int) -> Table:
    """Raises BenchError where no host can be booted or a switch fails."""
    reasons = missing()
    if reasons:
        raise BenchError("; ".join(reasons))
    turns: dict[str, list[tuple[float, int]]] = {"mailseal": [], "by hand": []}
    for _ in range(rounds):
        for name, switch in (("mailseal", _switch), ("by hand", _switch_by_hand)):
            with Lab() as lab:
                turns[name].append(_measured(lab, switch))
    gaps = {name: statistics.median(gap for gap, _ in each) for name, each in turns.items()}
    lost = {name: statistics.median(count for _, count in each) for name, each in turns.items()}
    rows = {
        name: (gaps[name] * 1000, max(gap for gap, _ in turns[name]) * 1000, lost[name],
               gaps[name] / gaps["by hand"])
        for name in turns
    }  # fmt: skip
    return Table(
        f"Without service while POP2 is switched to TLS, median of {rounds}",
        ("gap ms", "worst ms", "refused", "x by hand"),
        rows,
        (
            "A connection every 2 ms from another host; inetd on Debian 12, all prepared before.",
            "By hand: systemctl stop, sed, systemctl start twice, without a pause for thought.",
        ),
    )


def _measured(lab: Lab, switch: Switch) -> tuple[float, int]:
    network = lab.network()
    mail = lab.host("mailhost", system="bookworm", network=network, binds={ROOT: "/srv/mailseal"})
    client = lab.client(network, "client")
    mail.write("/usr/local/sbin/shpop2d", _SERVER, mode=0o755)
    mail.write("/etc/inetd.conf", _ENTRIES)
    mail.run(["systemctl", "restart", "inetd"])
    mail.wait_listening(109)
    mail.write("/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n", 0o755)
    mail.run(["apt-get", "install", "--yes", "--no-install-recommends", "stunnel4"])
    return switch(mail, client)


class _Hammer:
    """Within the `with` a client connects without pause; `result` holds gap and refusals then."""

    def __init__(self, client: Client, address: str) -> None:
        self._process = client.popen([sys.executable, "-I", "-c", _HAMMER, address])
        self.result = (0.0, 0)

    def __enter__(self) -> "_Hammer":
        assert self._process.stdout is not None
        self._process.stdout.readline()
        time.sleep(0.2)  # a while of undisturbed service, so that there is a last good connection
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        time.sleep(0.5)
        try:
            out, _ = self._process.communicate(b"\n", timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        gap, refused, still = json.loads(out)
        if kind is None and (still or not refused):
            raise BenchError("the service did not come back, or was never switched")
        self.result = (gap, refused)


def _switch(mail: Host, client: Client) -> tuple[float, int]:
    command = ["sh", "-c", _MAILSEAL, "mailseal"]
    mail.run([*command, "plan", f"{mail.ipv4}:109", "-o", "/srv/plan.json"])
    with _Hammer(client, mail.ipv4) as hammer:
        done = mail.run([*command, "apply", "/srv/plan.json", "--yes"], False, timeout=SECONDS)
    if done.returncode:
        raise BenchError("mailseal apply failed: " + done.stderr.decode()[-500:])
    return hammer.result


def _switch_by_hand(mail: Host, client: Client) -> tuple[float, int]:
    addresses = [mail.ipv4, mail.ipv6, "127.0.0.1", "::1"]
    mail.run(["sh", "-ec", _PREPARE, "sh", *addresses])
    with _Hammer(client, mail.ipv4) as hammer:
        mail.run(["sh", "-ec", _BY_HAND])
        mail.wait_listening(109)
    return hammer.result
