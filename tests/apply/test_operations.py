"""Each op: act, undo, undo without act, undo twice, and what somebody changed since."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import replace

import pytest

from mailseal.apply.operations import (
    OPERATIONS,
    Context,
    OpFailed,
    UndoRefused,
    directories,
    operation,
    seconds,
    sha256,
    spliced,
)
from mailseal.model import ops
from mailseal.model.ops import Listening, Op, Splice
from mailseal.system.base import Completed, Meta
from mailseal.system.memory import MemorySystem
from mailseal.system.memory.firewall import RULES
from mailseal.system.packages import GUARD
from tests.apply import world

BACKUPS = "/var/lib/backups"
BEFORE, AFTER = b"one\ntwo\n", b"one\n#two\n"
EDIT = ops.EditFile("/etc/file", sha256(BEFORE), sha256(AFTER), (Splice(4, b"two", b"#two"),))
TRIAL = ops.TryTerminator(
    unit="mailseal@109-trial.service",
    path="/etc/mailseal/109-trial.conf",
    content=b"[a]\naccept = 127.0.0.1:@PORT@\ncert = /etc/cert\nkey = /etc/key\n",
    group="stunnel4",
    authority="",
    name="mail.example",
    protocol="pop2",
)
TEMPLATE = b"[Service]\nExecStart=/usr/bin/stunnel4 /etc/mailseal/%i.conf\n"

STEER = ops.Steer(
    name="109",
    routes=(ops.Listening("192.0.2.10", 109, True), ops.Listening("2001:db8:1::10", 109, True)),
    configuration=(
        b"[one]\naccept = 127.0.0.1:@PORT@\nconnect = /run/x.sock\ncert = /etc/cert\n"
        b"key = /etc/key\n"
    ),
    socket=b"[Socket]\nListenStream=127.0.0.1:@PORT@\nListenStream=[::1]:@PORT@\n",
    service=b"[Service]\nExecStart=/usr/bin/stunnel4 /run/mailseal-second-109.conf\n",
    group="mail",
    protocol="pop2",
    server="mail.example",
    authority="",
    do="begin",
    undo="end",
    without="a second",
)

EXAMPLES: dict[type, Op] = {
    type(op): op
    for op in (
        ops.InstallPackage("stunnel4"),
        ops.MakeDirectory("/etc/new", "root", "mail", 0o750),
        ops.WriteFile("/etc/written", b"text", "root", "mail", 0o640),
        ops.CopyFile("/etc/key", "/etc/copied", "root", "mail", 0o640),
        EDIT,
        ops.MakeLink("/etc/new.wants/unit", "/etc/unit"),
        ops.IssueCertificate("/etc/mailseal", "109", ("mail.example", "192.0.2.1"), 90, "mail"),
        ops.UnitAction("xinetd.service", "start", "stop"),
        TRIAL,
        ops.OpenPort(ops.Firewall.NFTABLES, 995, "inet filter input"),
        ops.CheckConfiguration(("openssl", "version"), ("OpenSSL 3.0.17 1 Jul 2025",)),
        STEER,
    )
}


def host() -> MemorySystem:
    system = world.fresh("inetd")
    system.install("xinetd")
    system.install("nftables")
    system.put("/etc/file", BEFORE, 0o640, "root", "mail")
    system.put(RULES, b"tcp dport 22 accept\n", 0o600)
    system.put("/etc/key", b"secret", 0o600)
    system.put("/etc/cert", b"public")
    system.put("/etc/mailseal/other", b"")
    system.put(BACKUPS + "/journal", b"")
    system.put("/etc/systemd/system/mailseal@.service", TEMPLATE)
    if system.packages.get("stunnel4") is None:
        system.users["stunnel4"] = system.groups["stunnel4"] = 120
        system.put("/usr/bin/stunnel4", b"\x7fELF", 0o755)
    system.manager.reload_files()
    return system


def context(system: MemorySystem, force: bool = False) -> Context:
    greets = lambda address, port, name, authority, protocol: world.greets(system, port)  # noqa: E731
    return Context(system, BACKUPS, greets, force)


def state(system: MemorySystem) -> object:
    return system.snapshot((BACKUPS, *world.EXCEPTIONS))


each_op = pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.KIND)


def test_every_op_has_a_row_and_an_example():
    kinds = set(typing.get_args(Op))
    assert set(OPERATIONS) == kinds
    assert set(EXAMPLES) == kinds


@each_op
def test_act_and_undo_and_undo_again(kind):
    op, system = EXAMPLES[kind], host()
    row, before = operation(op), state(system)
    undo = row.before(context(system), op, 3)
    assert state(system) == before, "noting what the undo needs changes nothing"
    assert row.act(context(system), op)
    if kind not in (ops.TryTerminator, ops.InstallPackage, ops.CheckConfiguration):
        assert state(system) != before
    for _ in range(2):
        assert row.undo(context(system), op, undo) or kind in (ops.CheckConfiguration, ops.Steer)
        assert state(system) == before


@each_op
def test_undo_without_act(kind):
    op, system = EXAMPLES[kind], host()
    row, before = operation(op), state(system)
    undo = row.before(context(system), op, 3)
    row.undo(context(system), op, undo)
    assert state(system) == before


@each_op
def test_time_and_places_are_known(kind):
    assert 0 < seconds(EXAMPLES[kind]) < 3600
    for place in directories(EXAMPLES[kind]):
        assert place.startswith("/")


# -- what is not as the plan says ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (ops.MakeDirectory, "/etc/new"),
        (ops.WriteFile, "/etc/written"),
        (ops.CopyFile, "/etc/copied"),
        (ops.MakeLink, "/etc/new.wants/unit"),
        (ops.IssueCertificate, "/etc/mailseal/109.key"),
    ],
)
def test_what_should_not_be_there_is_not_overwritten(kind, path):
    system = host()
    system.put(path, b"somebody's")
    with pytest.raises(OpFailed, match="exists already"):
        operation(EXAMPLES[kind]).before(context(system), EXAMPLES[kind], 0)
    assert system.read(path) == b"somebody's"


def test_a_file_edited_since_the_plan_or_since_the_check_is_not_edited():
    system = host()
    row = operation(EDIT)
    system.put("/etc/file", b"else", 0o640)
    with pytest.raises(OpFailed, match="plan again"):
        row.before(context(system), EDIT, 0)
    with pytest.raises(OpFailed, match="changed while"):
        row.act(context(system), EDIT)
    misfit = replace(EDIT, after=sha256(b"no"))
    system.put("/etc/file", BEFORE)
    with pytest.raises(OpFailed, match="does not fit"):
        row.act(context(system), misfit)
    assert system.read("/etc/file") == BEFORE


def test_an_edit_keeps_owner_mode_attributes_and_the_undo_the_time_as_well():
    system = host()
    meta = Meta(0o640, 0, 8, (("security.selinux", b"label"),), 123456789)
    system.write("/etc/file", BEFORE, meta)
    undo = operation(EDIT).before(context(system), EDIT, 0)
    system.clock += 100
    operation(EDIT).act(context(system), EDIT)
    changed = system.nodes["/etc/file"].meta
    assert (changed.mode, changed.gid, changed.xattrs) == (0o640, 8, meta.xattrs)
    operation(EDIT).undo(context(system), EDIT, undo)
    assert system.nodes["/etc/file"].meta == meta


def test_splices_that_do_not_fit_are_seen():
    assert spliced(BEFORE, EDIT.splices) == AFTER
    assert spliced(b"xxx\nyyy\n", EDIT.splices) is None


def _done(system: MemorySystem, op: Op) -> dict:
    undo = operation(op).before(context(system), op, 7)
    operation(op).act(context(system), op)
    return undo


@pytest.mark.parametrize(
    ("kind", "path", "left"),
    [
        (ops.WriteFile, "/etc/written", "left as it is"),
        (ops.CopyFile, "/etc/copied", "left as it is"),
        (ops.EditFile, "/etc/file", f"the bytes before are in {BACKUPS}/backup-07"),
        (ops.MakeLink, "/etc/new.wants/unit", "left as it is"),
        (ops.IssueCertificate, "/etc/mailseal/109.crt", "with its key"),
    ],
)
def test_what_was_changed_since_is_kept_and_with_force_put_aside(kind, path, left):
    system, op = host(), EXAMPLES[kind]
    before = state(system)
    undo = _done(system, op)
    system.put(path, b"the administrator's")
    with pytest.raises(UndoRefused, match="changed since") as refused:
        operation(op).undo(context(system), op, undo)
    assert left in str(refused.value)
    assert "--force" in str(refused.value)
    assert system.read(path) == b"the administrator's"

    line = operation(op).undo(context(system, force=True), op, undo)
    copy = BACKUPS + "/changed" + path.replace("/", "-")
    assert copy in line
    assert system.read(copy) == b"the administrator's"
    assert system.nodes[copy].meta.mode == 0o600
    assert state(system) == before


def test_a_damaged_backup_is_not_put_back():
    system = host()
    undo = _done(system, EDIT)
    system.put(undo["backup"], b"rubbish")
    with pytest.raises(UndoRefused, match="damaged"):
        operation(EDIT).undo(context(system), EDIT, undo)
    assert system.read("/etc/file") == AFTER


def test_a_directory_with_something_in_it_is_left():
    system, op = host(), EXAMPLES[ops.MakeDirectory]
    undo = _done(system, op)
    system.put("/etc/new/theirs", b"")
    with pytest.raises(UndoRefused, match="not empty: theirs"):
        operation(op).undo(context(system), op, undo)


def test_the_parent_that_a_link_made_stays_where_others_use_it():
    system, op = host(), EXAMPLES[ops.MakeLink]
    undo = _done(system, op)
    system.put("/etc/new.wants/other", b"")
    operation(op).undo(context(system), op, undo)
    assert system.listdir("/etc/new.wants") == ("other",)


# -- users, copies, packages, certificates, units --------------------------------------------------


@pytest.mark.parametrize("kind", [ops.MakeDirectory, ops.WriteFile, ops.CopyFile])
def test_an_unknown_user_is_said(kind):
    op = replace(EXAMPLES[kind], group="nobody-knows")  # type: ignore[arg-type]
    with pytest.raises(OpFailed, match="no such user or group"):
        operation(op).act(context(host()), op)


def test_a_copy_follows_the_links_that_acme_clients_make():
    system = host()
    system.put("/etc/archive/key1.pem", b"newest")
    system.symlink("/etc/archive/key.pem", "key1.pem")
    op = ops.CopyFile("/etc/archive/key.pem", "/etc/copied", "root", "mail", 0o640)
    _done(system, op)
    assert system.read("/etc/copied") == b"newest"
    system.symlink("/etc/archive/loop", "loop")
    with pytest.raises(OSError, match="symbolic"):
        operation(op).before(context(system), replace(op, source="/etc/archive/loop", path="/x"), 0)


def test_a_copy_of_what_was_renewed_since_is_removed_as_the_first_was():
    system, op = host(), EXAMPLES[ops.CopyFile]
    undo = _done(system, op)
    for path in ("/etc/key", "/etc/copied"):
        system.put(path, b"renewed")
    assert operation(op).undo(context(system), op, undo) == "removed /etc/copied"
    system.put("/etc/copied", b"somebody's")
    system.remove("/etc/key")
    with pytest.raises(UndoRefused):
        operation(op).undo(context(system), op, undo)


def test_a_unit_that_failed_is_no_failure_any_more_when_it_is_undone():
    system = host()
    op = ops.UnitAction("xinetd.service", "start", "stop")
    system.manager.active["xinetd.service"] = "failed"
    operation(op).undo(context(system), op, {})
    assert "xinetd.service" not in system.manager.active


def test_a_package_that_cannot_be_installed_is_said():
    system, op = host(), EXAMPLES[ops.InstallPackage]
    system.apt_error = "E: Could not get lock /var/lib/dpkg/lock-frontend"
    with pytest.raises(OpFailed, match=r"stunnel4 cannot be installed.*Could not get lock"):
        operation(op).act(context(system), op)
    assert system.stat(GUARD) is None


def test_a_package_that_came_half_way_is_said_to_be_there():
    system, op = host(), EXAMPLES[ops.InstallPackage]
    undo = operation(op).before(context(system), op, 0)
    said = b"half-configured 3:5.68\n"
    system.programs["dpkg-query"] = lambda argv, data: Completed(argv, 0, said, b"")
    line = operation(op).undo(context(system), op, undo)
    assert (
        line == "package stunnel4 stays half-configured (remove it with: apt-get remove stunnel4)"
    )


def test_the_undo_of_an_install_waits_for_a_package_manager_that_outlived_us():
    system, op = host(), EXAMPLES[ops.InstallPackage]
    undo = operation(op).before(context(system), op, 0)
    system.put(GUARD, b"#!/bin/sh\n", 0o755)
    system.put("/proc/77/comm", b"dpkg\n")
    begun, ends = system.clock, system.clock + 5

    def sleep(seconds: float) -> None:
        system.clock += seconds
        if system.clock >= ends:
            system.nodes.pop("/proc/77/comm", None)

    system.sleep = sleep  # type: ignore[method-assign]
    operation(op).undo(context(system), op, undo)
    assert 5 <= system.clock - begun < 7


def test_keys_of_a_killed_issue_go_with_its_working_directory():
    system, op = host(), EXAMPLES[ops.IssueCertificate]
    undo = operation(op).before(context(system), op, 0)
    system.put("/etc/mailseal/.issue-109/ca.key", b"secret", 0o600)
    operation(op).undo(context(system), op, undo)
    assert system.listdir("/etc/mailseal") == ("other",)


def test_openssl_that_fails_leaves_nothing():
    system, op = host(), EXAMPLES[ops.IssueCertificate]
    world.run_program(system, "openssl", Completed((), 1, b"", b"no entropy"))
    with pytest.raises(OpFailed, match=r"cannot make the certificate: openssl req .*no entropy"):
        operation(op).act(context(system), op)
    assert system.listdir("/etc/mailseal") == ("other",)


def test_a_unit_that_starts_but_does_not_listen_is_a_failure_that_says_where():
    system = host()
    wanted = (Listening("192.0.2.10", 995, True), Listening("0.0.0.0", 109, False))
    op = ops.UnitAction("xinetd.service", "start", "stop", after_do=wanted, seconds=1.0)
    with pytest.raises(OpFailed) as failed:
        operation(op).act(context(system), op)
    assert "nothing listens on 192.0.2.10 port 995" in str(failed.value)
    assert "something still listens on 0.0.0.0 port 109" in str(failed.value)


def test_a_reload_is_done_when_the_sockets_are_new_ones():
    system = host()
    old = next(each for each in system.listeners() if each.unit == "inetd.service")
    wanted = (Listening(old.address, old.port, True, anew=True),)
    op = ops.UnitAction("inetd.service", "reload", "", after_do=wanted, seconds=1.0)
    assert operation(op).act(context(system), op) == "reload inetd.service"
    system.clock = 0.0
    op = ops.UnitAction("", "daemon-reload", "", after_do=wanted, seconds=1.0)
    with pytest.raises(OpFailed, match=f"nothing new listens on {old.address} port {old.port}"):
        operation(op).act(context(system), op)
    assert system.clock > 0.9, "it was waited for"


def test_a_denial_of_the_security_module_is_told():
    system = host()
    denial = b'apparmor="DENIED" operation="open" name="/etc/mailseal/109.key" comm="stunnel4"\n'
    world.run_program(system, "journalctl", Completed((), 0, denial, b""))
    op = ops.UnitAction("nosuch.service", "start", "stop")
    with pytest.raises(OpFailed, match="security module forbade: apparmor"):
        operation(op).act(context(system), op)


def test_a_reload_back_of_a_daemon_that_ended_starts_it():
    system = host()
    op = ops.UnitAction("inetd.service", "", "reload")
    system.manager.stop("inetd.service")
    operation(op).undo(context(system), op, {})
    assert system.manager.active["inetd.service"] == "active"


Hurt = Callable[[MemorySystem], None]


@pytest.mark.parametrize(
    ("hurt", "said"),
    [
        (lambda system: system.nodes.pop("/etc/cert"), "does not listen with the planned options"),
        (lambda system: system.nodes.pop("/usr/bin/stunnel4"), "does not listen"),
    ],
)
def test_a_trial_that_fails_says_so_and_leaves_nothing(hurt: Hurt, said: str):
    system = host()
    hurt(system)
    before = state(system)
    with pytest.raises(OpFailed, match=said):
        operation(TRIAL).act(context(system), TRIAL)
    assert state(system) == before


def test_a_trial_whose_backend_is_dead_fails():
    system = host()
    dead = replace(context(system), greets=lambda *words: "the service does not greet")
    with pytest.raises(OpFailed, match="through the trial's TLS: the service does not greet"):
        operation(TRIAL).act(dead, TRIAL)


@pytest.mark.parametrize(
    ("argv", "prints", "says"),
    [
        (("openssl", "version"), ("no such line",), "has no effect"),
        (("nosuch", "check"), (), "refuses this configuration: nosuch check"),
    ],
)
def test_a_daemon_that_does_not_take_its_configuration_fails_the_op(argv, prints, says: str):
    op, system = ops.CheckConfiguration(argv, prints), host()
    with pytest.raises(OpFailed, match=says):
        operation(op).act(context(system), op)
