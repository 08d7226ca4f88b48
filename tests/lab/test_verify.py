"""The story of a ticket: found, sealed, verified line by line.

Strategy: what the two pages show is typed as it stands, on the workstation. What breaks afterwards
is `test_verify_lines`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from lab import Host, Lab
from tests.lab.story import NAME, ROOT, desk, mailseal, ran, scene, sealed

HOWTO = ROOT / "docs" / "howto"
_EXPOSED = "mailseal import --verify scan.nessus"
"""Says by its exit code that the finding is there, until it is not."""

_REPORT = """\
<?xml version="1.0" ?>
<NessusClientData_v2><Report name="Mail hosts"><ReportHost name="%(name)s"><HostProperties>
<tag name="host-ip">%(address)s</tag><tag name="host-fqdn">%(name)s</tag></HostProperties>
<ReportItem port="109" svc_name="pop2" protocol="tcp" severity="2" pluginID="15854"
 pluginName="POP2 Cleartext Logins Permitted" pluginFamily="Misc."></ReportItem>
</ReportHost></Report></NessusClientData_v2>
"""


def commands(page: str) -> list[str]:
    return re.findall(r"(?m)^\$ (.*)$", (HOWTO / page).read_text())


def lines(home: Host, *more: str) -> dict[str, set[str]]:
    """Kind of line to its results at all addresses."""
    words = ["verify", f"{NAME}:109", "--ca", "/srv/ca.crt", "--timeout", "2"]
    done = mailseal(home, *words, "--format", "ndjson", *more)
    found: dict[str, set[str]] = {}
    for line in done.out.splitlines():
        proof = json.loads(line)
        found.setdefault(proof["claim"]["kind"], set()).add(proof["result"])
    assert found, done.said
    return found


def watcher(lab: Lab, home: Host, net: object) -> None:
    """Another host that the workstation reaches by ssh, by that name."""
    host = lab.host("watcher", system="bookworm", network=net)  # type: ignore[arg-type]
    host.run(["mkdir", "-p", "-m", "700", "/root/.ssh"])
    host.write("/root/.ssh/authorized_keys", home.read("/root/.ssh/id_ed25519.pub"), mode=0o600)
    host.run(["systemctl", "start", "ssh"])
    config = home.read("/root/.ssh/config").decode()
    there = f"Host watcher\n HostName {host.ipv4}\n StrictHostKeyChecking accept-new\n"
    home.write("/root/.ssh/config", (config + there).encode(), mode=0o600)


def typed(home: Host, page: str, exits: Sequence[int] = ()) -> None:
    """Runs the commands of a page; each must do what it says."""
    given = commands(page)
    for number, command in enumerate(given):
        done = ran(home, "sh", "-c", "cd /srv && HOME=/root " + command, timeout=200)
        expected = exits[number] if number < len(exits) else 0
        assert done.code == expected, (command, done.said)


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_way_to_verify_works_as_typed(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd")
    home, mail = desk(on), on.mail
    watcher(lab, home, on.net)
    sealed(home, "seal", "ssh://mailhost", "--name", NAME, "--yes")
    home.write("/srv/ca.crt", mail.read("/etc/mailseal/ca.crt"))
    home.write("/srv/alice.txt", mail.account.password.encode() + b"\n", mode=0o600)
    with lab.capture(on.net) as wire:
        typed(home, "verify-a-fix.md")
        heard = wire.payload()
    assert mail.account.password.encode() not in heard
    assert b"<testsuites" in home.read("/srv/verify.xml")
    # The mail host itself proves nothing, also where it is asked from here.
    assert lines(home, "--from", "ssh://mailhost")["tls-alone"] == {"unknown"}


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_from_the_finding_to_the_ticket(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd")
    home, mail = desk(on), on.mail
    report = _REPORT % {"name": NAME, "address": mail.ipv4}
    home.write("/srv/scan.nessus", report.encode())

    assert commands("from-finding-to-ticket.md")[0] == _EXPOSED
    typed(home, "from-finding-to-ticket.md", (1,))
    ticket = home.read("/srv/ticket.md").decode()
    assert "0 fail, 0 could not be told" in ticket
    assert "scanner-closes" in ticket
