"""What mailseal says of real daemons, beside what a real login shows.

Strategy: the table daemon x setting x endpoint x vantage is made by running the program as its
users do, from hosts of the lab, and by trying real logins with the oracle, which knows nothing of
the program. Under `--prove` and `--user` the two must agree; the default look, which sends no
secret, may leave open what only a secret decides, and must never contradict.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import Client, Host, Lab
from lab.daemons import DAEMONS, Daemon, Service, install

ROOT = Path(__file__).parents[2]
PYTHON = str(ROOT / ".venv/bin/python")
PAGE = ROOT / "docs/reference/daemons.md"

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Row:
    """What was seen of one endpoint in one setting."""

    setting: str
    who: str
    place: str
    real: bool | None
    careful: str
    proved: str
    user: str
    product: str


def scanned(
    client: Client, targets: list[str], *options: str, secret: str = ""
) -> dict[str, dict[str, Any]]:
    """The program's results by endpoint."""
    command = [PYTHON, "-m", "mailseal", "scan", "--format", "ndjson", "--no-tls-versions"]
    if secret:
        command = ["env", f"MAILSEAL_PASSWORD={secret}", *command]
    done = client.run([*command, *options, *targets], check=False, timeout=180)
    assert done.returncode in (0, 1, 3), done.stderr.decode()
    results = [json.loads(line) for line in done.stdout.decode().splitlines()]
    return {place(each["endpoint"]["address"], each["endpoint"]["port"]): each for each in results}


def place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def real_login(client: Client, address: str, service: Service, lab: Lab) -> bool | None:
    """Whether the account can log in, in cleartext, in any way; None where nothing answered."""
    words = [service.protocol, address, str(service.port), lab.account.user]
    secret = lab.account.password.encode() + b"\n"
    done = client.run([PYTHON, str(ROOT / "lab/login.py"), *words], input=secret, timeout=120)
    ways: Mapping[str, bool | None] = json.loads(done.stdout)
    if any(ways.values()):
        return True
    return None if all(value is None for value in ways.values()) else False


def told(result: dict[str, Any]) -> str:
    grade: str | None = result["assessment"]["grade"]
    return str(result["verdict"]) + (f", {grade}" if grade else "")


def rows(
    lab: Lab, host: Host, daemon: Daemon, setting: str, clients: list[Client]
) -> Iterator[Row]:
    install(host, daemon, setting, (clients[1].ipv4, clients[1].ipv6))
    clear = [service for service in daemon.services if not service.implicit]
    inside = [service for service in daemon.services if service.implicit]
    for client in clients if setting == "outside" else clients[:1]:
        targets = [
            place(address, service.port)
            for address in (host.ipv4, host.ipv6)
            for service in (*clear, *inside)
        ]
        careful = scanned(client, targets)
        proved = scanned(client, targets, "--prove")
        user = scanned(client, targets, "--user", lab.account.user, secret=lab.account.password)
        for address in (host.ipv4, host.ipv6):
            for service in clear:
                where = place(address, service.port)
                yield Row(
                    setting,
                    client.name,
                    f"{service.protocol} {where}",
                    real_login(client, address, service, lab),
                    told(careful[where]),
                    told(proved[where]),
                    told(user[where]),
                    careful[where]["assessment"]["product"],
                )
            for service in inside:
                where = place(address, service.port)
                if careful[where]["verdict"] == "absent":
                    continue
                # AUTH inside TLS is right, and the commonest false alarm of other scanners.
                assert careful[where]["verdict"] == "refused", careful[where]
                assert user[where]["verdict"] == "refused", user[where]


def table(name: str, seen: list[Row]) -> list[str]:
    """Rows for people, those alike folded into one."""
    folded: dict[tuple[str, ...], list[str]] = {}
    for row in seen:
        real = {True: "logs in", False: "does not", None: "no service"}[row.real]
        key = (row.setting, row.who, real, row.careful, row.proved, row.user, row.product)
        folded.setdefault(key, []).append(row.place.split(" ")[0])
    return [
        "| " + " | ".join([name, key[0], ", ".join(dict.fromkeys(protocols)), *key[1:]]) + " |"
        for key, protocols in folded.items()
    ]


@pytest.mark.parametrize("name", DAEMONS)
def test_the_verdict_is_what_a_real_login_shows(
    lab: Lab, name: str, record_property: Callable[[str, str], None]
):
    daemon = DAEMONS[name]
    net = lab.network()
    host = lab.host("mailhost", system=daemon.system, network=net)
    clients = [lab.client(net, "stranger"), lab.client(net, "trusted")]
    seen = [row for setting in daemon.settings for row in rows(lab, host, daemon, setting, clients)]
    lines = table(name, seen)
    for line in lines:
        record_property("table", line)
    for row in seen:
        if row.real is None:
            assert row.careful == row.proved == row.user == "absent", row
            continue
        exposed = {True: "exposed", False: "refused"}[row.real]
        assert row.proved.startswith(exposed), row
        assert row.user == ("exposed, proven" if row.real else "refused"), row
        # Without a secret: never the contrary of what a login shows.
        assert row.careful.startswith((exposed, "inconclusive")), row
    assert any(row.real for row in seen), "the lab itself: nobody could log in"
    page = PAGE.read_text()
    left = "\n".join(line for line in lines if line not in page)
    assert not left, f"not in {PAGE.name}:\n{left}"


def test_dovecot_trusts_its_own_address_and_the_look_says_so(lab: Lab):
    """From the host itself cleartext logins work where a stranger is refused."""
    daemon = DAEMONS["dovecot-2.3"]
    net = lab.network()
    host = lab.host("mailhost", system=daemon.system, network=net, binds={ROOT: "/srv/mailseal"})
    stranger = lab.client(net, "stranger")
    install(host, daemon, "outside", ("192.0.2.250", "2001:db8:1::fa"))
    target = f"{host.ipv4}:143"
    script = (
        "PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/srv/mailseal/src:"
        "$(echo /srv/mailseal/.venv/lib/python3*/site-packages) exec python3 -m mailseal scan "
        f"--format ndjson --no-tls-versions {target}"
    )
    done = host.run(["sh", "-c", script], check=False)
    own = json.loads(done.stdout.decode())
    assert own["observations"][0]["vantage"] == "self"
    assert own["verdict"] == "exposed", own
    assert scanned(stranger, [target])[target]["verdict"] == "refused"
