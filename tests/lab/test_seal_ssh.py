"""The story of sealing from a workstation, over ssh: what is changed there is proven from here."""

from __future__ import annotations

import threading

import pytest

from lab import Host, Lab
from tests.lab.story import (
    NAME,
    Ran,
    check_as_before,
    check_backend_guarded,
    check_reload_and_crash,
    check_wire,
    desk,
    mailseal,
    package_alone,
    ran,
    scene,
    sealed,
    state,
    wait_until,
)

SEAL = ("seal", "ssh://mailhost", "--name", NAME, "--yes")


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("system", "starter"), [("bullseye", "xinetd"), ("bookworm", "inetd")])
def test_sealed_from_a_workstation_and_back(lab: Lab, system: str, starter: str) -> None:
    on = scene(lab, system, starter)
    home, mail, account = desk(on), on.mail, on.mail.account
    with lab.capture(on.net) as wire:
        on.check_cleartext()
        assert f"HELO {account.user} {account.password}".encode() in wire.payload()
    before = state(mail)

    out = sealed(home, *SEAL)
    assert "SEALED: proven from here." in out
    assert "unknown" not in out.partition("Proven after it")[2]
    on.check_sealed()
    check_wire(on)
    check_backend_guarded(mail, starter)
    after = state(mail)

    assert "already: nothing was changed" in sealed(home, *SEAL)
    check_as_before(after, state(mail))
    assert len(sealed(home, "runs", "--on", "ssh://mailhost").splitlines()) == 3
    home.write("/srv/ca.crt", mail.read("/etc/mailseal/ca.crt"))
    sealed(home, "verify", f"{NAME}:109", "--ca", "/srv/ca.crt")
    assert mailseal(home, "verify", f"{NAME}:109").code == 1  # nobody trusts this CA by himself
    if starter == "xinetd":  # the other starters' are told in test_seal
        check_reload_and_crash(on)
        mail.reboot()
        wait_until(lambda: len([each for each in mail.listeners() if each[2] == 109]) == 4)
        on.check_sealed()
        mail.run(["systemctl", "start", "ssh"])

    assert "undone: the host is as before" in sealed(home, "rollback", "--on", "ssh://mailhost")
    on.check_cleartext()
    check_as_before(before, state(mail), package_alone(system))
    assert (
        ran(mail, "sh", "-c", "ls -d /tmp/mailseal-* /run/mailseal*").out == "/run/mailseal.lock\n"
    )


def journal(mail: Host) -> str:
    return ran(mail, "sh", "-c", "cat /var/lib/mailseal/runs/*/journal").out


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_cut_connection_undoes_the_change(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd")
    home, mail = desk(on), on.mail
    before = state(mail)
    done: list[Ran] = []
    working = threading.Thread(
        target=lambda: done.append(mailseal(home, *SEAL, "--confirm-within", "20"))
    )
    working.start()
    try:
        wait_until(lambda: '"what": "held"' in journal(mail), 60)
        on.check_sealed()
        mail.run(
            [
                "nft",
                "add table inet cut; add chain inet cut input { type filter hook input "
                "priority 0; }; add rule inet cut input tcp dport 22 drop",
            ]
        )
        wait_until(lambda: '"what": "rolled-back"' in journal(mail), 60)
        wait_until(lambda: not ran(mail, "systemctl", "list-units", "-q", "mailseal*").out)
    finally:
        working.join(120)
    assert done[0].code == 5, done[0].said
    assert "is undone at" in done[0].err
    mail.run(["nft", "delete", "table", "inet", "cut"])
    on.check_cleartext()
    check_as_before(before, state(mail), package_alone("bookworm"))
    runs = sealed(home, "runs", "--on", "ssh://mailhost")
    assert "undone: the host is as before" in runs
