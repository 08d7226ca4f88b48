"""A gateway before a backend that nobody may touch, on booted hosts: the page's commands as typed,
the plan's own lines for the backend's firewall, by the programs of each, and a second leg in TLS.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace

import pytest

from lab import Host, Lab
from mailseal.firewalls import only
from tests.lab.story import (
    NAME,
    PROGRAM,
    ROOT,
    Scene,
    changed,
    check_as_before,
    desk_of,
    install_stunnel,
    mailseal,
    ran,
    scene,
    sealed,
    state,
    wait_until,
)
from tests.lab.test_firewall import SETUP

PAGE = ROOT / "docs/howto/put-a-gateway-in-front.md"

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]


def gateway_of(on: Scene) -> Scene:
    """Another host before the service of `on`, with stunnel as the distribution has it."""
    host = on.lab.host("gateway", system="bookworm", network=on.net, binds={ROOT: "/srv/mailseal"})
    host.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    names = f"{host.ipv4} {NAME}\n{host.ipv6} {NAME}\n".encode()
    host.write("/etc/hosts", host.read("/etc/hosts") + names)
    install_stunnel(host)
    return Scene(on.lab, on.net, host, on.client)


def words(on: Scene) -> list[str]:
    account = on.mail.account
    return [f"HELO {account.user} {account.password}", "QUIT"]


def check_served(on: Scene, front: Scene) -> None:
    """The backend's own answers inside TLS, at every address of the gateway."""
    assert front.visit("tls", words(on), 109, ca=front.ca()) == on.answered


def ports(host: Host) -> set[int]:
    return {each[2] for each in host.listeners() if each[0] == "tcp"}


LOADED = "/etc/systemd/system/sysinit.target.wants/nftables.service"


def close(backend: Host, plan: str) -> None:
    """Types the plan's own line for the backend's firewall."""
    (line,) = re.findall(r"close the backend, with nftables: (.*)", plan)
    backend.run(["sh", "-ec", line])


def test_enforced_where_the_backend_is_closed_to_everybody_else(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd", name="backend")
    front = gateway_of(on)
    backend, gateway = on.mail, front.mail
    home = desk_of(lab, on.net, gateway)
    before, old = state(gateway), state(backend)
    wish = ["ssh://mailhost", "--strategy", "gateway", "--backend", f"{backend.ipv4}:109"]
    wish += ["--name", NAME, "--trust-leg", "one cable"]

    close(backend, sealed(home, "plan", *wish))
    out = sealed(home, "seal", *wish, "--yes")
    assert "SEALED: proven from here." in out
    assert "declared  the way from the gateway to" in out
    check_served(on, front)
    assert on.visit("polite", words(on), 109) == [["!TimeoutError"]] * 2
    assert 22 in ports(backend)
    assert set(changed(old.files, state(backend).files)) == {"/etc/nftables.conf", LOADED}
    sealed(home, "rollback", "--on", "ssh://mailhost")
    check_as_before(before, state(gateway))


@pytest.mark.soak
def test_the_commands_of_the_page_work_as_typed(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd", name="backend")
    front = gateway_of(on)
    backend, gateway = on.mail, front.mail
    home = desk_of(lab, on.net, gateway)
    config = home.read("/root/.ssh/config")
    home.write("/root/.ssh/config", config.replace(b"Host mailhost", b"Host gateway"), 0o600)
    before = state(gateway)
    page = re.findall(r"(?m)^\$ (.*)$", PAGE.read_text())
    offer, scp, verify, plan, enforce, *back = [
        each.replace("192.0.2.5", backend.ipv4) for each in page
    ]

    def typed(command: str, code: int = 0) -> str:
        done = ran(home, "sh", "-c", "cd /root; " + command)
        assert done.code == code, (command, done.said)
        return done.said

    assert "trusted: one cable, in one locked room" in typed(offer)
    typed(scp)
    typed(verify)
    check_served(on, front)
    on.check_cleartext()
    offered = state(gateway)
    said = typed(enforce, code=4)
    assert "a connection is accepted" in said
    check_as_before(offered, state(gateway))

    close(backend, typed(plan))
    assert "SEALED: proven from here." in typed(enforce)
    assert on.visit("polite", words(on), 109) == [["!TimeoutError"]] * 2
    check_served(on, front)

    typed(back[0])
    check_served(on, front)
    backend.run(["nft", "delete", "table", "inet", "mailseal_only"])
    typed(back[1])
    on.check_cleartext()
    check_as_before(before, state(gateway))


@pytest.mark.soak
def test_the_second_leg_in_tls_takes_no_other_certificate(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd", name="backend")
    backend = on.mail
    sealed(backend, "seal", f"{NAME}:109", "--stage", "offer", "--yes")
    front = gateway_of(on)
    gateway = front.mail
    gateway.write("/usr/local/share/backend.crt", on.ca().encode())
    before = state(gateway)
    wish = ["seal", f"{NAME}:109", "--strategy", "gateway", "--stage", "offer", "--yes"]
    wish += ["--backend", f"{backend.ipv4}:1109"]
    wish += ["--backend-ca", "/usr/local/share/backend.crt"]

    done = mailseal(gateway, *wish, "--backend-tls", "other.example")
    assert done.code in (4, 6), done.said
    check_as_before(before, state(gateway))

    sealed(gateway, *wish, "--backend-tls", NAME)
    check_served(on, front)
    with lab.capture(on.net) as wire:
        check_served(on, front)
        heard = wire.payload()
    assert len(heard) > 1000
    assert on.mail.account.password.encode() not in heard
    # A crash takes the socket between the two sections with it.
    gateway.run(["systemctl", "kill", "--signal=KILL", "mailseal@109"])
    ran(gateway, "sh", "-c", "sleep 2")
    check_served(on, front)
    gateway.run(["systemctl", "reload", "mailseal@109"])
    ran(gateway, "sh", "-c", "sleep 1")
    check_served(on, front)
    sealed(gateway, "rollback")
    check_as_before(before, state(gateway))


# -- the backend's firewall, by each one's own programs --------------------------------------------

HOSTS = {
    "nftables": ("bookworm", "true"),
    "iptables": SETUP["iptables"],
    "ufw": SETUP["ufw"],
    "firewalld (the default zone)": SETUP["firewalld"],
}
CUT = ("nftables", "iptables")
"""Where a session that is open is cut too."""

HELD = """
import socket, sys
with socket.create_connection((sys.argv[1], 109), 5) as session:
    session.recv(100)
    print("open", flush=True)
    sys.stdin.readline()
    session.settimeout(4)
    try:
        session.sendall(b"QUIT\\r\\n")
        print(session.recv(100).decode().strip())
    except TimeoutError:
        print("cut")
"""
SSH = "import socket, sys; print(socket.create_connection((sys.argv[1], 22), 5).recv(4))"


@pytest.mark.soak
@pytest.mark.parametrize("firewall", HOSTS)
def test_only_the_gateway_reaches_the_port_until_it_is_opened_again(
    lab: Lab, firewall: str
) -> None:
    system, setup = HOSTS[firewall]
    on = scene(lab, system, "inetd", name="backend")
    mail, outside = on.mail, on.client
    mail.run(["sh", "-ec", setup])
    gateway = replace(on, client=lab.client(on.net, "gateway"))
    shut = [["!TimeoutError"]]

    def check_closed(family: int) -> None:
        assert on.log_in("polite") == shut * 2
        admitted = gateway.log_in("polite")
        assert admitted[family : family + 1] == on.answered[:1]
        assert admitted[1 - family :][:1] == shut
        # The host itself, at each of its addresses.
        visits = [
            {"how": "polite", "address": each, "port": 109, "lines": words(on), "name": NAME}
            for each in ("127.0.0.1", "::1", mail.ipv4, mail.ipv6)
        ]
        argv = ["python3", "-I", "/srv/mailseal/tests/lab/pop2client.py"]
        done = mail.run(argv, input=json.dumps(visits).encode())
        assert json.loads(done.stdout) == on.answered * 2
        assert outside.run([sys.executable, "-c", SSH, mail.ipv4]).stdout == b"b'SSH-'\n"

    for family, address in enumerate((gateway.client.ipv4, gateway.client.ipv6)):
        typed = dict(only.lines([address], [109]))[firewall]
        rules = [ran(mail, program, "-S").out for program in ("iptables", "ip6tables")]
        session = outside.popen([sys.executable, "-c", HELD, (mail.ipv4, mail.ipv6)[family]])
        assert session.stdout
        assert session.stdout.readline() == b"open\n"
        mail.run(["sh", "-ec", typed.close])
        said, errors = session.communicate(b"\n", timeout=20)
        assert (said == b"cut\n") == (firewall in CUT), (said, errors)
        check_closed(family)
        mail.reboot()
        # firewalld may come later than the service.
        wait_until(lambda: on.log_in("polite") == shut * 2, seconds=60)
        check_closed(family)
        mail.run(["sh", "-ec", typed.open])
        on.check_cleartext()
        assert [ran(mail, each, "-S").out for each in ("iptables", "ip6tables")] == rules
    mail.reboot()
    mail.wait_listening(109)
    on.check_cleartext()
