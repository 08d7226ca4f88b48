"""A gateway before a backend that nobody may touch, on booted hosts: the page's commands as typed,
the plan's own line for the backend's firewall, and a second leg in TLS.
"""

from __future__ import annotations

import re

import pytest

from lab import Host, Lab
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
)

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


def close(backend: Host, plan: str) -> None:
    """Types the plan's own line for the backend's firewall."""
    (line,) = re.findall(r"with nftables: (.*)", plan)
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
    assert set(changed(old.files, state(backend).files)) == {"/etc/nftables.conf"}
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
