"""Rehearsals from a workstation: the copy is made on the mail host and looked at from its street,
and however the rehearsal ends, nothing of it is on the mail host afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from lab import Host, Lab
from tests.lab.story import (
    NAME,
    Ran,
    Scene,
    check_as_before,
    desk,
    mailseal,
    ran,
    scene,
    sealed,
    state,
    wait_until,
)
from tests.lab.test_rehearse import PLAN, UNIT, check_gone, inetd, proofs

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]

THERE = ("--on", "ssh://mailhost")


def planned(lab: Lab) -> tuple[Scene, Host]:
    """A mail host that can be copied, and a workstation with a plan for it."""
    on = scene(lab, "rehearsal", "inetd")
    home = desk(on)
    sealed(home, "plan", "ssh://mailhost", "--name", NAME, "-o", PLAN)
    return on, home


# A shell has what it puts behind itself ignore SIGINT.
_BEGUN = """
env --default-signal=INT mailseal rehearse %s %s &
echo $! >/run/rehearsing
wait $!
"""
_INTERRUPT = "pid=$(cat /run/rehearsing); kill -INT $pid $(pgrep -P $pid)"
"""As a terminal does: the ssh that it has begun gets it too."""


def begun(home: Host, mail: Host, end: Callable[[], object]) -> Ran:
    """Rehearses, and has `end` end it while the copy is being changed."""
    done: list[Ran] = []
    command = _BEGUN % (PLAN, " ".join(THERE))
    working = threading.Thread(target=lambda: done.append(ran(home, "sh", "-c", command)))
    working.start()
    try:
        # The host sees the processes of the copy.
        wait_until(lambda: "stunnel" in ran(mail, "ps", "-eo", "comm").out, 60)
        end()
    finally:
        working.join(120)
    return done[0]


def copy_is_gone(mail: Host) -> bool:
    active = ran(mail, "systemctl", "is-active", UNIT).out.strip() != "inactive"
    return not active and not ran(mail, "sh", "-c", "ls -d /tmp/mailseal-*").out


def test_it_tells_what_apply_would_and_leaves_nothing_also_where_it_is_killed(lab: Lab) -> None:
    on, home = planned(lab)
    mail = on.mail
    before, served = state(mail), inetd(mail)
    done = mailseal(home, "rehearse", PLAN, *THERE)
    assert done.code == 0, done.said
    kinds = {"cleartext-refused", "service-in-tls"}
    places = {f"{mail.ipv4}:109", f"[{mail.ipv6}]:109"}
    assert proofs(done) == {(kind, place): "pass" for kind in kinds for place in places}
    assert "done and confirmed" in done.out
    assert "undone: the host is as before" in done.out
    check_gone(mail)
    check_as_before(before, state(mail))

    killed = begun(home, mail, lambda: home.run(["sh", "-c", "kill -KILL $(cat /run/rehearsing)"]))
    assert "done and confirmed" not in killed.out
    wait_until(lambda: copy_is_gone(mail), 30)
    check_gone(mail)
    check_as_before(before, state(mail))
    assert inetd(mail) == served
    on.check_cleartext()


_CUT = (
    "add table inet cut; add chain inet cut input { type filter hook input priority 0; }; "
    "add rule inet cut input tcp dport 22 drop"
)


@pytest.mark.soak
def test_a_connection_that_is_cut_without_a_word_takes_the_copy_with_it(lab: Lab) -> None:
    on, home = planned(lab)
    mail = on.mail
    before = state(mail)
    done = begun(home, mail, lambda: mail.run(["nft", _CUT]))
    assert done.code == 6, done.said
    assert "the copy was lost on the way" in done.err
    wait_until(lambda: copy_is_gone(mail), 90)
    mail.run(["nft", "delete", "table", "inet", "cut"])
    check_gone(mail)
    check_as_before(before, state(mail))
    on.check_cleartext()


@pytest.mark.soak
def test_control_c_ends_it_and_there_is_one_at_a_time(lab: Lab) -> None:
    on, home = planned(lab)
    mail = on.mail
    before = state(mail)
    busy: list[Ran] = []

    def end() -> None:
        busy.append(mailseal(home, "rehearse", PLAN, *THERE))
        home.run(["sh", "-c", _INTERRUPT])

    done = begun(home, mail, end)
    assert (busy[0].code, done.code) == (6, 130), busy[0].said + done.said
    assert "another rehearsal is under way" in busy[0].err
    wait_until(lambda: copy_is_gone(mail), 30)
    check_gone(mail)
    check_as_before(before, state(mail))


@pytest.mark.soak
def test_a_host_that_cannot_be_copied_says_so_there(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd")
    home = desk(on)
    sealed(home, "plan", "ssh://mailhost", "--name", NAME, "-o", PLAN)
    before = state(on.mail)
    done = mailseal(home, "rehearse", PLAN, *THERE)
    assert done.code == 6, done.said
    assert "no systemd-nspawn here: install the package systemd-container" in done.err
    check_as_before(before, state(on.mail))
