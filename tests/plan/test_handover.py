"""Who takes new connections while a port changes hands, and what the plan says where nobody can."""

from dataclasses import replace

import pytest

from mailseal.configs import stunnel
from mailseal.facts.gather import gather
from mailseal.model import ops
from mailseal.model.plan import Plan
from mailseal.plan import Options, make
from tests.plan import hosts

NAMED = Options(name="mail.example")


def plan(starter: str, options: Options = NAMED, **files: bytes) -> Plan:
    system = hosts.SYSTEMS[starter]()
    system.install("nftables")
    for name, data in files.items():
        system.put("/etc/" + name.replace("_", "."), data)
    return make(gather(system), 109, "pop2", options)


def steering(made: Plan) -> list[ops.Steer]:
    return [op for op in made.ops if isinstance(op, ops.Steer)]


@pytest.mark.parametrize("starter", ["inetd", "xinetd"])
def test_the_second_stunnel_stands_around_all_that_lets_go_of_a_port(starter: str) -> None:
    made = plan(starter)
    first, last = steering(made)
    assert (first.do, first.undo, last.do, last.undo) == ("begin", "end", "end", "begin")
    assert made.ops[-1] is last
    before = made.ops[: made.ops.index(first)]
    assert any(isinstance(op, ops.TryTerminator) for op in before)
    assert not any(each for op in before if isinstance(op, ops.UnitAction) for each in op.after_do)
    assert {(each.address, each.port) for each in first.routes} == {
        (address, 109) for address in ("127.0.0.1", "::1", "192.0.2.10", "2001:db8:1::10")
    }
    assert made.gap.startswith("none: ")
    assert first.without.startswith("about a second on port 109")


def test_it_has_the_options_of_the_first_and_listens_on_loopback_alone() -> None:
    made = plan("inetd")
    own = next(op for op in made.ops if isinstance(op, ops.WriteFile) and b"accept" in op.content)
    first, _ = steering(made)
    said = stunnel.parse(first.configuration)
    assert own.content.partition(b"[")[0] == first.configuration.partition(b"[")[0]
    accepted = [o.value.text for s in said.services for o in s.options if o.key.text == "accept"]
    assert accepted == ["127.0.0.1:@PORT@", "::1:@PORT@"]
    # stunnel takes as many sockets as it has sections, or does not start.
    assert first.socket.count(b"ListenStream=") == len(said.services)
    assert b"Transparent=yes" in first.socket
    assert first.path.encode() in first.service


def test_open_sessions_are_waited_for_where_what_serves_them_is_stopped() -> None:
    first, last = steering(plan("inetd"))
    assert (first.drains, last.drains) == ((), (109,))


def test_a_terminator_that_reloads_is_led_around_too() -> None:
    system = hosts.inetd()
    system.install("nftables")
    offered = make(gather(system), 109, "pop2", replace(NAMED, stage="offer"))
    assert steering(offered) == []
    for op in offered.ops:
        if isinstance(op, ops.WriteFile):
            system.put(op.path, op.content)
        if isinstance(op, ops.IssueCertificate):
            for name in ("ca.crt", op.name + ".crt", op.name + ".key"):
                system.put(op.directory + "/" + name, b"PEM")
    system.manager.reload_files()
    assert system.manager.start("mailseal@1109.service") == ""
    first, _ = steering(make(gather(system), 109, "pop2", NAMED))
    assert {each.port for each in first.routes} == {109, 1109}


def test_rules_for_clients_are_asked_of_those_who_are_led_there() -> None:
    tcpd = hosts.INETD.replace(b"/usr/sbin/ipop2d\t", b"/usr/sbin/tcpd\t")
    made = plan("inetd", inetd_conf=tcpd, hosts_deny=b"ipop2d: 203.0.113.0/24\n")
    first, _ = steering(made)
    assert b"[ipop2d]" in first.configuration
    assert b"libwrap = yes" in first.configuration
    assert first.protocol == "", "nobody knows whether this host itself is let in"


@pytest.mark.parametrize(
    ("starter", "options"),
    [
        ("inetd", replace(NAMED, handover="plain")),
        ("systemd", NAMED),
        ("inetd", replace(NAMED, strategy="retire")),
    ],
)
def test_where_there_is_no_second_stunnel_the_gap_is_told(starter: str, options: Options) -> None:
    made = plan(starter, options)
    assert steering(made) == []
    assert not made.gap.startswith("none: nftables")


def test_without_nftables_the_gap_is_told() -> None:
    made = make(hosts.facts("inetd"), 109, "pop2", NAMED)
    assert steering(made) == []
    assert made.gap.startswith("about a second on port 109")
