"""Excepted networks of a daemon with one value for all clients: a service beside, and the way
there. The script that makes the table runs for real, with an nft of its own.
"""

import contextlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs import postfix as master_cf
from mailseal.configs.text import apply_splices
from mailseal.facts.gather import gather
from mailseal.model import codec, ops
from mailseal.model.excepted import Excepted
from mailseal.model.host import AddressFact, HostFacts, Listener
from mailseal.model.plan import ClaimKind, Plan
from mailseal.plan import AlreadySealed, Cannot, make
from mailseal.system.memory import MemorySystem
from tests.plan.hosts import listener
from tests.plan.test_excepted import BOTH, OFFICE, SHOP, options, written
from tests.plan.test_native import MAIN, MASTER, NATIVE, postfix

FILE, LIST = "/etc/postfix/master.cf", "/etc/mailseal/except-587.cidr"
STEERING = "mailseal-steering-587.service"
SCRIPT = "/etc/mailseal/steering-587.sh"
DISCARD = "smtpd_discard_ehlo_keyword"


def host(master: bytes = MASTER, main: Mapping[str, str] = MAIN) -> MemorySystem:
    system = postfix(master, {**MAIN, **main})
    system.install("nftables")
    return system


def planned(of: MemorySystem | HostFacts, *excepted: Excepted, port: int = 587) -> Plan:
    taken = gather(of, (port,)) if isinstance(of, MemorySystem) else of
    return make(taken, port, "smtp", options(*excepted))


def edited(system: MemorySystem, made: Plan) -> bytes:
    (edit,) = [op for op in made.ops if isinstance(op, ops.EditFile) and op.path == FILE]
    return apply_splices(system.read(FILE), edit.splices)


def applied(system: MemorySystem, made: Plan) -> None:
    system.put(FILE, edited(system, made))
    for path, data in written(made).items():
        system.put(path, data)


def words(made: Plan, unit: str) -> list[tuple[str, str]]:
    actions = [op for op in made.ops if isinstance(op, ops.UnitAction)]
    return [(op.do, op.undo) for op in actions if op.unit == unit]


def test_the_same_service_stands_beside_and_knows_no_auth_but_for_the_list():
    system = host()
    made = planned(system, *BOTH)
    assert codec.loads(Plan, codec.dumps(made), lenient=False) == made
    line = b"  -o syslog_name=postfix/submission\n"
    beside = (
        b"10587 inet n - n - - smtpd\n"
        b"  -o syslog_name=postfix/submission\n"
        b"  -o smtpd_tls_auth_only=no\n"
        b"  -o smtpd_discard_ehlo_keywords=auth\n"
        b"  -o smtpd_discard_ehlo_keyword_address_maps=cidr:/etc/mailseal/except-587.cidr\n"
    )
    enforced = MASTER.replace(line, line + b"  -o smtpd_tls_auth_only=yes\n")
    assert edited(system, made) == enforced + beside
    files = written(made)
    assert files[LIST].endswith(
        b"# until 2027-03-31, alice: it's $(a) `shop` floor\n10.1.2.0/24 silent-discard\n"
        b"# until 2027-06-30, bob: printers\n2001:db8::/32 silent-discard\n"
    )
    assert b"Before=postfix.service\n" in files["/etc/systemd/system/" + STEERING]
    ending = files["/etc/systemd/system/mailseal-except-587.service"]
    assert b"Before=%s postfix.service\n" % STEERING.encode() in ending
    assert (
        b"units='%s postfix.service'\n" % STEERING.encode() in files["/etc/mailseal/except-587.sh"]
    )
    checks = [op.prints for op in made.ops if isinstance(op, ops.CheckConfiguration) and op.prints]
    assert checks == [
        ("submission/inet/smtpd_tls_auth_only = yes",),
        ("10587/inet/smtpd_tls_auth_only = no",),
    ]


def test_the_way_there_is_begun_behind_the_service_and_ended_before_it():
    made = planned(host(), *BOTH)
    assert isinstance(made.ops[0], ops.CheckConfiguration)
    assert made.ops[0].argv[:2] == ("nft", "-c")
    assert words(made, STEERING) == [("start", "stop")]
    actions = [op for op in made.ops if isinstance(op, ops.UnitAction)]
    back, forward = (op for op in actions if op.unit == "postfix.service")
    assert {(each.port, each.present) for each in back.after_undo} == {(10587, False)}
    assert {(each.port, each.present) for each in forward.after_do} == {(10587, True)}
    assert actions.index(forward) < [op.unit for op in actions].index(STEERING)
    assert set(made.scope.ports) == {587, 10587}
    kinds = {(each.kind, each.endpoint.port) for each in made.claims}
    assert (ClaimKind.CLOSED, 10587) in kinds
    assert (ClaimKind.CLEARTEXT_SERVED, 587) in kinds
    assert any("A rollback cuts the sessions" in line for line in made.risks)


def test_who_discards_words_for_everybody_goes_on_doing_so():
    name = DISCARD + "s"
    system = host(main={name: "chunking, silent-discard"})
    made = planned(system, SHOP)
    assert b"  -o %s=chunking,silent-discard,auth\n" % name.encode() in edited(system, made)
    assert b"\n10.1.2.0/24 chunking,silent-discard\n" in written(made)[LIST]


def test_a_service_at_an_address_gets_one_beside_at_the_same_address():
    master = b"[::1]:smtp inet n - y - - smtpd\n192.0.2.10:587 inet n\n# why\n - y - 9 smtpd -v"
    system = host(master)
    made = planned(system, SHOP)
    assert edited(system, made) == (
        master + b"\n  -o smtpd_tls_auth_only=yes\n"
        b"\n192.0.2.10:10587 inet n\n - y - 9 smtpd -v\n"
        b"  -o smtpd_tls_auth_only=no\n"
        b"  -o smtpd_discard_ehlo_keywords=auth\n"
        b"  -o smtpd_discard_ehlo_keyword_address_maps=cidr:/etc/mailseal/except-587.cidr\n"
    )


@given(
    st.lists(st.sampled_from(MASTER.splitlines()), max_size=4),
    st.binary(max_size=60) | st.sampled_from([b"587 inet n\r\n#x\r\n - n - - smtpd"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_master_cf_has_the_port_enforces_and_the_one_beside_has_the_list(
    more: list[bytes], odd: bytes, newline: str
):
    lines = [*MASTER.splitlines(), *more, odd]
    system = host(newline.encode().join(lines))
    with contextlib.suppress(Cannot):
        made = planned(system, SHOP)
        after = master_cf.parse(edited(system, made))
        values = {
            each.name: {one.name: one.value.text for one in each.overrides}
            for each in after.services
        }
        assert not after.malformed
        assert values["submission"]["smtpd_tls_auth_only"] == "yes"
        assert values["10587"]["smtpd_tls_auth_only"] == "no"
        assert values["10587"][DISCARD + "s"] == "auth"
        assert values["10587"][DISCARD + "_address_maps"] == "cidr:" + LIST
        assert len(after.services) > len(master_cf.parse(system.read(FILE)).services)


def test_only_the_list_changes_from_then_on():
    system = host()
    applied(system, planned(system, *BOTH))
    with pytest.raises(AlreadySealed):
        planned(system, *BOTH)
    made = planned(system, OFFICE)
    assert {op.path for op in made.ops if isinstance(op, ops.EditFile)} == {
        LIST,
        "/etc/mailseal/except-587.sh",
        "/etc/systemd/system/mailseal-except-587.timer",
    }
    assert written(made) == {}
    assert words(made, STEERING) == [("", "reload"), ("reload", "")]
    assert words(made, "postfix.service") == [("", "reload"), ("reload", "")]
    assert "THE EXCEPTIONS CHANGE" in made.headline[0]
    assert {each.kind for each in made.before} == {ClaimKind.SERVICE_IN_TLS}
    none = planned(system)
    assert any("No network is excepted" in line for line in none.headline)
    assert (ClaimKind.CLOSED, 10587) in {(each.kind, each.endpoint.port) for each in none.claims}


def test_an_address_that_came_later_is_served_after_a_new_plan():
    system = host()
    applied(system, planned(system, *BOTH))
    taken = gather(system, (587,))
    more = (*taken.addresses, AddressFact("192.0.2.11", "eth0", "global"))
    made = planned(replace(taken, addresses=more), *BOTH)
    assert [op.path for op in made.ops if isinstance(op, ops.EditFile)] == [SCRIPT]
    assert words(made, STEERING) == [("", "reload"), ("reload", "")]


def test_the_service_beside_is_no_leak_of_the_same_daemon():
    system = host()
    applied(system, planned(system, SHOP))
    other = make(gather(system, (25,)), 25, "smtp", NATIVE)
    assert not any("10587" in line for line in other.headline)
    taken = gather(system, (587,))
    there = replace(taken, listeners=(*taken.listeners, *beside(taken)))
    with pytest.raises(Cannot, match=r"10587 \(auth in smtpd_discard_ehlo_keywords\)"):
        make(there, 10587, "smtp", NATIVE)


def beside(taken: HostFacts) -> list[Listener]:
    return [replace(each, port=10587) for each in taken.listeners if each.port == 587]


def test_a_firewall_that_drops_is_opened_for_the_port_beside():
    taken = gather(host(), (587,))
    rules = "-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 587 -j ACCEPT\n"
    both = {"iptables -S": rules, "ip6tables -S": rules}
    made = planned(replace(taken, firewall=both), SHOP)
    opened = [(op.where, op.port) for op in made.ops if isinstance(op, ops.OpenPort)]
    assert opened == [("iptables", 10587), ("ip6tables", 10587)]
    assert any("nobody to port 10587: the plan opens 10587 too" in line for line in made.risks)


def test_what_cannot_have_a_service_beside_says_why():
    taken = gather(host(), (587,))
    there = host()
    there.put(LIST, b"")
    apart = MASTER.replace(b"submission inet", b"192.0.2.10:587 inet") + (
        b"[::]:587 inet n - n - - smtpd\n  -o smtpd_tls_auth_only=yes\n"
    )
    cases = (
        (gather(postfix(), (587,)), "install the package nftables"),
        (replace(taken, listeners=(*taken.listeners, listener("::", 10587))), "10587, which is"),
        (host(MASTER + b"10587 inet n - n - - smtpd\n"), "is taken by /etc/postfix/master.cf"),
        (there, "except-587.cidr is there, though"),
        (host(apart), "another address of the same port takes no login"),
        (host(main={"smtpd_upstream_proxy_protocol": "haproxy"}), "has no room beside it"),
        (host(main={DISCARD + "_address_maps": "cidr:/x"}), "has no room beside it"),
        (host(main={DISCARD + "s": "$mine"}), "is no plain list of names"),
        (host(main={"smtpd_tls_auth_only": "yes"}), "rollback, then plan with --except"),
    )
    for of, why in cases:
        with pytest.raises(Cannot, match=why):
            planned(of, SHOP)
    v4 = tuple(each for each in taken.listeners if ":" not in each.address)
    with pytest.raises(Cannot, match=r"2001:db8::/32: port 587 is served at no address of that"):
        planned(replace(taken, listeners=v4), *BOTH)
    assert not any("10587" in str(op) for op in make(taken, 587, "smtp", NATIVE).ops)


def loaded(folder: Path, listing: bytes) -> tuple[int, str]:
    """What the script hands to nft, and how it ends."""
    made = planned(host(), *BOTH)
    (folder / "list").write_bytes(listing)
    script = written(made)[SCRIPT].decode().replace(LIST, str(folder / "list"))
    (folder / "nft").write_text("#!/bin/sh\nexec cat\n")
    (folder / "nft").chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": path}, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_the_table_is_made_of_the_list_and_stays_when_that_is_empty(tmp_path):
    listing = written(planned(host(), *BOTH))[LIST]
    code, said = loaded(tmp_path, listing + b"192.0.2.7 chunking\n::1/128 x\n")
    rules = [line.split(None, 4)[4] for line in said.splitlines() if line.startswith("add rule")]
    first = "tcp dport 587 tcp flags & (fin | syn | rst | ack) == syn dnat"
    assert rules == [
        f"beside ip daddr 192.0.2.10 {first} ip to 192.0.2.10:10587",
        f"beside ip6 daddr 2001:db8:1::10 {first} ip6 to [2001:db8:1::10]:10587",
        "guard tcp dport 10587 ct status & dnat == 0 reject with tcp reset",
        "steering ip saddr 10.1.2.0/24 jump beside",
        "steering ip6 saddr 2001:db8::/32 jump beside",
        "steering ip saddr 192.0.2.7 jump beside",
        "steering ip6 saddr ::1/128 jump beside",
    ]
    assert code == 0
    code, said = loaded(tmp_path, b"# 10.0.0.0/8 yes\n 10.0.0.0/8 yes\n10.0.0.0/8\n")
    assert (code, "saddr" in said, "guard tcp dport 10587" in said) == (0, False, True)
