"""The list of excepted networks, and the script that ends each on its day, run for real."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.configs.text import apply_splices
from mailseal.facts.gather import gather
from mailseal.model import codec, ops
from mailseal.model.excepted import Door, Excepted
from mailseal.model.plan import ClaimKind, Plan
from mailseal.plan import AlreadySealed, Cannot, Options, make
from mailseal.plan.excepted import place
from mailseal.system.memory import Bind, MemorySystem
from tests.plan.hosts import NAME, facts, inetd, listener, standalone, xinetd
from tests.plan.test_native import ADVERTISE, EXIM, MAIN_FILE, NATIVE, courier, cyrus, dovecot, exim

SHOP = Excepted("10.1.2.0/24", "2027-03-31", "alice", "it's $(a) `shop` floor")
OFFICE = Excepted("2001:db8::/32", "2027-06-30", "bob", "printers")
BOTH = (SHOP, OFFICE)
LIST = "/etc/dovecot/mailseal-imap.conf"


# -- the script ------------------------------------------------------------------------------------


class Box:
    """A directory with the list and script of a door, and a date and systemctl of its own."""

    def __init__(self, folder: Path, unit: str = "some.service") -> None:
        self.list, self.bin = folder / "list", folder / "bin"
        self.door = Door(str(self.list), "# head\n", "let %s in\n", "end\n", unit)
        placed = place(facts("inetd"), 143, self.door, BOTH)
        written = {op.path: op for op in placed.first if isinstance(op, ops.WriteFile)}
        self.later = written[str(self.list)].later
        self.list.write_bytes(written[str(self.list)].content)
        self.script = folder / "except.sh"
        self.script.write_bytes(written["/etc/mailseal/except-143.sh"].content)
        self.bin.mkdir()
        self.told = folder / "told"
        self.shim("systemctl", f'echo "$*" >>{self.told}')

    def shim(self, name: str, line: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def run(self, day: str) -> "subprocess.CompletedProcess[str]":
        self.shim("date", f"echo {day}")
        path = f"{self.bin}:{os.environ['PATH']}"
        return subprocess.run(
            ["/bin/sh", str(self.script)], env={"PATH": path}, capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip


def test_each_exception_ends_when_its_last_day_is_over(tmp_path):
    box = Box(tmp_path)
    assert box.run("20270331").returncode == 0
    assert box.list.read_bytes() == box.door.listing(BOTH)
    assert not box.told.exists()
    assert box.run("20270401").returncode == 0
    assert box.list.read_bytes() == box.door.listing([OFFICE])
    assert box.told.read_text().endswith("--no-block reload some.service\n")
    assert box.run("20270701").returncode == 0
    assert box.list.read_bytes() == b"# head\nend\n"
    # A clock that goes back brings nobody back.
    assert box.run("20270101").returncode == 0
    assert box.list.read_bytes() == b"# head\nend\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "except.sh", "list", "told"]


def test_a_host_that_was_off_on_both_days_ends_both_at_once(tmp_path):
    box = Box(tmp_path, unit="")
    box.list.chmod(0o604)
    assert box.run("20300101").returncode == 0
    assert box.list.read_bytes() == b"# head\nend\n"
    assert box.list.stat().st_mode & 0o777 == 0o604
    assert not box.told.exists()


def test_a_list_that_somebody_changed_is_left_alone_loudly(tmp_path):
    box = Box(tmp_path)
    box.list.write_bytes(box.list.read_bytes() + b"let 192.0.2.0/24 in\n")
    before = box.list.read_bytes()
    done = box.run("20300101")
    assert (done.returncode, box.list.read_bytes()) == (1, before)
    assert "<3>mailseal:" in done.stderr
    assert "was changed since" in done.stderr
    box.list.unlink()
    assert box.run("20300101").returncode == 1


def test_what_could_not_be_written_ends_nothing_loudly(tmp_path):
    box = Box(tmp_path)
    box.shim("cat", "exit 0")
    before = box.list.read_bytes()
    done = box.run("20270401")
    assert (done.returncode, box.list.read_bytes()) == (1, before)
    assert "could not be written" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "except.sh", "list"]


# -- the plan --------------------------------------------------------------------------------------


def options(*excepted: Excepted, **more: object) -> Options:
    return replace(NATIVE, excepted=excepted, **more)  # type: ignore[arg-type]


def written(made) -> dict[str, bytes]:
    return {op.path: op.content for op in made.ops if isinstance(op, ops.WriteFile)}


def test_dovecot_is_told_of_the_networks_and_a_timer_ends_them():
    made = make(gather(dovecot(version="2.4.1"), (143,)), 143, "imap", options(*BOTH))
    files = written(made)
    assert b"remote 10.1.2.0/24 {\n  protocol imap {\n    ssl = yes\n" in files[LIST]
    assert "# until 2027-06-30, bob: printers" in files[LIST].decode()
    timer = files["/etc/systemd/system/mailseal-except-143.timer"].decode()
    assert "OnCalendar=2027-04-01 *:00:00\nOnCalendar=2027-07-01 *:00:00\n" in timer
    assert made.excepted == BOTH
    assert "  " + str(SHOP) in made.headline
    kinds = [(each.kind, ":" in each.endpoint.address) for each in made.claims]
    assert (ClaimKind.CLEARTEXT_SERVED, False) in kinds
    refused = [each for each in made.claims if each.kind is ClaimKind.CLEARTEXT_REFUSED]
    assert {each.expected["networks"] for each in refused} == {"10.1.2.0/24 2001:db8::/32"}


def test_dovecot_2_3_enforces_outside_the_protocol_which_would_be_a_conflict():
    system = dovecot()
    made = make(gather(system, (143,)), 143, "imap", options(SHOP))
    (edit,) = [op for op in made.ops if isinstance(op, ops.EditFile)]
    changed = apply_splices(system.read(MAIN_FILE), edit.splices).decode()
    assert changed.endswith(
        "ssl = required\ndisable_plaintext_auth = yes\n"
        "protocol !imap {\n  ssl = yes\n  disable_plaintext_auth = no\n}\n"
        f"!include_try {LIST}\n"
    )
    conf = b"ssl = yes\nssl_cert = </etc/ssl/mail.pem\nprotocol imap {\n  ssl = yes\n}\n"
    with pytest.raises(Cannot, match="for a protocol, beside which Dovecot"):
        make(gather(dovecot(conf), (143,)), 143, "imap", options(SHOP))


def test_a_new_plan_takes_one_away_and_brings_it_back_on_the_way_back():
    system = dovecot(version="2.4.1")
    first = make(gather(system, (143,)), 143, "imap", options(*BOTH))
    for op in first.ops:
        if isinstance(op, ops.WriteFile):
            system.put(op.path, op.content)
        elif isinstance(op, ops.EditFile):
            system.put(op.path, apply_splices(system.read(op.path), op.splices))
    done = dovecot(version="2.4.1", ssl="required", clear="no")
    for name in ("dovecot", "doveconf"):
        system.programs[name] = done.programs[name]
    taken = gather(system, (143,))
    with pytest.raises(AlreadySealed):
        make(taken, 143, "imap", options(*BOTH))
    made = make(taken, 143, "imap", options(OFFICE))
    edits = {op.path: op for op in made.ops if isinstance(op, ops.EditFile)}
    assert MAIN_FILE not in edits
    assert edits[LIST].splices[0].new.count(b"remote ") == 1
    assert edits[LIST].later
    service = "mailseal-except-143.service"
    assert [
        op.undo for op in made.ops if isinstance(op, ops.UnitAction) and op.unit == service
    ] == ["start"]
    assert "THE EXCEPTIONS CHANGE" in made.headline[0]
    with pytest.raises(Cannot, match="planned for another port"):
        make(gather(system, (10143,)), 10143, "imap", options(OFFICE))
    none = make(taken, 143, "imap", options())
    assert any("No network is excepted" in line for line in none.headline)
    words = [op.do for op in none.ops if isinstance(op, ops.UnitAction) and ".timer" in op.unit]
    assert "stop" in words


def test_exim_reads_the_list_for_each_client_and_is_told_of_no_new_one():
    made = make(gather(exim(), (587,)), 587, "smtp", options(*BOTH))
    (edit,) = [op for op in made.ops if isinstance(op, ops.EditFile)]
    (check,) = [op for op in made.ops if isinstance(op, ops.CheckConfiguration) and op.prints]
    value = check.prints[0].partition(" = ")[2]
    assert value == (
        "${if or {{def:tls_in_cipher}{and {{exists{/etc/exim4/mailseal-except}}"
        "{match_ip{$sender_host_address}{/etc/exim4/mailseal-except}}}}} {*}{}}"
    )
    assert edit.splices[0].new == check.prints[0].encode() + b"\n"
    files = written(made)
    listing = files["/etc/exim4/mailseal-except"]
    assert listing.endswith(b"\n# until 2027-06-30, bob: printers\n2001:db8::/32\n")
    service = files["/etc/systemd/system/mailseal-except-587.service"]
    assert b"Before=exim4.service\n" in service
    assert b"\nunits=''\n" in files["/etc/mailseal/except-587.sh"]

    there = exim(edit.splices[0].new, told={ADVERTISE: value}, files=files)
    with pytest.raises(AlreadySealed):
        make(gather(there, (587,)), 587, "smtp", options(*BOTH))
    less = make(gather(there, (587,)), 587, "smtp", options(SHOP))
    assert EXIM not in {op.path for op in less.ops if isinstance(op, ops.EditFile)}
    none = make(gather(there, (587,)), 587, "smtp", options())
    assert any("No network is excepted" in line for line in none.headline)
    before = exim(told={ADVERTISE: "${if def:tls_in_cipher {*}{}}"})
    with pytest.raises(Cannot, match="already: mailseal rollback, then plan with --except"):
        make(gather(before, (587,)), 587, "smtp", options(SHOP))


def sealed_with(*excepted: Excepted) -> MemorySystem:
    """A stand-alone POP2 service behind stunnel, past which the networks are taken."""
    system = standalone()
    system.install("nftables")
    made = make(gather(system), 109, "pop2", wrapped(*excepted))
    for path, data in written(made).items():
        system.put(path, data)
    del system.listens[NAME]
    system.manager.boot()
    for address in ("192.0.2.10", "2001:db8:1::10"):
        system.listens["mailseal@109.service"] = (
            *system.listens.get("mailseal@109.service", ()),
            Bind(address, 109),
        )
    system.manager.reload_files()
    system.manager.enable("mailseal@109.service")
    system.manager.boot()
    return system


def wrapped(*excepted: Excepted) -> Options:
    return Options(strategy="wrap", name="mail.example", excepted=excepted)


def test_who_is_excepted_is_taken_past_stunnel_and_nobody_else():
    system = standalone()
    system.install("nftables")
    made = make(gather(system), 109, "pop2", wrapped(*BOTH))
    assert codec.loads(Plan, codec.dumps(made), lenient=False) == made
    assert isinstance(made.ops[0], ops.CheckConfiguration)
    assert made.ops[0].argv[:2] == ("nft", "-c")
    files = written(made)
    rules = files["/etc/mailseal/except-109.nft"].decode()
    assert (
        "# until 2027-03-31, alice: it's $(a) `shop` floor\n"
        "ip saddr 10.1.2.0/24 ip daddr { 192.0.2.10 } tcp dport 109 "
        "tproxy ip to 127.0.0.1:10109 accept\n"
        "# until 2027-06-30, bob: printers\n"
        "ip6 saddr 2001:db8::/32 ip6 daddr { 2001:db8:1::10 } tcp dport 109 "
        "tproxy ip6 to [::1]:10109 accept\n"
    ) in rules
    assert 'iifname != "lo" ip daddr 127.0.0.0/8 tcp dport 10109 drop\n' in rules
    relay = files["/etc/systemd/system/mailseal-relay-109.socket"]
    assert b"ListenStream=127.0.0.1:10109\nListenStream=[::1]:10109\nTransparent=yes\n" in relay
    assert (
        sum(isinstance(op, ops.MakeDirectory) and op.path == "/etc/mailseal" for op in made.ops)
        == 1
    )
    # At the port itself who is outside is promised the one, and who is inside the other.
    for claim in made.claims:
        apart = claim.endpoint.port == 109 and claim.endpoint.address in (
            "192.0.2.10",
            "2001:db8:1::10",
        )
        of_host = claim.kind in (ClaimKind.BACKEND_GUARDED, ClaimKind.NEIGHBOURS_KEPT)
        assert ("networks" in claim.expected) == (apart and not of_host)
    served = [
        each.endpoint.address for each in made.claims if each.kind is ClaimKind.CLEARTEXT_SERVED
    ]
    assert sorted(served) == ["192.0.2.10", "2001:db8:1::10"]
    nobody = make(gather(system), 109, "pop2", wrapped())
    assert not any("10109" in str(op) for op in nobody.ops)


def test_behind_stunnel_only_the_list_changes_from_then_on():
    system = sealed_with(*BOTH)
    with pytest.raises(AlreadySealed, match="excepts just these already"):
        make(gather(system), 109, "pop2", wrapped(*BOTH))
    made = make(gather(system), 109, "pop2", wrapped(OFFICE))
    assert {op.path for op in made.ops if isinstance(op, ops.EditFile)} == {
        "/etc/mailseal/except-109.nft",
        "/etc/mailseal/except-109.sh",
        "/etc/systemd/system/mailseal-except-109.timer",
    }
    assert written(made) == {}
    reloads = [op for op in made.ops if isinstance(op, ops.UnitAction) and "steering" in op.unit]
    assert [(op.do, op.undo) for op in reloads] == [("", "reload"), ("reload", "")]
    assert "THE EXCEPTIONS CHANGE" in made.headline[0]
    assert {each.expected["networks"] for each in made.before} == {"10.1.2.0/24 2001:db8::/32"}
    none = make(gather(system), 109, "pop2", wrapped())
    assert not any("networks" in each.expected for each in none.claims)
    with pytest.raises(AlreadySealed, match=r"served by mailseal@109\.service already"):
        make(gather(system), 109, "pop2", replace(wrapped(OFFICE), stage="offer"))


def test_a_network_that_the_port_is_not_served_to_is_refused():
    system = standalone()
    system.install("nftables")
    system.listens[NAME] = (Bind("0.0.0.0", 109),)
    system.manager.boot()
    with pytest.raises(Cannot, match="2001:db8::/32: port 109 is served at no address of that"):
        make(gather(system), 109, "pop2", wrapped(*BOTH))
    taken = gather(system)
    listeners = (*taken.listeners, listener("127.0.0.1", 10109))
    with pytest.raises(Cannot, match="port 10109, which is needed on loopback, is taken by"):
        make(replace(taken, listeners=listeners), 109, "pop2", wrapped(SHOP))


def test_what_cannot_except_a_network_says_why():
    for system, way in ((cyrus(), "leave --except out"), (courier(), "--strategy wrap takes them")):
        with pytest.raises(Cannot, match="excepts no network: .* one value for all.*; " + way):
            make(gather(system, (143,)), 143, "imap", options(SHOP))
    wrap = Options(strategy="wrap", name="mail.example", excepted=(SHOP,))
    with pytest.raises(Cannot, match="--stage offer first"):
        make(gather(xinetd()), 109, "pop2", wrap)
    for system in (inetd(), standalone()):
        with pytest.raises(Cannot, match="install the package nftables"):
            make(gather(system), 109, "pop2", wrap)
        system.install("nftables")
        system.put("/etc/mailseal/except-109.nft", b"")
        with pytest.raises(Cannot, match="is there, though port 109 is not sealed"):
            make(gather(system), 109, "pop2", wrap)
    with pytest.raises(Cannot, match="turned off has no exceptions"):
        make(facts("inetd"), 109, "pop2", replace(wrap, strategy="retire"))


def test_hosts_access_has_brackets_and_no_comments_that_would_be_patterns():
    door = Door("/l", "", "%s\n", hosts=True)
    assert door.listing(BOTH) == b"10.1.2.0/24\n[2001:db8::]/32\n"
