"""The daemons of the lab keep what their settings promise: this proves the lab, not mailseal.

Strategy: real logins, by the oracle alone, at every port and either family; in cleartext from every
place whose word matters, and inside TLS, where each login must work whatever the setting. One host
for each daemon, its settings one after the other; the logins of a setting side by side, because
some daemons make who fails wait.
"""

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import Client, Host, Lab
from lab.daemons import DAEMONS, ODD, SETTINGS, Service, install

ORACLE = Path(__file__).parents[2] / "lab/login.py"
INSIDE = "/usr/local/lib/login.py"

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]

Try = Callable[[str, Service, str], str]
"""What comes of logins at an address, in cleartext or inside TLS: in, out or nobody there."""

PROMISED = {
    ("permitted", "stranger"): "in",
    ("required", "stranger"): "out",
    ("required", "host"): "out",
    ("outside", "stranger"): "out",
    ("outside", "trusted"): "in",
}
"""Of a login in cleartext, by setting and place."""

OTHERWISE = {
    # Its own address is as good as TLS to it, in every setting.
    ("dovecot-2.3", "required", "host"): "in",
    ("dovecot-2.4", "required", "host"): "in",
    # AUTH is hidden from strangers, not denied: the setting exists to show that.
    ("postfix", "outside", "stranger"): "in",
}

IPV4_ALONE = {("popa3d", 110)}
"""The package's own daemon."""


def outcome(printed: bytes) -> str:
    ways = set(json.loads(printed).values())
    return "in" if True in ways else "out" if False in ways else "nobody"


def by_client(client: Client, lab: Lab) -> Try:
    def tried(address: str, service: Service, how: str) -> str:
        words = [service.protocol, address, str(service.port), lab.account.user, how]
        command = [sys.executable, "-I", str(ORACLE), *words]
        secret = lab.account.password.encode() + b"\n"
        return outcome(client.run(command, input=secret, timeout=120).stdout)

    return tried


def by_host(host: Host, lab: Lab) -> Try:
    """From the mail host, at its own address."""
    host.write(INSIDE, ORACLE.read_bytes())

    def tried(address: str, service: Service, how: str) -> str:
        words = [service.protocol, address, str(service.port), lab.account.user, how]
        secret = lab.account.password.encode() + b"\n"
        return outcome(host.run(["python3", "-I", INSIDE, *words], input=secret).stdout)

    return tried


def ways_in(service: Service, place: str) -> Iterator[str]:
    """The channels to try: TLS is nobody's privilege, so a stranger's word is enough for it."""
    if not service.implicit:
        yield "clear"
    if place == "stranger":
        yield "implicit" if service.implicit else "upgrade"


@pytest.mark.parametrize("name", DAEMONS)
def test_a_daemon_keeps_what_its_setting_promises(lab: Lab, name: str):
    daemon = DAEMONS[name]
    net = lab.network()
    host = lab.host("mailhost", system=daemon.system, network=net)
    trusted = lab.client(net, "trusted")
    places = {
        "stranger": by_client(lab.client(net, "stranger"), lab),
        "trusted": by_client(trusted, lab),
        "host": by_host(host, lab),
    }
    tls = any(service.implicit for service in daemon.services)
    for setting in daemon.settings:
        install(host, daemon, setting, (trusted.ipv4, trusted.ipv6))
        expected, tries = {}, {}
        with ThreadPoolExecutor(8) as pool:
            for promised, place in PROMISED:
                if promised != setting:
                    continue
                for service in daemon.services:
                    for address in (host.ipv4, host.ipv6):
                        for how in ways_in(service, place):
                            key = f"{setting}, {place}: {how} at {address} port {service.port}"
                            clear = OTHERWISE.get((name, setting, place), PROMISED[setting, place])
                            expected[key] = clear if how == "clear" else "in" if tls else "nobody"
                            if (name, service.port) in IPV4_ALONE and ":" in address:
                                expected[key] = "nobody"
                            tries[key] = pool.submit(places[place], address, service, how)
        assert {key: tried.result() for key, tried in tries.items()} == expected


def test_every_daemon_has_a_port_that_is_not_its_own_and_settings_that_are_known():
    for daemon in DAEMONS.values():
        assert any(service.port > ODD for service in daemon.services)
        assert set(daemon.settings) <= set(SETTINGS)
