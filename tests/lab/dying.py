"""What the tests of kills and power losses on booted hosts share: the host, its plan, its state.

Strategy: a host is prepared once (POP2 behind inetd, stunnel4 installed, the agent) and serves many
points one after the other: after each it must be exactly as before, or the test ends.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import Client, Host, Lab
from mailseal import bundle
from mailseal import plan as planner
from mailseal.model import codec
from mailseal.model.host import HostFacts
from mailseal.model.plan import Plan, Receipt
from tests.lab.test_lab import log_in, served

PYZ, DYING, POINTS = "/opt/mailseal.pyz", "/opt/dying_agent.py", "/opt/points"
LOOKS = ("namespaces, interfaces", "/run")
"""What `state` says of the looks from a throwaway namespace."""

SECONDS = 60.0
"""How long help may take."""

EXCEPTIONS = ("/var/lib/mailseal", "/var/log/", "/opt/points", "/run/systemd/generator")


def prepared(lab: Lab, name: str, network: Any, durable: bool = False) -> Host:
    """A host that serves POP2 by inetd in cleartext, with stunnel4 installed and at rest."""
    host = lab.host(name, system="bookworm", network=network, durable=durable)
    host.run(["sh", "-c", "apt-get -qq update; apt-get -qq -y install stunnel4"], timeout=120)
    host.run(["systemctl", "disable", "--now", "stunnel.target"])
    host.install_pop2d("inetd")
    bring_agent(host)
    if durable:
        host.disk.sync()
    return host


def bring_agent(host: Host) -> None:
    """The agent, and how it dies."""
    host.write(PYZ, bundle.build())
    host.write(DYING, Path(__file__).with_name("dying_agent.py").read_bytes())
    # Made by the first run of all; then all runs have the same points.
    host.run(["install", "-d", "-m", "700", "/var/lib/mailseal", "/var/lib/mailseal/runs"])
    host.run(["systemctl", "daemon-reload"])


def plan(host: Host, given: planner.Given | None = None, beside: int = 0) -> Plan:
    """Strategy wrap, with TLS at the port `beside` too (0: none)."""
    paths = [given.certificate, given.key] if given else []
    facts = codec.loads(HostFacts, agent(host, "facts", "109", *paths).stdout, lenient=True)
    return planner.make(
        facts, 109, "pop2", planner.Options(name="mail.example", given=given, tls_port=beside)
    )


def agent(host: Host, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return host.run(["python3", "-I", PYZ, *words], input=given, check=False, timeout=180)


def dying(
    host: Host, fatal: str, made: Plan, hold: int = 300, period: int = 1
) -> subprocess.CompletedProcess[bytes]:
    """`apply` by the agent that dies at `fatal`, with its dead-man's period (see dying_agent)."""
    words = ["python3", "-I", DYING, PYZ, str(period), fatal, POINTS, "apply", str(hold)]
    payload = codec.dumps(made).encode("ascii")
    return host.run(words, input=payload, check=False, timeout=180)


def points(host: Host) -> list[tuple[str, str]]:
    """The points of a run that was listed."""
    return [(name, subject) for name, subject in json.loads(host.read(POINTS))]


def recorded(point: tuple[str, str]) -> dict[str, Any]:
    """What a point writes into the journal; empty of any other. A line of the record of changes has
    no checksum in front.
    """
    name, text = point
    if name != "append" or text.lstrip().startswith("{"):
        return {}
    record: dict[str, Any] = json.loads(text.strip().partition(" ")[2])
    return record


def receipts(host: Host) -> list[Receipt]:
    lines = agent(host, "runs").stdout.splitlines()
    return [codec.loads(Receipt, line, lenient=True) for line in lines]


def await_rest(host: Host) -> None:
    """Nothing of the dead-man is left. Its timer goes last."""
    deadline = time.monotonic() + SECONDS
    words = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "mailseal-*.*"]
    while host.run(words).stdout.strip():
        assert time.monotonic() < deadline, host.run(["journalctl", "-n", "60"]).stdout.decode()
        time.sleep(0.2)


def state(host: Host) -> Mapping[str, object]:
    """Files, sockets, units and rules, by name."""
    found: dict[str, object] = {
        path: entry for path, entry in host.snapshot().items() if not path.startswith(EXCEPTIONS)
    }
    found["sockets"] = host.listeners()
    found["namespaces, interfaces"] = host.run(
        ["sh", "-c", "ip netns; ip -br link | cut -d@ -f1"]
    ).stdout
    found["nftables"] = host.run(["nft", "-s", "list", "ruleset"]).stdout
    found["/run"] = host.run(
        ["sh", "-c", "ls -A /run | grep mailseal | grep -v lock"], False
    ).stdout
    for kind in ("service,socket,target --state=active", "service,socket,timer --state=failed"):
        words = f"systemctl list-units --plain --no-legend --type={kind}"
        names = [line.split()[0] for line in host.run(["sh", "-c", words]).stdout.splitlines()]
        found[kind] = [name for name in names if not name.startswith(b"run-")]
    return found


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    return {
        name: (before.get(name), after.get(name))
        for name in {*before, *after}
        if before.get(name) != after.get(name)
    }


def in_cleartext(client: Client, host: Host) -> bool:
    """Whether a login works as it did."""
    return log_in(client, host) == served(host)
