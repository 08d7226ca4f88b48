"""What is exported for scanners and monitors, in their own programs: oscap fails an exposed host
and passes the sealed one, Nagios and Icinga take their files, and the command in them alarms.

The page's commands are run as typed, by a shell, in its order.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import Client, Host, Lab
from lab.daemons import DAEMONS, Service, install
from tests.lab.story import NAME, desk, ran, scene
from tests.lab.test_daemons import real_login
from tests.lab.test_docs import ROOT, commands

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PAGE = ROOT / "docs/howto/use-your-scanner.md"
HOME = "/root"
CONFIGURATION = "/etc/mailseal/109.conf"
_RESULT = re.compile(
    r'<rule-result idref="xccdf_mailseal_rule_([^"]+)".*?<result>(\w+)<', re.DOTALL
)
_SAID = re.compile(r'<check-import import-name="stdout">([^<]*)<')
_BEFORE = "before.xml"
"""The evaluation that fails, in the page's words."""


def results(host: Host, path: str) -> tuple[dict[str, str], str]:
    """By rule what oscap made of it, without those not selected; and what the looks said."""
    told = host.read(path).decode()
    found = {name: word for name, word in _RESULT.findall(told) if word != "notselected"}
    return found, "\n".join(_SAID.findall(told))


@pytest.mark.timeout(300)
def test_the_page_as_typed(lab: Lab) -> None:
    on = scene(lab, "audited", "inetd")
    at = desk(on, "monitor")
    for command in commands(PAGE):
        typed = ("env", "-C", HOME, f"HOME={HOME}", "sh", "-c", command)
        done = ran(at, *typed, timeout=200)
        assert done.code == (2 if _BEFORE in command else 0), "%s\n%s" % (command, done.said)

    before, said = results(on.mail, f"{HOME}/{_BEFORE}")
    after, said_after = results(on.mail, f"{HOME}/after.xml")
    assert before.keys() == after.keys()
    assert set(after.values()) == {"pass"}, after
    well = [name for name, word in before.items() if word == "pass"]
    assert [name for name in well if not name.startswith("neighbours-kept")] == [], before
    assert "fail: a login in cleartext is taken: - Missing user or password" in said
    assert "pass: only TLS is spoken" in said_after
    assert f"pass: pop2 inside TLS: + POP2 {on.mail.name}" in said_after
    seen, _ = results(at, f"{HOME}/seen.xml")
    assert set(seen.values()) == {"pass"}
    assert {name for name in seen if name in after} == seen.keys()
    assert b"pass: only TLS is spoken" in on.mail.read(f"{HOME}/after.html")

    # What the monitor would run, by its shell.
    looks = check_commands(at)
    assert len(looks) == 2
    for look in looks:
        done = ran(at, "sh", "-c", look)
        assert (done.code, done.out.startswith("MAILSEAL OK - 1 endpoints: 0 exposed")) == (0, True)
        assert done.out.count("\n") == 1

    # The configuration that the plan made is changed, and stunnel goes on as it was.
    on.mail.run(["cp", "-p", CONFIGURATION, f"{HOME}/kept"])
    on.mail.run(["sh", "-c", f"echo '; a remark' >>{CONFIGURATION}"])
    done = ran(on.mail, "oscap", "oval", "eval", f"{HOME}/scap/files-oval.xml")
    on.mail.run(["cp", "-p", f"{HOME}/kept", CONFIGURATION])
    assert len(re.findall(r"(?m)^Definition \S+: false$", done.out)) == 1, done.said

    undone = ran(at, "mailseal", "rollback", "--on", "ssh://mailhost")
    assert undone.code == 0, undone.said
    for look in looks:
        done = ran(at, "sh", "-c", look)
        assert (done.code, done.out[:19]) == (2, "MAILSEAL CRITICAL -")


def check_commands(at: Host) -> list[str]:
    """The command lines that Nagios makes of the exported objects (its macros, and `!`)."""
    told = at.read("/etc/mailseal/monitoring/mailseal.cfg").decode()
    (line,) = re.findall(r"command_line\s+(.*)", told)
    words = re.findall(r"check_command\s+mailseal!(.*)", told)
    return [line.replace("$ARG1$", each) for each in words]


def test_the_page_shows_every_form() -> None:
    told = Path(PAGE).read_text()
    for form in ("openscap", "inspec", "nagios"):
        assert f"--to {form} " in told
    assert NAME in told


LOOK = ROOT / "src/mailseal/export/kit/look.sh"
_SAYS = {101: "pass", 102: "fail", 104: "unknown"}


def looked(
    client: Client, kind: str, address: str, service: Service, **more: str
) -> tuple[str, str]:
    """What the script makes of it from there, and its words."""
    values = {"kind": kind, "address": address, "port": str(service.port), **more}
    told = [f"XCCDF_VALUE_{key}={value}" for key, value in values.items()]
    protocol = f"XCCDF_VALUE_protocol={service.protocol}"
    done = client.run(["env", protocol, *told, str(LOOK)], check=False, timeout=120)
    return _SAYS[done.returncode], done.stdout.decode().strip()


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", DAEMONS)
def test_of_real_daemons_the_script_never_says_what_is_not_so(lab: Lab, name: str) -> None:
    """What a real login shows is the measure, as for mailseal's own look (test_daemons)."""
    daemon = DAEMONS[name]
    net = lab.network()
    host = lab.host("mailhost", system=daemon.system, network=net)
    client = lab.client(net, "stranger")
    told: dict[str, str] = {}
    for setting in daemon.settings:
        install(host, daemon, setting, ("192.0.2.250", "2001:db8:1::fa"))
        for service in daemon.services:
            where = f"{setting} {service.protocol} {service.port}"
            refused, said = looked(client, "cleartext-refused", host.ipv4, service)
            print(where, said)
            if service.implicit:
                assert refused == "pass", where
                inside = looked(client, "service-in-tls", host.ipv4, service, pinned="yes")
                assert inside[0] == "pass", (where, inside)
                continue
            told[where] = refused
            real = real_login(client, host.ipv4, service, lab)
            assert refused in ("fail" if real else "pass", "unknown"), (where, real, said)
    assert set(told.values()) - {"unknown"}, told
