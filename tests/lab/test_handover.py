"""A port changes hands under load, on a booted host: with a second stunnel in between no connect is
refused, there and back; the plain way beside it, in the same run, refuses some.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Host, Lab
from lab.pop2 import INSTALLED
from tests.lab.steady import HELD
from tests.lab.story import NAME, Scene, desk, install_stunnel, scene, sealed

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(400)]

_STEADY = str(Path(__file__).with_name("steady.py"))
TARGET = f"{NAME}:109"

# As quick as can be: many sessions a second are to be carried by inetd.
SERVER = b"""#!/bin/sh
printf '+ POP2 mailhost v1.0 server ready\\r\\n'
while read -r word rest; do
    case $word in
    HELO) printf '#1 messages in /var/mail/alice\\r\\n' ;;
    QUIT*) printf '+ Sayonara\\r\\n'; exit ;;
    *) printf -- '- what?\\r\\n' ;;
    esac
done
"""
# inetd would stop serving after 256 connections in a minute, xinetd after 50 in a second.
LIMITS = {
    "inetd": """
mkdir /etc/systemd/system/inetd.service.d
printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/inetd -R 100000\\n' \\
    >/etc/systemd/system/inetd.service.d/rate.conf
systemctl daemon-reload
systemctl restart inetd
""",
    "xinetd": """
sed -i 's/^}/cps = 10000 1\\ninstances = UNLIMITED\\nper_source = UNLIMITED\\n}/' /etc/xinetd.d/pop2
systemctl restart xinetd
""",
}
RULES = """
table inet theirs {
    chain input {
        type filter hook input priority 0; policy drop;
        iifname lo accept
        ct state established,related accept
        meta l4proto ipv6-icmp accept
        tcp dport { 22, 109, 1109 } accept
    }
}
"""


class Count(dict[str, int]):
    """What the clients met; 0 for what none did."""

    def __missing__(self, what: str) -> int:
        return 0


@contextlib.contextmanager
def load(on: Scene, held: str, tls_port: int, hold: float = 5.0) -> Iterator[Count]:
    """Clients come for the time of the `with`; the counts are there after it."""
    wish = {"address": on.mail.ipv4, "port": 109, "tls_port": tls_port}
    session = on.client.popen([sys.executable, "-I", _STEADY])
    assert session.stdin is not None
    assert session.stdout is not None
    counts = Count()
    with session:
        session.stdin.write(json.dumps({**wish, "held": held, "hold": hold}).encode() + b"\n")
        session.stdin.flush()
        assert session.stdout.readline() == b"READY\n"
        yield counts
        said, _ = session.communicate(b"\n", timeout=60)
    counts.update(json.loads(said))


def changed(on: Scene, home: Host, target: str, how: str) -> tuple[Count, Count]:
    """What clients met while it was sealed in that way from there, and while it was rolled back."""
    with load(on, "clear", 1109) as there:
        sealed(home, "seal", target, "--name", NAME, "--handover", how, "--yes")
    with load(on, "tls", 1109, hold=3.0) as back:
        sealed(home, "rollback", *(["--on", target] if home is not on.mail else []))
    return there, back


@pytest.mark.parametrize(
    ("system", "starter"),
    [
        ("bookworm", "inetd"),
        pytest.param("bullseye", "xinetd", marks=pytest.mark.soak),
        pytest.param("trixie", "xinetd", marks=pytest.mark.soak),
    ],
)
def test_nobody_is_refused_while_a_port_changes_hands(
    lab: Lab, system: str, starter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    on = scene(lab, system, starter)
    mail, home, target = on.mail, on.mail, TARGET
    if system != "bookworm":
        home, target = desk(on), "ssh://mailhost"
    install_stunnel(mail)
    mail.write(INSTALLED, SERVER, 0o755)
    mail.run(["sh", "-ec", LIMITS[starter]])
    mail.wait_listening(109)
    mail.run(["nft", "-f", "-"], input=RULES.encode())
    rules = mail.run(["nft", "list", "ruleset"]).stdout
    with load(on, "clear", 0) as proven:
        time.sleep(3)
    assert proven["clear served"] == proven["clear accepted"] > 50, proven
    sealed(home, "seal", target, "--name", NAME, "--stage", "offer", "--yes")

    def told(what: str, counts: Count) -> None:
        with capsys.disabled():
            print(f"\n    {what}: {dict(counts)}", end="")

    told("before", proven)
    there, back = changed(on, home, target, "auto")
    told("apply", there)
    told("rollback", back)
    for counts in (there, back):
        assert counts["held complete"] == HELD, counts
        assert counts["clear refused"] == counts["tls refused"] == 0, counts
        assert counts["clear accepted"] > 50, counts
        assert counts["tls served"] == counts["tls accepted"] > 20, counts
    # Of others' rules none has changed, and none of ours is left.
    assert mail.run(["nft", "list", "ruleset"]).stdout == rules
    assert b"second" not in mail.run(["systemctl", "list-units", "--all", "mailseal-*"]).stdout

    plain_there, plain_back = changed(on, home, target, "plain")
    told("apply, plain", plain_there)
    told("rollback, plain", plain_back)
    assert plain_there["clear refused"] + plain_back["clear refused"] > 0
    assert all(said[-1] == "+ Sayonara" for said in on.log_in("polite"))
