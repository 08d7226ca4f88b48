"""A host that sysvinit runs: the service of an init script is retired there, stays off after a
boot, and comes back as it was.
"""

from __future__ import annotations

import re

import pytest

from lab import Lab
from tests.lab.story import NAME, PROGRAM, ROOT, Scene, changed, mailseal, ran, sealed

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.soak]

PLAN = "/srv/plan.json"
PATHS = ("/etc", "/usr", "/var", "/root")
_PASSING = re.compile(
    # The record of runs, logs, what init keeps over a boot, and insserv(8)'s notes of the order of
    # the boot, which it writes anew with each change.
    r"/var/lib/(mailseal|urandom)(/|$)|/var/log/|/etc/init\.d/\.depend\."
)


def retired(on: Scene) -> bool:
    """Nothing listens, and the links of the boot say so."""
    links = ran(on.mail, "sh", "-c", "ls -d /etc/rc[2345].d/*pop2d").out.split()
    ports = {port for _, _, port, _ in on.mail.listeners()}
    return 109 not in ports and all("/K" in each for each in links)


def test_the_service_of_an_init_script_is_retired_and_comes_back(lab: Lab) -> None:
    net = lab.network()
    mail = lab.host("mailhost", system="sysvinit", network=net, binds={ROOT: "/srv/mailseal"})
    names = f"{mail.ipv4} {NAME}\n{mail.ipv6} {NAME}\n".encode()
    mail.write("/etc/hosts", mail.read("/etc/hosts") + names)
    mail.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    mail.install_pop2d("script")
    on = Scene(lab, net, mail, lab.client(net, "client"))
    on.check_cleartext()
    assert ran(mail, "cat", "/proc/1/comm").out == "init\n"

    wrapped = mailseal(mail, "plan", f"{NAME}:109", "-o", PLAN)
    assert wrapped.code == 6, wrapped.said
    assert "mailseal runbook sysv" in wrapped.err

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
    left = changed(before, mail.snapshot(PATHS))
    assert not [each for each in left if not _PASSING.match(each)], left
    mail.reboot()
    mail.wait_listening(109)
    on.check_cleartext()
