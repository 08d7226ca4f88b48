"""How a service is started, told from facts alone, and what it takes to change that."""

from dataclasses import replace

import pytest

from mailseal import starters
from mailseal.configs import systemd
from mailseal.facts.gather import gather
from mailseal.model.host import FileFact, Server
from mailseal.model.ops import EditFile, MakeDirectory, WriteFile
from mailseal.starters.base import Start
from tests.plan import hosts
from tests.plan.hosts import INETD, UNIT, XINETD, facts


def found(starter: str, config: bytes) -> Start:
    start = starters.find(gather(hosts.SYSTEMS[starter](config)), 109)
    assert start is not None
    return start


def edited(start: Start) -> str:
    """What the one edit of a file makes of it, told by its new words."""
    (edit,) = [op for op in start.off.edit if isinstance(op, EditFile)]
    return b"|".join(splice.new for splice in edit.splices).decode()


@pytest.mark.parametrize(
    ("starter", "unit"),
    [("inetd", "inetd.service"), ("xinetd", "xinetd.service"), ("systemd", "pop2d.service")],
)
def test_each_starter_is_told_from_the_others(starter: str, unit: str):
    start = starters.find(facts(starter), 109)
    assert start is not None
    assert (start.starter, start.unit) == (starter, unit)
    assert start.problems == start.fixed == ()
    assert starters.find(facts(starter), 110) is None


def test_a_line_that_another_program_serves_is_not_inetds():
    """`xinetd` ends in `inetd`, and an old inetd.conf lies about."""
    system = hosts.xinetd()
    system.put("/etc/inetd.conf", INETD)
    start = starters.find(gather(system), 109)
    assert start is not None
    assert start.starter == "xinetd"


def test_listeners_of_two_programs_are_nobodys():
    base = facts("inetd")
    other = hosts.listener("192.0.2.99", process="nginx", unit="")
    assert starters.find(replace(base, listeners=(*base.listeners, other)), 109) is None


def test_inetd_serves_the_same_program_from_a_socket():
    start = found("inetd", INETD.replace(b"root\t/usr/sbin/ipop2d", b"mail.daemon\t/usr/sbin/tcpd"))
    assert start.server == Server("/usr/sbin/ipop2d", ("ipop2d",), "mail", "daemon")
    assert edited(start).count("# mailseal: ") == 2


def test_xinetd_serves_the_same_program_and_tells_what_is_lost():
    start = found("xinetd", XINETD)
    argv = ("ipop2d", "-d", "$x", "100%")
    assert start.server == Server("/usr/sbin/ipop2d", argv, "mail", "", ("LANG=C",))
    assert any("only_from = 192.0.2.0/24" in words for words in start.lost)
    assert edited(start) == " yes" or edited(start) == "yes"
    assert "/etc/xinetd.conf" in start.files


@pytest.mark.parametrize(
    ("starter", "config", "says"),
    [
        ("inetd", INETD.replace(b"\tnowait", b"\twait"), "marked `wait`"),
        (
            "inetd",
            INETD.replace(b"tcp6\tnowait\troot", b"tcp6\tnowait\tmail"),
            "different programs",
        ),
        ("inetd", INETD.replace(b"/usr/sbin/ipop2d\tipop2d", b"internal"), "by itself"),
        ("xinetd", XINETD.replace(b"wait = no", b"wait = yes"), "marked `wait`"),
        ("xinetd", XINETD.replace(b"\tenv", b"\tredirect = 192.0.2.9 109\n\tenv"), "redirects"),
        ("systemd", UNIT.replace(b" --listen 0.0.0.0:109 --listen [::]:109", b""), "not name port"),
        ("systemd", UNIT.replace(b"--listen [::]", b"-6 [::]"), "names port 109 in several ways"),
        ("systemd", UNIT.replace(b"--listen 0.0.0.0:109 --listen", b":109 -q"), "in several ways"),
    ],
)
def test_what_cannot_stand_behind_a_terminator_can_still_be_turned_off(
    starter: str, config: bytes, says: str
):
    start = found(starter, config)
    assert start.problems == ()
    assert says in "; ".join(start.fixed)
    assert start.off.edit


@pytest.mark.parametrize("starter", ["inetd", "xinetd"])
def test_a_starter_that_no_unit_runs_is_left_alone(starter: str):
    base = facts(starter)
    start = starters.find(replace(base, units=()), 109)
    assert start is not None
    assert "no active unit" in start.problems[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("--listen 0.0.0.0:109 --listen [::]:109", "--listen 127.0.0.1:1009"),
        ("--listen=0.0.0.0:109 --listen=[::]:109", "--listen=127.0.0.1:1009"),
        ("0.0.0.0:109 [::]:109", "127.0.0.1:1009"),
        ("-l 0.0.0.0:109 -v -l [::]:109", "-l 127.0.0.1:1009 -v"),
        ("--listen *:109", "--listen 127.0.0.1:1009"),
        ("--listen :109 --listen :110", "--listen 127.0.0.1:1009 --listen :110"),
        ("--bind 192.0.2.10,109 -v", "--bind 127.0.0.1:1009 -v"),
    ],
)
def test_a_daemon_is_moved_by_a_drop_in(before: str, after: str):
    unit = UNIT.replace(b"--listen 0.0.0.0:109 --listen [::]:109", before.encode())
    start = found("systemd", unit)
    assert start.rebound is not None
    directory, drop_in = start.rebound.edit
    assert isinstance(directory, MakeDirectory)
    assert isinstance(drop_in, WriteFile)
    lines = systemd.effective([systemd.parse(unit), systemd.parse(drop_in.content)])
    assert lines["Service"]["ExecStart"] == ("/usr/sbin/ipop2d %s --quiet" % after,)


def test_the_drop_in_counts_behind_those_of_the_administrator():
    system = hosts.standalone()
    path = "/etc/systemd/system/pop2d.service.d/override.conf"
    system.put(path, b"[Service]\nExecStart=\nExecStart=/opt/pop2d --listen [::]:109\n")
    system.manager.reload_files()
    start = starters.find(gather(system), 109)
    assert start is not None
    assert path in start.files
    assert start.rebound is not None
    (drop_in,) = start.rebound.edit
    assert isinstance(drop_in, WriteFile)
    assert drop_in.path > path
    assert b"ExecStart=/opt/pop2d --listen 127.0.0.1:1009" in drop_in.content


def test_the_backend_port_is_free_and_nobodys():
    base = facts("systemd")
    services = FileFact("/etc/services", "file", 0o644, 0, 0, "", b"known\t1009/tcp\n")
    busy = hosts.listener("127.0.0.1", 1008)
    of = replace(
        base,
        files=(*(fact for fact in base.files if fact.path != "/etc/services"), services),
        listeners=(*base.listeners, busy),
    )
    start = starters.find(of, 109)
    assert start is not None
    assert start.backend == 1007


def test_access_rules_that_no_longer_count_are_told():
    system = hosts.inetd(INETD.replace(b"/usr/sbin/ipop2d", b"/usr/sbin/tcpd"))
    system.put("/etc/hosts.allow", b"# none\n\n")
    system.put("/etc/hosts.deny", b"ipop2d: ALL EXCEPT 192.0.2.\n")
    start = starters.find(gather(system), 109)
    assert start is not None
    assert any("/etc/hosts.deny" in words for words in start.lost)
    assert not any("/etc/hosts.allow" in words for words in start.lost)
