"""Rehearsals on booted hosts: what the copy shows is what `apply` would do, and the host, which
goes on serving, is as it was. A rehearsal that is killed leaves nothing in the way of the next.

Strategy: the same host makes a copy of itself in the lab, so a booted host boots inside a booted
host. Where the copy shows a failure, the host itself is then asked for the same, and fails alike.
"""

from __future__ import annotations

import re
import shlex
import threading

import pytest

from lab import Host, Lab
from tests.lab.story import (
    NAME,
    PROGRAM,
    ROOT,
    Ran,
    Scene,
    check_as_before,
    mailseal,
    ran,
    scene,
    sealed,
    state,
    wait_until,
)
from tests.lab.test_docs import commands

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]

PAGE = ROOT / "docs" / "howto" / "rehearse-a-plan.md"
TARGET = f"{NAME}:109"
PLAN = "/srv/plan.json"
UNIT = "mailseal-rehearsal.service"


def proofs(done: Ran) -> dict[tuple[str, str], str]:
    """Kind and endpoint of what was looked at from outside, to the result."""
    found = re.findall(r"^  (\w+) +(\S+) +(\S+) +seen from remote", done.out, re.MULTILINE)
    return {(kind, where): result for result, kind, where in found}


def check_gone(mail: Host) -> None:
    """No unit, no mount, no interface and no file of a copy; no record of its run."""
    assert ran(mail, "systemctl", "is-active", UNIT).out.strip() == "inactive"
    assert " - tmpfs mailseal " not in mail.read("/proc/1/mountinfo").decode()
    links = ran(mail, "ip", "-br", "link").out.split("\n")
    assert [line.split("@")[0].split()[0] for line in links if line] == ["lo", "eth0"]
    assert ran(mail, "ls", "/var/lib/mailseal").code != 0
    assert ran(mail, "sh", "-c", "ls -d /run/mailseal* /tmp/mailseal*").out.split() == [
        "/run/mailseal-rehearsal.lock"
    ]


def inetd(mail: Host) -> str:
    return ran(mail, "systemctl", "show", "-p", "MainPID,ActiveEnterTimestamp", "inetd").out


# -- what would work -------------------------------------------------------------------------------


_BY_HAND = b"""[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=test -e /run/by-hand
[Install]
WantedBy=multi-user.target
"""


def test_the_commands_of_the_page_rehearse_a_plan_and_end_what_is_left_of_another(lab: Lab) -> None:
    on = scene(lab, "rehearsal", "inetd")
    mail = on.mail
    mail.write("/etc/systemd/system/by-hand.service", _BY_HAND)
    mail.run(["touch", "/run/by-hand"])
    mail.run(["systemctl", "enable", "--now", "by-hand.service"])
    # What is mounted elsewhere is copied too; here it is what the plan changes.
    mail.run(["mount", "--bind", "/etc", "/etc"])
    before, served = state(mail), inetd(mail)
    # As one that was killed might leave it, whose end does not come by itself.
    mail.run(["systemd-run", "--quiet", "--collect", "--unit=" + UNIT, "sleep", "600"])
    with lab.capture(on.net) as wire:
        for command in commands(PAGE):
            done = ran(mail, "env", "-C", "/run", *shlex.split(command))
            assert done.code == 0, done.said
        assert not wire.payload()
    assert "ending what is left of a rehearsal that was killed" in done.err
    kinds = {"cleartext-refused", "service-in-tls"}
    places = {f"{mail.ipv4}:109", f"[{mail.ipv6}]:109"}
    assert proofs(done) == {(kind, place): "pass" for kind in kinds for place in places}
    assert "the host is untouched" in done.out
    assert "  the copy: by-hand.service failed in it, and not on the host\n" in done.out
    assert "done and confirmed" in done.out
    assert "undone: the host is as before" in done.out
    assert inetd(mail) == served
    check_gone(mail)
    check_as_before(before, state(mail))
    on.check_cleartext()


# -- what would not --------------------------------------------------------------------------------


_DROP = (
    "add table inet trap; add chain inet trap in { type filter hook input priority 0; }; "
    'add rule inet trap in iifname "eth0" tcp dport 1109 drop'
)


def firewall(on: Scene) -> tuple[str, ...]:
    """Rules that are in force and in no file, and that only who comes by eth0 meets."""
    on.mail.run(["nft", _DROP])
    return ("--stage", "offer")


_KEEP = b"""[Path]
PathChanged=/etc/inetd.conf
[Install]
WantedBy=multi-user.target
"""
_RESTORE = b"""[Service]
Type=oneshot
ExecStart=/bin/cp /etc/inetd.conf.kept /etc/inetd.conf
ExecStart=/bin/systemctl reload inetd
"""


def keeper(on: Scene) -> tuple[str, ...]:
    """Somebody else's configuration has the last word."""
    mail = on.mail
    mail.run(["cp", "/etc/inetd.conf", "/etc/inetd.conf.kept"])
    mail.write("/etc/systemd/system/keep.path", _KEEP)
    mail.write("/etc/systemd/system/keep.service", _RESTORE)
    mail.run(["systemctl", "enable", "--now", "keep.path"])
    return ()


@pytest.mark.parametrize("trap", [firewall, pytest.param(keeper, marks=pytest.mark.soak)])
def test_a_trap_is_met_by_the_copy(lab: Lab, trap) -> None:
    on = scene(lab, "rehearsal", "inetd")
    mail = on.mail
    options = trap(on)
    planned = sealed(mail, "plan", TARGET, *options, "-o", PLAN)
    # A rule that names the port was meant, and no plan overrides it.
    assert ("port 1109, and stays as it is" in planned) is (trap is firewall)
    before, served = state(mail), inetd(mail)
    done = mailseal(mail, "rehearse", PLAN)
    assert done.code == 4, done.said
    assert "undone: the host is as before" in done.out
    assert inetd(mail) == served
    check_gone(mail)
    check_as_before(before, state(mail))
    on.check_cleartext()
    if trap is firewall:
        outside = proofs(done)
        assert outside["service-in-tls", f"{mail.ipv4}:1109"] == "fail", outside
    else:
        assert mailseal(mail, "apply", PLAN, "--yes").code == 4


_FILL = """
for size in 8M 64k 4k; do
    number=0
    while fallocate -l $size /var/fill.$size.$number 2>/dev/null; do number=$((number + 1)); done
done
rm -f /var/fill.4k.*
"""


def test_a_full_disk_is_full_in_the_copy(lab: Lab) -> None:
    net = lab.network()
    binds = {ROOT: "/srv/mailseal"}
    mail = lab.host("mailhost", system="rehearsal", network=net, durable=True, binds=binds)
    mail.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    mail.install_pop2d("inetd")
    mail.run(["mkdir", "/dev/shm/plan"])
    sealed(mail, "plan", f"{mail.ipv4}:109", "-o", "/dev/shm/plan/plan.json")
    ran(mail, "sh", "-c", _FILL)
    before = state(mail)
    done = mailseal(mail, "rehearse", "/dev/shm/plan/plan.json")
    assert done.code == 4, done.said
    assert "No space left on device" in done.out
    check_gone(mail)
    check_as_before(before, state(mail))
    real = mailseal(mail, "apply", "/dev/shm/plan/plan.json", "--yes")
    assert real.code == 4, real.said
    assert "No space left on device" in real.out


# -- where it cannot be ----------------------------------------------------------------------------


def test_a_host_that_cannot_be_copied_says_what_it_lacks(lab: Lab) -> None:
    mail = scene(lab, "bookworm", "inetd").mail
    sealed(mail, "plan", TARGET, "-o", PLAN)
    before = state(mail)
    done = mailseal(mail, "rehearse", PLAN)
    assert done.code == 6, done.said
    assert "no systemd-nspawn here: install the package systemd-container" in done.err

    mail.write("/usr/local/sbin/systemd-nspawn", b"#!/bin/sh\necho it cannot; exit 1\n", 0o755)
    broken = mailseal(mail, "rehearse", PLAN)
    mail.run(["rm", "/usr/local/sbin/systemd-nspawn"])
    assert broken.code == 6, broken.said
    assert "the copy does not boot: see above what it said (mailseal: the copy ended)" in broken.err
    assert "  it cannot\n" in broken.err
    check_gone(mail)

    mail.run(["install", "-m", "644", PLAN, "/tmp/plan.json"])
    asked = mailseal(mail, "rehearse", "/tmp/plan.json", user="nobody")
    assert asked.code == 6, asked.said
    assert "run it with sudo" in asked.err
    check_as_before(before, state(mail))


# -- killed ----------------------------------------------------------------------------------------

_TO_BE_KILLED = "mailseal rehearse %s & echo $! >/run/rehearsing; wait" % PLAN


def test_one_that_is_killed_leaves_nothing(lab: Lab) -> None:
    on = scene(lab, "rehearsal", "inetd")
    mail = on.mail
    sealed(mail, "plan", TARGET, "-o", PLAN)
    before, served = state(mail), inetd(mail)
    done: list[Ran] = []
    working = threading.Thread(
        target=lambda: done.append(ran(mail, "sh", "-c", _TO_BE_KILLED)),
    )
    working.start()
    try:
        wait_until(lambda: _applying(mail), 60)
        busy = mailseal(mail, "rehearse", PLAN)
        mail.run(["sh", "-c", "kill -KILL $(cat /run/rehearsing)"])
    finally:
        working.join(120)
    assert busy.code == 6, busy.said
    assert "another rehearsal is under way" in busy.err
    assert "done and confirmed" not in done[0].out
    wait_until(lambda: ran(mail, "systemctl", "is-active", UNIT).out.strip() == "inactive", 20)
    mail.run(["rm", "/run/rehearsing"])
    check_gone(mail)
    check_as_before(before, state(mail))
    assert inetd(mail) == served
    on.check_cleartext()


def _applying(mail: Host) -> bool:
    """Whether a change is being made in the copy, whose processes the host sees."""
    return "stunnel" in ran(mail, "ps", "-eo", "comm").out
