"""A runbook run as given reaches what `apply` reaches, and takes it back; the client pack's README
as typed lets a program without TLS log in at a sealed service.
"""

from __future__ import annotations

import re

import pytest

from lab import Host, Lab
from lab.snapshot import Entry
from tests.lab.story import (
    NAME,
    State,
    changed,
    check_as_before,
    desk,
    mailseal,
    package_alone,
    ran,
    scene,
    sealed,
    state,
)

pytestmark = [pytest.mark.lab, pytest.mark.slow]

TARGET = f"{NAME}:109"
_DRAWN = re.compile(r"/etc/mailseal/[a-z0-9]+\.(crt|key)")
"""Files that hold a key drawn on the host: every run makes others."""
_RECORD = re.compile(r"/var/lib/mailseal(/.*)?|/run/mailseal\.lock|/var/log/.*|/srv/.*")


_LOG_IN = """
exec 3<>/dev/tcp/127.0.0.1/109
head -n 1 <&3
printf 'HELO %s %s\\r\\nQUIT\\r\\n' >&3
cat <&3
"""


def comparable(found: State) -> dict[str, Entry]:
    files = {}
    for path, entry in found.files.items():
        if not _RECORD.fullmatch(path):
            drawn = _DRAWN.fullmatch(path)
            files[path] = (*entry[:4], "", entry[5]) if drawn else entry
    return files


def run(host: Host, script: str, code: int = 0) -> str:
    done = ran(host, "sh", script)
    assert done.code == code, done.said
    return done.said


@pytest.mark.timeout(240)
@pytest.mark.parametrize("starter", ["inetd", "standalone"])
def test_the_runbook_does_what_apply_does_and_undoes_it(lab: Lab, starter: str) -> None:
    on = scene(lab, "bookworm", starter)
    mail = on.mail
    before = state(mail)
    sealed(mail, "plan", TARGET, "-o", "/srv/plan.json")
    sealed(mail, "export", "/srv/plan.json", "--to", "shell", "-o", "/srv/book")

    assert "All steps are done" in run(mail, "/srv/book/runbook.sh")
    on.check_sealed()
    by_hand = state(mail)
    assert "step 1 is done" in run(mail, "/srv/book/runbook.sh")
    check_as_before(by_hand, state(mail))
    mail.reboot()
    on.check_sealed()

    assert "the host is as before" in run(mail, "/srv/book/undo.sh")
    on.check_cleartext()
    check_as_before(before, state(mail), package_alone("bookworm"))
    assert "nothing to undo" in run(mail, "/srv/book/undo.sh")

    sealed(mail, "seal", TARGET, "--yes")
    on.check_sealed()
    applied = state(mail)
    assert changed(comparable(by_hand), comparable(applied)) == {}
    assert changed(by_hand.units, applied.units) == {}
    assert by_hand.listeners == applied.listeners


@pytest.mark.timeout(240)
def test_a_runbook_refuses_what_is_not_as_planned_and_the_pack_lets_clients_in(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd")
    mail = on.mail
    sealed(mail, "plan", TARGET, "-o", "/srv/plan.json")
    sealed(mail, "export", "/srv/plan.json", "--to", "shell", "-o", "/srv/book")
    conf = mail.read("/etc/inetd.conf")
    mail.write("/etc/inetd.conf", conf + b"# edited since\n")
    before = state(mail)
    assert "/etc/inetd.conf was changed since" in run(mail, "/srv/book/runbook.sh", 6)
    check_as_before(before, state(mail))
    mail.write("/etc/inetd.conf", conf)

    # The backend dies before the trial: the runbook stops there, and goes on when it is mended.
    mail.run(["mv", "/usr/local/sbin/ipop2d", "/usr/local/sbin/away"])
    stopped = run(mail, "/srv/book/runbook.sh", 6)
    assert "the service does not greet through TLS" in stopped
    assert "stopped at step" in stopped
    mail.run(["mv", "/usr/local/sbin/away", "/usr/local/sbin/ipop2d"])
    on.check_cleartext()
    run(mail, "/srv/book/runbook.sh")
    on.check_sealed()

    at = desk(on)
    at.write("/root/plan.json", mail.read("/srv/plan.json"))
    at.write("/root/ca.crt", on.ca().encode())
    pack = ("--to", "client-pack", "--ca", "/root/ca.crt", "-o", "/root/pack")
    done = mailseal(at, "export", "/root/plan.json", *pack)
    assert done.code == 0, done.said
    readme = at.read("/root/pack/README.txt").decode()
    start, end = readme.index("    apt-get install"), readme.index("Windows:")
    at.run(
        ["sh", "-ec", "cd /root/pack\n" + readme[start:end].replace("install st", "install -y st")]
    )
    account = mail.account
    said = ran(at, "bash", "-c", _LOG_IN % (account.user, account.password))
    assert said.out.replace("\r", "").splitlines() == on.answered[0]
