"""A host that sysvinit runs: what an init script or inetd starts there is retired or sealed, stays
so after a boot, and comes back as it was.
"""

from __future__ import annotations

import re

import pytest

from lab import Lab
from lab.hosts import Host
from mailseal import bundle
from mailseal.model import codec
from mailseal.model.plan import PlanFile, RunState
from tests.lab.dying import PYZ, receipts
from tests.lab.story import (
    NAME,
    PROGRAM,
    ROOT,
    Scene,
    changed,
    mailseal,
    ran,
    sealed,
    wait_until,
)

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.soak]

PLAN = "/srv/plan.json"
PAYLOAD = "/srv/payload"
PATHS = ("/etc", "/usr", "/var", "/root")
_PASSING = re.compile(
    # The record of runs, logs, what init keeps over a boot, and insserv(8)'s notes of the order of
    # the boot, which it writes anew with each change.
    r"/var/lib/(mailseal|urandom)(/|$)|/var/log/|/etc/init\.d/\.depend\."
)


def scene(lab: Lab, starter: str) -> Scene:
    net = lab.network()
    mail = lab.host("mailhost", system="sysvinit", network=net, binds={ROOT: "/srv/mailseal"})
    names = f"{mail.ipv4} {NAME}\n{mail.ipv6} {NAME}\n".encode()
    mail.write("/etc/hosts", mail.read("/etc/hosts") + names)
    mail.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    mail.install_pop2d(starter)
    on = Scene(lab, net, mail, lab.client(net, "client"))
    on.check_cleartext()
    assert ran(mail, "cat", "/proc/1/comm").out == "init\n"
    return on


def check_as_before(mail: Host, before: dict) -> None:
    left = changed(before, mail.snapshot(PATHS))
    assert not [each for each in left if not _PASSING.match(each)], left


def retired(on: Scene) -> bool:
    """Nothing listens, and the links of the boot say so."""
    links = ran(on.mail, "sh", "-c", "ls -d /etc/rc[2345].d/*pop2d").out.split()
    ports = {port for _, _, port, _ in on.mail.listeners()}
    return 109 not in ports and all("/K" in each for each in links)


def test_the_service_of_an_init_script_is_retired_and_comes_back(lab: Lab) -> None:
    on = scene(lab, "script")
    mail = on.mail
    wrapped = mailseal(mail, "plan", f"{NAME}:109", "-o", PLAN)
    assert wrapped.code == 6, wrapped.said
    assert "--strategy retire turns it off" in wrapped.err

    sealed(mail, "plan", f"{NAME}:109", "--strategy", "retire", "-o", PLAN)
    before = mail.snapshot(PATHS)
    done = mailseal(mail, "apply", PLAN, "--yes")
    assert done.code == 0, done.said
    assert retired(on)
    mail.reboot()
    assert retired(on)
    back = mailseal(mail, "rollback")
    assert back.code == 0, back.said
    on.check_cleartext()
    check_as_before(mail, before)
    mail.reboot()
    mail.wait_listening(109)
    on.check_cleartext()


def install_stunnel(mail: Host) -> None:
    """What a rollback would leave is there before, and starts nothing."""
    mail.run(["apt-get", "install", "--yes", "--no-install-recommends", "stunnel4"])
    assert not ran(mail, "pgrep", "stunnel").out


def served(mail: Host) -> None:
    wait_until(lambda: "stunnel4" in {who for _, _, port, who in mail.listeners() if port == 109})


def test_what_inetd_starts_is_sealed_survives_a_boot_and_comes_back(lab: Lab) -> None:
    on = scene(lab, "inetd")
    mail = on.mail
    install_stunnel(mail)
    before = mail.snapshot(PATHS)
    sealed(mail, "plan", f"{NAME}:109", "--stage", "offer", "-o", PLAN)
    sealed(mail, "apply", PLAN, "--yes")
    on.check_cleartext()
    assert on.log_in("tls", 1109, ca=on.ca()) == on.answered

    sealed(mail, "plan", f"{NAME}:109", "-o", PLAN, "--overwrite")
    sealed(mail, "apply", PLAN, "--yes")
    on.check_sealed()
    assert on.log_in("tls", 1109, ca=on.ca()) == on.answered
    refused = ran(mail, "setpriv", "--reuid=nobody", "--clear-groups", "ls", "/etc/mailseal/")
    assert "Permission denied" in refused.err

    renewed = ran(mail, "sh", "-e", "/etc/mailseal/renew", "1109", "now")
    assert "renewed, and served" in renewed.out, renewed.said
    on.check_sealed()

    mail.reboot()
    served(mail)
    on.check_sealed()
    assert on.log_in("tls", 1109, ca=on.ca()) == on.answered
    mail.run(["service", "mailseal", "reload"])
    on.check_sealed()

    for _ in range(2):
        sealed(mail, "rollback")
    on.check_cleartext()
    check_as_before(mail, before)
    mail.reboot()
    mail.wait_listening(109)
    on.check_cleartext()


def test_a_change_that_is_cut_is_undone_also_by_a_boot(lab: Lab) -> None:
    on = scene(lab, "inetd")
    mail = on.mail
    install_stunnel(mail)
    mail.write(PYZ, bundle.build())
    sealed(mail, "plan", f"{NAME}:109", "-o", PLAN)
    file = codec.loads(PlanFile, mail.read(PLAN), lenient=False)
    mail.write(PAYLOAD, file.payload.encode())
    before = mail.snapshot(PATHS)

    mail.run(["sh", "-c", _KILLED], timeout=120)
    wait_until(lambda: states(mail) == [RunState.UNDONE], 60)
    on.check_cleartext()
    check_as_before(mail, before)

    mail.run(["sh", "-c", _HELD], timeout=120)
    assert states(mail)[-1] is RunState.HELD
    on.check_sealed()
    mail.reboot()
    wait_until(lambda: states(mail) == [RunState.UNDONE] * 2, 60)
    on.check_cleartext()
    check_as_before(mail, before)


def states(mail: Host) -> list[RunState]:
    """Of the runs, oldest first."""
    return [each.state for each in receipts(mail)]


_HELD = f"python3 -I {PYZ} apply 300 <{PAYLOAD} >/srv/said 2>&1"
_KILLED = f"""
{_HELD} &
until grep -q 'wrote /etc/mailseal/109.conf' /srv/said; do kill -0 $! && sleep 0.05 || exit; done
kill -KILL $!
"""
