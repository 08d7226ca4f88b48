"""What fails half-way is undone whole: exit code 4, the reason, and the host as it was.

One host that serves POP2 and has stunnel, so that a run ends with nothing to except. Each case
breaks one thing behind the back of a plan that was good when it was made.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lab import Lab, missing
from lab.pop2 import INSTALLED
from tests.lab.story import (
    NAME,
    Ran,
    Scene,
    check_as_before,
    install_stunnel,
    mailseal,
    ran,
    scene,
    sealed,
    state,
    wait_until,
)

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.xdist_group("undone")]

TARGET = f"{NAME}:109"
APPLY = ("apply", "/srv/plan.json", "--yes")


@pytest.fixture(scope="module")
def on() -> Iterator[Scene]:
    """A host with stunnel and a plan that could be applied."""
    reasons = missing()
    if reasons:
        pytest.skip("; ".join(reasons))
    with Lab() as lab:
        made = scene(lab, "bookworm", "inetd")
        install_stunnel(made.mail)
        sealed(made.mail, "plan", TARGET, "-o", "/srv/plan.json")
        yield made


def check_undone(done: Ran, reason: str) -> None:
    assert done.code == 4, done.said
    assert "undone: the host is as before" in done.out
    assert reason in done.out, done.out


PICKY = b"""#!/usr/bin/python3
# Serves clients of the network alone, as a program does that asks for the name of its peer.
import os, socket, sys
if socket.socket(fileno=os.dup(0)).family == socket.AF_UNIX:
    sys.exit(1)
os.execv("/usr/local/sbin/real-ipop2d", sys.argv)
"""


def test_a_backend_that_is_dead_behind_the_terminator(on: Scene) -> None:
    mail = on.mail
    mail.run(["mv", INSTALLED, "/usr/local/sbin/real-ipop2d"])
    mail.write(INSTALLED, PICKY, 0o755)
    before = state(mail)
    done = mailseal(mail, *APPLY)
    check_as_before(before, state(mail))
    on.check_cleartext()
    mail.run(["mv", "/usr/local/sbin/real-ipop2d", INSTALLED])
    check_undone(done, "the service does not greet")


RELOAD = b"""#!/bin/sh
# Stands for an administrator's own hook: takes the port as soon as inetd has let go of it.
if grep -q '^# mailseal: 109' /etc/inetd.conf; then
    kill -HUP "$1"
    systemd-run --quiet --unit=grab --service-type=notify --property=NotifyAccess=all \\
        python3 /usr/local/sbin/grab
else
    systemctl stop grab
    kill -HUP "$1"
fi
"""
GRAB = b"""import socket, subprocess, time
for attempt in range(1000):
    try:
        taken = socket.create_server(("192.0.2.10", 109), reuse_port=False)
        break
    except OSError:
        time.sleep(0.01)
subprocess.run(["systemd-notify", "--ready"], check=True)
time.sleep(120)
"""
HOOK = b"[Service]\nExecReload=\nExecReload=/usr/local/sbin/reload-inetd $MAINPID\n"


def test_a_port_that_another_takes_in_the_gap(on: Scene) -> None:
    mail = on.mail
    mail.write("/usr/local/sbin/reload-inetd", RELOAD, 0o755)
    mail.write("/usr/local/sbin/grab", GRAB)
    mail.run(["mkdir", "/etc/systemd/system/inetd.service.d"])
    mail.write("/etc/systemd/system/inetd.service.d/hook.conf", HOOK)
    mail.run(["systemctl", "daemon-reload"])
    before = state(mail)
    done = mailseal(mail, *APPLY)
    check_as_before(before, state(mail))
    mail.run(["rm", "-r", "/etc/systemd/system/inetd.service.d"])
    mail.run(["systemctl", "daemon-reload"])
    check_undone(done, "after start mailseal@109.service: nothing listens on")
    on.check_cleartext()


@pytest.mark.parametrize(("path", "size"), [("/var/lib/mailseal", "512k"), ("/etc/mailseal", "4k")])
def test_a_full_disk(on: Scene, path: str, size: str) -> None:
    mail = on.mail
    mail.run(["mkdir", "-p", path])
    mail.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "full", path])
    sealed(mail, "plan", TARGET, "-o", "/srv/full.json", "--overwrite")
    before = state(mail)
    done = mailseal(mail, "apply", "/srv/full.json", "--yes")
    after = state(mail)
    mail.run(["umount", path])
    mail.run(["rmdir", "--ignore-fail-on-non-empty", path])
    check_as_before(before, after)
    check_undone(done, "No space left on device")
    on.check_cleartext()


def test_a_signal(on: Scene) -> None:
    mail = on.mail
    before = state(mail)
    unit = ["systemd-run", "--wait", "--pipe", "--quiet", "--collect", "--unit=applying"]
    done: list[Ran] = []
    working = threading.Thread(target=lambda: done.append(ran(mail, *unit, "mailseal", *APPLY)))
    working.start()
    try:
        # From here on the service is switched, and the proofs, which take seconds, are under way.
        wait_until(lambda: any(each[2:] == (109, "stunnel4") for each in mail.listeners()), 60)
        mail.run(["systemctl", "kill", "--signal=TERM", "--kill-whom=main", "applying"])
    finally:
        working.join(120)
    check_as_before(before, state(mail))
    check_undone(done[0], "SIGTERM")
    on.check_cleartext()


def test_a_package_that_cannot_be_installed(lab: Lab) -> None:
    made = scene(lab, "bookworm", "inetd")
    mail = made.mail
    mail.run(["sh", "-c", "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*"])
    mail.run(["apt-get", "update"])
    before = state(mail)
    done = mailseal(mail, "seal", TARGET, "--yes")
    check_as_before(before, state(mail))
    check_undone(done, "package stunnel4 cannot be installed")
    made.check_cleartext()
