"""The simulated host does what we say a host does: files, kills, daemons, units, time, boot."""

import errno

import pytest

from mailseal.system.base import Meta, System
from mailseal.system.live import LiveSystem
from mailseal.system.memory import (
    Bind,
    Killed,
    MemorySystem,
    Point,
    disk_full_at,
    kill_at,
    seconds,
)
from mailseal.system.recorded import RecordedSystem, Recording

META = Meta(0o640, 0, 8)
INETD = b"109 stream tcp nowait root /usr/sbin/ipop2d ipop2d\n"
INETD6 = b"109 stream tcp6 nowait root /usr/sbin/ipop2d ipop2d\n"
STUNNEL_UNIT = (
    b"[Unit]\nRequires=mailseal-pop2.socket\n[Service]\n"
    b"ExecStart=/usr/bin/stunnel4 /etc/mailseal/pop2.conf\nExecReload=/bin/kill -HUP $MAINPID\n"
    b"RuntimeDirectory=mailseal\nUser=stunnel4\n[Install]\nWantedBy=multi-user.target\n"
)
SOCKET_UNIT = (
    b"[Socket]\nListenStream=/run/mailseal-pop2.sock\nSocketMode=0660\nSocketGroup=stunnel4\n"
)
STUNNEL = (
    b"foreground = yes\n[pop2]\naccept = 192.0.2.10:109\nconnect = /run/x\ncert = /c\nkey = /k\n"
)


def binds(system: MemorySystem) -> list[tuple[str, int, str]]:
    return [(each.address, each.port, each.unit) for each in system.listeners()]


def ctl(system: MemorySystem, *words: str) -> int:
    return system.run(["systemctl", *words]).code


def legacy() -> MemorySystem:
    """A booted mail host, POP2 behind inetd on both families, stunnel installed and configured."""
    system = MemorySystem()
    system.install("openbsd-inetd")
    system.install("stunnel4")
    system.put("/etc/inetd.conf", INETD + INETD6)
    system.put("/etc/systemd/system/mailseal-pop2.service", STUNNEL_UNIT)
    system.put("/etc/systemd/system/mailseal-pop2.socket", SOCKET_UNIT)
    system.put("/etc/mailseal/pop2.conf", STUNNEL)
    system.put("/c", b"PEM")
    system.put("/k", b"PEM", 0o600)
    system.manager.boot()
    return system


def test_each_system_fits_the_protocol():
    systems: list[System] = [MemorySystem(), LiveSystem(), RecordedSystem(Recording({}))]
    assert len(systems) == 3


# -- files ----------------------------------------------------------------------------------------


def test_files_behave_as_files():
    system = MemorySystem()
    system.write("/etc/a", b"one", META)
    system.append("/etc/a", b" two")
    assert system.read("/etc/a") == b"one two"
    found = system.stat("/etc/a")
    assert found
    assert (found.kind, found.meta.mode, found.meta.gid, found.size) == ("file", 0o640, 8, 7)
    system.symlink("/etc/l", "a")
    with pytest.raises(OSError, match="symbolic"):
        system.read("/etc/l")
    system.mkdir("/etc/d", META)
    system.write("/etc/d/x", b"", META)
    assert system.listdir("/etc/d") == ("x",)
    with pytest.raises(OSError, match="not empty"):
        system.remove("/etc/d")
    with pytest.raises(FileExistsError):
        system.mkdir("/etc/d", META)
    with pytest.raises(FileNotFoundError):
        system.write("/etc/no/x", b"", META)
    with pytest.raises(IsADirectoryError):
        system.write("/etc/d", b"", META)
    system.remove("/etc/d/x")
    system.remove("/etc/d")
    system.remove("/etc/d")
    assert system.stat("/etc/d") is None


def test_who_is_not_root_sees_less_and_changes_nothing():
    system = legacy()
    system.put("/srv/inside/file", b"")
    system.nodes["/srv/inside"] = system.nodes["/srv/inside"].__class__(
        "directory", Meta(0o700, 0, 0)
    )
    system.user = 1000
    assert system.read("/etc/inetd.conf")
    for path in ("/k", "/srv/inside/file"):
        with pytest.raises(PermissionError):
            system.read(path)
    with pytest.raises(PermissionError):
        system.listdir("/srv/inside")
    with pytest.raises(PermissionError):
        system.write("/etc/a", b"", META)
    assert ctl(system, "stop", "inetd.service") == 1
    assert {(each.pid, each.unit) for each in system.listeners()} == {(0, "")}


def test_every_change_passes_its_points():
    seen: list[Point] = []
    system = MemorySystem(seen.append)
    system.write("/etc/a", b"", META)
    system.append("/etc/a", b"")
    system.mkdir("/etc/d", META)
    system.symlink("/etc/l", "a")
    system.remove("/etc/l")
    system.run(["systemctl", "daemon-reload"])
    system.run(["systemctl", "show", "a.service"])
    three, two = ["before", "during", "after"], ["before", "after"]
    assert [point.when for point in seen] == [*three, *three, *two, *two, *two, *two]
    assert [point.number for point in seen] == list(range(14)) == list(range(system.points))
    assert seen[-1].args == ("systemctl", "daemon-reload")


@pytest.mark.parametrize(
    ("number", "content", "temporaries"), [(0, b"old", 0), (1, b"old", 1), (2, b"new", 0)]
)
def test_a_killed_write_happened_or_did_not(number, content, temporaries):
    system = MemorySystem(kill_at(number))
    system.put("/etc/a", b"old")
    with pytest.raises(Killed):
        system.write("/etc/a", b"new", META)
    system.power_loss()
    assert system.read("/etc/a") == content
    assert len([name for name in system.listdir("/etc") if "mailseal" in name]) == temporaries


def test_a_killed_append_may_leave_a_torn_line():
    system = MemorySystem(kill_at(1))
    with pytest.raises(Killed):
        system.append("/etc/journal", b"12345678")
    system.revive()
    assert system.read("/etc/journal") == b"1234"


def test_the_dead_do_nothing_any_more():
    system = MemorySystem(kill_at(0))

    def run() -> None:
        with system.lock("/run/lock/ours"):
            try:
                system.write("/etc/a", b"", META)
            finally:
                # What a `finally` would still do, a killed process does not.
                system.write("/etc/b", b"", META)

    with pytest.raises(Killed):
        run()
    with pytest.raises(Killed):
        system.stat("/etc/a")
    system.revive()
    assert system.stat("/etc/b") is None
    with system.lock("/run/lock/ours") as ours:
        assert ours


def test_a_full_disk_is_an_error_that_leaves_nothing():
    system = MemorySystem(disk_full_at(1))
    with pytest.raises(OSError, match="No space") as caught:
        system.write("/etc/a", b"", META)
    assert caught.value.errno == errno.ENOSPC
    assert system.listdir("/etc") == MemorySystem().listdir("/etc")
    system.remove("/etc/hostname")
    assert system.stat("/etc/hostname") is None


def test_what_a_program_wrote_is_not_yet_on_disk():
    system = MemorySystem()
    argv = ["openssl", "req", "-x509", "-keyout", "/etc/k.pem", "-out", "/etc/c.pem"]
    assert system.run(argv).ok
    key = system.read("/etc/k.pem")
    assert key.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert system.read("/etc/c.pem").startswith(b"-----BEGIN CERTIFICATE-----")
    system.write("/etc/k.pem", key, Meta(0o600, 0, 0))
    system.power_loss()
    assert system.read("/etc/k.pem") == key
    assert system.read("/etc/c.pem") == b""


def test_one_holds_the_lock():
    system = MemorySystem()
    with system.lock("/run/lock/ours") as first, system.lock("/run/lock/ours") as second:
        assert (first, second) == (True, False)
    with system.lock("/run/lock/ours") as third:
        assert third


# -- daemons --------------------------------------------------------------------------------------


def test_inetd_serves_what_it_read_last():
    system = legacy()
    both = [("0.0.0.0", 109, "inetd.service"), ("::", 109, "inetd.service")]
    assert binds(system) == both
    assert not any(each.dual for each in system.listeners())
    system.write("/etc/inetd.conf", b"127.0.0.1:" + INETD, META)
    assert binds(system) == both
    assert ctl(system, "reload", "inetd.service") == 0
    assert binds(system) == [("127.0.0.1", 109, "inetd.service")]
    ctl(system, "stop", "inetd.service")
    assert binds(system) == []


def test_xinetd_serves_what_its_directory_says():
    system = MemorySystem()
    system.install("xinetd")
    service = (
        b"service pop2\n{\n\ttype = UNLISTED\n\tport = 109\n\tsocket_type = stream\n"
        b"\twait = no\n\tuser = root\n\tserver = /usr/sbin/ipop2d\n%s}\n"
    )
    system.put("/etc/xinetd.d/pop2", service % b"")
    system.put("/etc/xinetd.d/pop2.bak", service % b"\tbind = 192.0.2.1\n")
    ctl(system, "start", "xinetd.service")
    assert binds(system) == [("0.0.0.0", 109, "xinetd.service")]
    system.put("/etc/xinetd.d/pop2", service % b"\tbind = 127.0.0.1\n")
    ctl(system, "reload", "xinetd.service")
    assert binds(system) == [("127.0.0.1", 109, "xinetd.service")]
    system.put("/etc/xinetd.d/pop2", service % b"\tdisable = yes\n")
    ctl(system, "reload", "xinetd.service")
    assert binds(system) == []


def test_stunnel_does_not_start_where_the_port_is_taken():
    system = legacy()
    # Type=simple: systemd made the process, so the start is a success.
    assert ctl(system, "start", "mailseal-pop2.service") == 0
    assert system.manager.active["mailseal-pop2.service"] == "failed"
    system.write("/etc/inetd.conf", b"", META)
    ctl(system, "reload", "inetd.service")
    assert ctl(system, "restart", "mailseal-pop2.service") == 0
    assert binds(system) == [("192.0.2.10", 109, "mailseal-pop2.service")]
    # The other way round inetd starts, without the entry whose port is taken.
    system.write("/etc/inetd.conf", INETD + INETD6, META)
    ctl(system, "restart", "inetd.service")
    assert ("0.0.0.0", 109, "inetd.service") not in binds(system)
    assert ("::", 109, "inetd.service") in binds(system)


@pytest.mark.parametrize("path", ["/c", "/k"])
def test_stunnel_needs_its_certificate_and_key(path):
    system = legacy()
    system.write("/etc/inetd.conf", b"", META)
    ctl(system, "reload", "inetd.service")
    system.remove(path)
    ctl(system, "start", "mailseal-pop2.service")
    assert system.manager.active["mailseal-pop2.service"] == "failed"
    assert system.run(["stunnel4", "/etc/mailseal/pop2.conf"]).code == 1


def test_a_reload_that_fails_changes_nothing():
    system = legacy()
    system.write("/etc/inetd.conf", b"", META)
    ctl(system, "reload", "inetd.service")
    ctl(system, "start", "mailseal-pop2.service")
    system.remove("/c")
    assert ctl(system, "reload", "mailseal-pop2.service") == 0
    assert binds(system) == [("192.0.2.10", 109, "mailseal-pop2.service")]


def test_a_daemon_of_the_test_s_own():
    system = legacy()
    system.put("/usr/sbin/pop2d", b"", 0o755)
    system.put("/etc/systemd/system/pop2d.service", b"[Service]\nExecStart=/usr/sbin/pop2d\n")
    system.listens["pop2d.service"] = (Bind("192.0.2.10", 2109),)
    ctl(system, "daemon-reload")
    ctl(system, "start", "pop2d.service")
    assert ("192.0.2.10", 2109, "pop2d.service") in binds(system)


# -- units ----------------------------------------------------------------------------------------


def test_systemd_knows_units_as_of_the_last_reload():
    system = MemorySystem()
    system.put("/usr/sbin/d", b"", 0o755)
    system.put("/etc/systemd/system/d.service", b"[Service]\nExecStart=/usr/sbin/d\n")
    assert ctl(system, "start", "d.service") == 1
    ctl(system, "daemon-reload")
    assert ctl(system, "start", "d.service") == 0
    assert ctl(system, "is-active", "d.service") == 0


def test_a_socket_unit_makes_its_socket_with_owner_and_mode():
    system = legacy()
    ctl(system, "start", "mailseal-pop2.socket")
    found = system.stat("/run/mailseal-pop2.sock")
    assert found
    assert (found.kind, found.meta.mode) == ("other", 0o660)
    assert found.meta.gid == system.groups["stunnel4"]


def test_a_bare_port_is_both_families_until_a_drop_in_says_otherwise():
    system = MemorySystem()
    system.put("/etc/systemd/system/p.socket", b"[Socket]\nListenStream=109\n")
    ctl(system, "daemon-reload")
    ctl(system, "start", "p.socket")
    (both,) = system.listeners()
    assert (both.address, both.dual, both.pid, both.unit) == ("::", True, 1, "p.socket")
    drop_in = b"[Socket]\nListenStream=\nListenStream=127.0.0.1:109\n"
    system.put("/etc/systemd/system/p.socket.d/mailseal.conf", drop_in)
    ctl(system, "daemon-reload")
    ctl(system, "restart", "p.socket")
    assert binds(system) == [("127.0.0.1", 109, "p.socket")]


def test_a_unit_brings_what_it_requires_and_goes_with_it():
    system = legacy()
    system.write("/etc/inetd.conf", b"", META)
    ctl(system, "reload", "inetd.service")
    ctl(system, "start", "mailseal-pop2.service")
    assert ctl(system, "is-active", "mailseal-pop2.socket") == 0
    directory = system.stat("/run/mailseal")
    assert directory
    assert directory.meta.uid == system.users["stunnel4"]
    ctl(system, "stop", "mailseal-pop2.socket")
    assert ctl(system, "is-active", "mailseal-pop2.service") == 3
    assert system.stat("/run/mailseal") is None


def test_enabled_masked_and_templates():
    system = legacy()
    assert ctl(system, "is-enabled", "mailseal-pop2.service") == 3
    assert ctl(system, "enable", "mailseal-pop2.service") == 0
    assert ctl(system, "is-enabled", "mailseal-pop2.service") == 0
    assert ctl(system, "disable", "mailseal-pop2.service") == 0
    assert ctl(system, "is-enabled", "mailseal-pop2.service") == 3
    system.symlink("/etc/systemd/system/inetd.service", "/dev/null")
    assert ctl(system, "restart", "inetd.service") == 1
    system.put("/etc/stunnel/a.conf", b"[a]\naccept = 127.0.0.1:7\n")
    assert ctl(system, "start", "stunnel@a.service") == 0
    assert ("127.0.0.1", 7, "stunnel@a.service") in binds(system)


# -- time and boot --------------------------------------------------------------------------------


def test_a_transient_timer_fires_when_its_time_has_come():
    fired: list[tuple[float, tuple[str, ...]]] = []
    system = MemorySystem()

    def fire(argv: tuple[str, ...]) -> int:
        fired.append((system.clock, argv))
        return 0

    system.on_exec = fire
    start = system.now()
    arm = ["systemd-run", "--on-active=5min", "--unit=dead-man", "--", "/usr/bin/python3", "undo"]
    assert system.run(arm).ok
    assert system.run(arm).code == 1
    assert system.run(["systemctl", "show", "-p", "ActiveState", "dead-man.timer"]).out == (
        b"ActiveState=active\n"
    )
    system.sleep(299)
    assert fired == []
    system.advance(10)
    assert fired == [(start + 300, ("/usr/bin/python3", "undo"))]
    assert system.now() == start + 309
    assert system.run(arm).ok
    ctl(system, "stop", "dead-man.timer")
    system.advance(1000)
    assert len(fired) == 1


def test_the_timer_fires_for_the_dead():
    system = MemorySystem(kill_at(2))

    def undo(argv: tuple[str, ...]) -> int:
        system.write("/etc/undone", b"", META)
        return 0

    system.on_exec = undo
    system.run(["systemd-run", "--on-active=60", "--unit=dead-man", "/usr/bin/python3"])
    with pytest.raises(Killed):
        system.write("/etc/a", b"", META)
    system.advance(60)
    assert system.stat("/etc/undone")


def test_a_reboot_starts_what_is_wanted_in_order():
    ran: list[str] = []
    system = legacy()

    def run(argv: tuple[str, ...]) -> int:
        ran.append(argv[1])
        return len(system.listeners())

    system.on_exec = run
    unit = b"[Unit]\nBefore=inetd.service\n[Service]\nType=oneshot\nExecStart=/usr/bin/python3 r\n"
    system.put("/etc/systemd/system/a.service", unit + b"[Install]\nWantedBy=multi-user.target\n")
    # Sorts behind inetd.service, and yet comes first.
    system.put("/etc/systemd/system/z.service", unit + b"[Install]\nWantedBy=multi-user.target\n")
    ctl(system, "daemon-reload")
    ctl(system, "enable", "a.service", "z.service")
    system.run(["systemd-run", "--on-active=60", "--unit=dead-man", "/usr/bin/python3", "x"])
    system.put("/run/mine/state", b"")
    system.put("/etc/tmpfiles.d/m.conf", b"d /run/kept 0750 root mail -\n")
    system.reboot()
    assert ran == ["r", "r"]
    assert system.manager.active.get("z.service") == "inactive"  # nothing listened yet
    assert len(binds(system)) == 2
    assert system.stat("/run/mine") is None
    kept = system.stat("/run/kept")
    assert kept
    assert kept.meta == Meta(0o750, 0, 8)
    system.advance(1000)
    assert ran == ["r", "r"]


@pytest.mark.parametrize(
    ("text", "value"), [("300", 300), ("90s", 90), ("5min", 300), ("2 h", 7200)]
)
def test_time_spans(text, value):
    assert seconds(text) == value


# -- snapshots ------------------------------------------------------------------------------------


def test_a_snapshot_shows_every_difference_but_the_excluded():
    system = legacy()
    before = system.snapshot(exclude=["/var/lib/mailseal"])
    system.put("/var/lib/mailseal/journal", b"")
    assert system.snapshot(exclude=["/var/lib/mailseal"]) == before
    system.clock += 1
    system.write("/etc/hostname", system.read("/etc/hostname"), Meta(0o644, 0, 0))
    assert system.snapshot(exclude=["/var/lib/mailseal"]) == before
    assert system.snapshot(times=True) != legacy().snapshot(times=True)
    for change in (
        lambda: system.write("/etc/hostname", b"", Meta(0o644, 0, 0)),
        lambda: system.write("/etc/hostname", b"mail\n", Meta(0o600, 0, 0)),
        lambda: system.symlink("/etc/l", "x"),
        lambda: ctl(system, "stop", "inetd.service"),
    ):
        last = system.snapshot()
        change()
        assert system.snapshot() != last
