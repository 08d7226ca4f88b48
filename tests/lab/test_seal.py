"""The story of sealing, on the mail host itself: before, sealed, through reload, crash and reboot,
and back again. One host a starter, told from end to end, because every step is what the next one
has to stand on.
"""

from __future__ import annotations

import pytest

from lab import Lab
from tests.lab.story import (
    NAME,
    check_as_before,
    check_authority,
    check_backend_guarded,
    check_reload_and_crash,
    check_wire,
    desk,
    mailseal,
    package_alone,
    scene,
    sealed,
    state,
    wait_until,
)

TARGET = f"{NAME}:109"


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("starter", ["inetd", "standalone"])
def test_sealed_on_the_host_itself_and_back(lab: Lab, starter: str) -> None:
    scenery = scene(lab, "bookworm", starter)
    mail, account = scenery.mail, scenery.mail.account
    with lab.capture(scenery.net) as wire:
        scenery.check_cleartext()
        assert f"HELO {account.user} {account.password}".encode() in wire.payload()
    before = state(mail)

    out = sealed(mail, "seal", TARGET, "--yes")
    assert "EVERY EXISTING CLEARTEXT CLIENT" in out.splitlines()[1]
    assert "Applied and confirmed. It is proven only from another host" in out
    scenery.check_sealed()
    check_wire(scenery)
    check_authority(mail)
    check_backend_guarded(mail, starter)
    after = state(mail)

    assert "already: nothing was changed" in sealed(mail, "seal", TARGET, "--yes")
    check_as_before(after, state(mail))

    check_reload_and_crash(scenery)
    mail.reboot()
    wait_until(lambda: len([each for each in mail.listeners() if each[2] == 109]) == 4)
    scenery.check_sealed()
    check_backend_guarded(mail, starter)

    out = sealed(mail, "rollback")
    assert "undone: the host is as before" in out
    assert "stays     package stunnel4" in out
    scenery.check_cleartext()
    check_as_before(before, state(mail), package_alone("bookworm"))
    assert mailseal(mail, "rollback").code == 6


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("system", ["bookworm", "bullseye"])
def test_a_daemon_that_listens_on_certain_addresses(lab: Lab, system: str) -> None:
    """Alone in its network it has neither; and it may come before its proxy or after it."""
    scenery = scene(lab, system, "standalone")
    mail, near = scenery.mail, system == "bookworm"
    unit = "/etc/systemd/system/pop2d.service"
    words = mail.read(unit).replace(b"0.0.0.0", mail.ipv4.encode())
    mail.write(unit, words.replace(b"[::]", b"[%s]" % mail.ipv6.encode()))
    mail.run(["systemctl", "daemon-reload"])
    mail.run(["systemctl", "restart", "pop2d"])
    scenery.check_cleartext()
    home = mail if near else desk(scenery)
    before = state(mail)
    target = TARGET if near else "ssh://mailhost"

    out = sealed(home, "seal", target, "--name", NAME, "--yes")
    assert "pop2d.service gets a network of its own" in out
    served = {each[1] for each in mail.listeners() if each[2] == 109}
    assert served == {mail.ipv4, mail.ipv6}
    scenery.check_sealed()
    check_backend_guarded(mail, "standalone")

    proxy = "mailseal-proxy-109.service"
    for first, then in (("pop2d", proxy), (proxy, "pop2d")):
        mail.run(["systemctl", "stop", "pop2d", proxy])
        mail.run(["systemctl", "start", first])
        mail.run(["systemctl", "start", then])
        scenery.check_sealed()
    mail.run(["systemctl", "kill", "--signal=KILL", "pop2d"])
    mail.run(["systemctl", "start", "pop2d"])
    scenery.check_sealed()

    sealed(home, "rollback", *([] if near else ["--on", target]))
    scenery.check_cleartext()
    check_as_before(before, state(mail), package_alone(system))
