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
    install_stunnel,
    mailseal,
    package_alone,
    ran,
    scene,
    sealed,
    state,
    wait_until,
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

    mail.run(["sh", "/etc/mailseal/renew", "109", "now"])
    assert "the host is as before" in run(mail, "/srv/book/undo.sh")
    on.check_cleartext()
    check_as_before(before, state(mail), package_alone("bookworm"))
    assert "nothing to undo" in run(mail, "/srv/book/undo.sh")

    sealed(mail, "seal", TARGET, "--yes")
    # The first session starts what stands between stunnel and a stand-alone daemon.
    assert on.log_in("tls", ca=on.ca()) == on.answered
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
    planned = mail.read("/etc/inetd.conf")
    mail.write("/etc/inetd.conf", planned + b"# edited since\n")
    assert "/etc/inetd.conf was changed since" in run(mail, "/srv/book/undo.sh", 6)
    on.check_sealed()
    mail.write("/etc/inetd.conf", planned)

    at = desk(on)
    at.write("/srv/plan.json", mail.read("/srv/plan.json"))
    at.write("/srv/ca.crt", on.ca().encode())
    pack = ("--to", "client-pack", "--ca", "/srv/ca.crt", "-o", "/srv/pack")
    done = mailseal(at, "export", "/srv/plan.json", *pack)
    assert done.code == 0, done.said
    readme = at.read("/srv/pack/README.txt").decode()
    start, end = readme.index("    apt-get install"), readme.index("Windows:")
    at.run(
        ["sh", "-ec", "cd /srv/pack\n" + readme[start:end].replace("install st", "install -y st")]
    )
    wait_until(lambda: any(each[2] == 109 for each in at.listeners()))
    account = mail.account
    said = ran(at, "bash", "-c", _LOG_IN % (account.user, account.password))
    log = ran(at, "journalctl", "-u", "mailseal-client", "-o", "cat", "--no-pager").said
    assert said.out.replace("\r", "").splitlines() == on.answered[0], said.err + log


MAIL = "/srv/mail.crt"
EXCEPT = ("--except", "198.51.100.0/24", "--until", "2035-03-31", "--owner", "alice")
OTHERS = [
    ("bullseye", "xinetd", ()),
    ("bullseye", "standalone", ()),
    ("bookworm", "standalone", ("--stage", "offer")),
    ("bookworm", "standalone", ("--strategy", "retire")),
    ("bookworm", "inetd", ("--cert", MAIL, "--key", "/srv/mail.key", "--ca", MAIL)),
    ("bookworm", "inetd", (*EXCEPT, "--reason", "scanners")),
]


@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("system", "starter", "words"), OTHERS)
def test_other_plans_run_as_a_runbook_too(
    lab: Lab, system: str, starter: str, words: tuple[str, ...]
) -> None:
    on = scene(lab, system, starter)
    mail, at = on.mail, desk(on)
    if "--cert" in words:
        mail.run(["sh", "-ec", _CERTIFICATE % (NAME, NAME)])
    before = state(mail)
    plan = mailseal(at, "plan", "ssh://mailhost", "--name", NAME, *words, "-o", "/srv/plan.json")
    assert plan.code == 0, plan.said
    made = mailseal(at, "export", "/srv/plan.json", "--to", "shell", "-o", "/srv/book")
    assert made.code == 0, made.said
    for name in ("runbook.sh", "undo.sh"):
        mail.write(f"/srv/{name}", at.read(f"/srv/book/{name}"), mode=0o700)
    run(mail, "/srv/runbook.sh")
    assert "All steps are done" in run(mail, "/srv/runbook.sh")
    if "retire" in words:
        assert on.log_in("polite") == [["!ConnectionRefusedError"]] * 2
    elif "offer" in words:
        on.check_cleartext()
        on.check_sealed(1109)
    else:
        on.check_sealed(ca=mail.read(MAIL).decode() if "--cert" in words else None)
    if "--except" in words:  # It ends before it is undone.
        mail.write("/usr/local/bin/date", b"#!/bin/sh\necho 20350401\n", mode=0o755)
        mail.run(["systemctl", "start", "mailseal-except-109.service"])
        mail.run(["rm", "/usr/local/bin/date"])
        assert b"198.51.100.0" not in mail.read("/etc/mailseal/except-109.nft")
    run(mail, "/srv/undo.sh")
    on.check_cleartext()
    mail.run(["rm", "/srv/runbook.sh", "/srv/undo.sh"])
    check_as_before(before, state(mail), package_alone(system))


_CERTIFICATE = """
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=%s -addext subjectAltName=DNS:%s \\
    -keyout /srv/mail.key -out /srv/mail.crt 2>/dev/null
chmod 600 /srv/mail.key
"""


@pytest.mark.soak
@pytest.mark.timeout(400)
@pytest.mark.parametrize("starter", ["inetd", "standalone"])
def test_a_runbook_that_is_stopped_in_any_step_is_undone_or_goes_on(lab: Lab, starter: str) -> None:
    on = scene(lab, "bookworm", starter)
    mail = on.mail
    install_stunnel(mail)
    sealed(mail, "plan", TARGET, "-o", "/srv/plan.json")
    sealed(mail, "export", "/srv/plan.json", "--to", "shell", "-o", "/srv/book")
    book = mail.read("/srv/book/runbook.sh")
    steps = book.count(b"# -- Step ")
    mortal = book.replace(b"\nbegin() {", _MORTAL + b"\nbegin_() {", 1)
    mail.write("/srv/mortal.sh", mortal.replace(b"\nend() { :", b"\nend_() { :", 1))
    before = state(mail)
    for point in ("begin", "end"):
        for number in range(1, steps + 1):
            done = ran(mail, "env", f"DIE={point} {number}", "sh", "/srv/mortal.sh")
            assert done.code == 9, (number, done.said)
            run(mail, "/srv/book/undo.sh")
            check_as_before(before, state(mail))
    for number in range(1, steps + 1):
        assert ran(mail, "env", f"DIE=end {number}", "sh", "/srv/mortal.sh").code == 9
    run(mail, "/srv/book/runbook.sh")
    on.check_sealed()


_MORTAL = b"""
begin() { begin_; [ "${DIE:-}" != "begin $STEP" ] || exit 9; }
end() { [ "${DIE:-}" != "end $STEP" ] || exit 9; end_; }"""
