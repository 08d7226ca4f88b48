"""What a plan does about the host's firewall: it gives the new port what the old one has, and tells
what it cannot judge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from mailseal.facts.firewall import NFT
from mailseal.model import firewall, ops
from mailseal.model.host import FileFact, HostFacts, UnitFact
from mailseal.model.ops import Firewall, OpenPort
from mailseal.model.plan import Plan
from mailseal.plan import Options, make
from mailseal.plan.opening import not_needed
from tests.plan.hosts import facts

OFFER = Options(strategy="wrap", stage="offer", name="mail.example")
CONF = b"table inet filter {\n\tchain input {\n\t\ttype filter hook input priority 0;\n\t}\n}\n"
WHERE = "inet filter input"


def accept(*ports: int, **match: object) -> list[object]:
    left = {"payload": {"protocol": "tcp", "field": "dport"}}
    right = {"set": [*ports]}
    return [
        {"match": {"op": "==", "left": left, "right": right}},
        {"accept": None},
    ]


def ruleset(*rules: list[object], chain: str = "input", policy: str = "drop") -> str:
    place = {"family": "inet", "table": "filter"}
    base = {**place, "name": chain, "hook": "input", "policy": policy}
    items: list[object] = [{"chain": base}]
    items += [{"rule": {**place, "chain": chain, "handle": 7, "expr": rule}} for rule in rules]
    return json.dumps({"nftables": items})


def host(said: Mapping[str, str], files: Mapping[str, bytes] | None = None, *on: str) -> HostFacts:
    """A host with POP2 by inetd, whose firewall says that; `on` are enabled units."""
    made = facts("inetd")
    more = tuple(
        FileFact(path, "file", 0o644, 0, 0, "0" * 64, content)
        for path, content in (files or {}).items()
    )
    units = tuple(UnitFact(name, "loaded", "active", "enabled") for name in on)
    return replace(made, firewall=said, files=(*made.files, *more), units=(*made.units, *units))


def fenced(text: str, files: Mapping[str, bytes] | None = None, *on: str) -> HostFacts:
    return host({" ".join(NFT): text}, files, *on)


def planned(of: HostFacts, options: Options = OFFER) -> Plan:
    return make(of, 109, "pop2", options)


def opened(made: Plan) -> list[OpenPort]:
    return [op for op in made.ops if isinstance(op, OpenPort)]


def told(made: Plan) -> str:
    return "\n".join(risk for risk in made.risks if "irewall" in risk)


def test_a_port_that_the_policy_drops_is_opened_behind_the_rules():
    made = planned(fenced(ruleset(accept(22, 109))))
    assert opened(made) == [OpenPort(Firewall.NFTABLES, 1109, WHERE, last=True)]
    assert "lets everybody in to port 109 and nobody to port 1109" in told(made)
    assert "a boot shuts it again, unless this is added to what loads the rules then: add " in told(
        made
    )
    kinds = [type(op) for op in made.ops]
    start = next(op for op in made.ops if isinstance(op, ops.UnitAction) and "mailseal@" in op.unit)
    assert kinds.index(ops.TryTerminator) < kinds.index(OpenPort) < made.ops.index(start)


def test_what_a_boot_loads_gets_the_rule_too():
    of = fenced(ruleset(accept(109)), {"/etc/nftables.conf": CONF}, "nftables.service")
    made = planned(of)
    (edit,) = [
        op for op in made.ops if isinstance(op, ops.EditFile) and op.path == "/etc/nftables.conf"
    ]
    line = b'add rule inet filter input tcp dport 1109 accept comment "mailseal port 1109"\n'
    assert edit.splices == (ops.Splice(len(CONF), b"", line),)
    after = made.ops[made.ops.index(edit) + 1]
    assert after == ops.CheckConfiguration(("nft", "-c", "-f", "/etc/nftables.conf"), ())
    assert edit.path in made.scope.paths
    assert told(made).endswith("the plan opens 1109 too.")


def test_a_file_that_does_not_make_the_chain_or_is_not_loaded_is_left():
    for content, unit in ((b'include "/etc/nft.d/*"\n', "nftables.service"), (CONF, "x.service")):
        of = fenced(ruleset(accept(109)), {"/etc/nftables.conf": content}, unit)
        made = planned(of)
        assert opened(made)
        assert "/etc/nftables.conf" not in made.scope.paths
        assert "a boot shuts it again" in told(made)


def test_a_file_without_a_line_end_gets_one():
    of = fenced(ruleset(accept(109)), {"/etc/nftables.conf": CONF[:-1]}, "nftables.service")
    (edit,) = [op for op in planned(of).ops if isinstance(op, ops.EditFile)]
    assert edit.splices[0].new.startswith(CONF[-2:] + b"add rule ")


def test_a_last_rule_that_drops_is_gone_before():
    made = planned(fenced(ruleset(accept(109), [{"reject": None}], policy="accept")))
    assert opened(made) == [OpenPort(Firewall.NFTABLES, 1109, WHERE, last=False)]


@pytest.mark.parametrize(
    "rules",
    [
        ruleset(policy="accept"),
        ruleset(accept(109, 1109)),
        ruleset([{"accept": None}]),
        json.dumps({"nftables": []}),
    ],
)
def test_where_the_port_is_let_in_nothing_is_done(rules: str):
    made = planned(fenced(rules))
    assert (opened(made), told(made)) == ([], "")


SOURCE = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}}}


def from_network(rule: list[object]) -> list[object]:
    return [{"match": {**SOURCE["match"], "right": "192.0.2.0/24"}}, *rule]


def drop(*ports: int) -> list[object]:
    return [accept(*ports)[0], {"drop": None}]


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (ruleset(from_network(accept(109))), "everybody reaches port 109 today cannot be told"),
        (ruleset(accept(22)), "everybody reaches port 109 today cannot be told"),
        (ruleset(accept(109), drop(1109)), "a rule that names ports drops it"),
        (ruleset(from_network(drop(109)), accept(109)), "everybody reaches port 109 today cannot"),
        (
            ruleset(from_network([{"drop": None}]), accept(109), [{"drop": None}], policy="accept"),
            "cannot be told for certain",
        ),
        (ruleset([{"xt": None}, {"accept": None}], accept(109)), "cannot be told for certain"),
        (ruleset([{"jump": {"target": "gone"}}], accept(109)), "cannot be told"),
    ],
)
def test_what_cannot_be_judged_is_told_with_the_line_to_type(rules: str, why: str):
    made = planned(fenced(rules))
    assert opened(made) == []
    assert "(nftables, chain inet filter input) may keep clients from port 1109" in told(made)
    assert why in told(made)
    typed = "nft insert rule inet filter input tcp dport 1109 accept comment "
    assert told(made).endswith(typed + "'\"mailseal port 1109\"'")


def test_another_filter_that_keeps_some_from_the_old_port_counts_too():
    """It lets everybody in to the new one: an accept elsewhere would open that to all of them."""
    limiting = "-P INPUT ACCEPT\n-A INPUT ! -s 192.0.2.0/24 -p tcp -m tcp --dport 109 -j DROP\n"
    early = ruleset(from_network(drop(109)), policy="accept").replace('"input"', '"prerouting"')
    items = [*json.loads(early)["nftables"], *json.loads(ruleset(accept(109)))["nftables"]]
    for said in (
        {" ".join(NFT): ruleset(accept(109)), "iptables -S": limiting},
        {" ".join(NFT): json.dumps({"nftables": items})},
    ):
        made = planned(host(said))
        assert opened(made) == []
        assert "everybody reaches port 109 today cannot be told" in told(made)


def test_who_is_kept_out_from_both_ports_still_is():
    made = planned(fenced(ruleset(from_network([{"drop": None}]), accept(109))))
    assert opened(made) == [OpenPort(Firewall.NFTABLES, 1109, WHERE, last=True)]


def test_a_chain_with_a_name_that_no_command_takes_is_told():
    made = planned(fenced(ruleset(accept(109), chain="in; flush ruleset")))
    assert opened(made) == []
    assert "no rule of a plan has a place" in told(made)
    assert told(made).endswith("To open it: by a rule of your own")


def test_what_could_not_be_read_is_told():
    assert "could not be read" in told(planned(host({" ".join(NFT): "garbage"})))
    of = replace(host({}), unread={"firewall": "nft: Operation not permitted"})
    assert "(nft: Operation not permitted)" in told(planned(of))


LIST = "-P INPUT DROP\n-A INPUT -p tcp -m multiport --dports 22,109 -j ACCEPT\n"
SAVED = b"*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"


def test_iptables_by_family_and_in_the_file_of_each():
    said = {"iptables -S": LIST, "ip6tables -S": "-P INPUT ACCEPT\n"}
    files = {"/etc/iptables/rules.v4": SAVED, "/etc/iptables/rules.v6": SAVED}
    made = planned(host(said, files, "netfilter-persistent.service"))
    assert opened(made) == [OpenPort(Firewall.IPTABLES, 1109, "iptables", last=True)]
    (edit,) = [op for op in made.ops if isinstance(op, ops.EditFile)]
    line = (
        b'-A INPUT -p tcp -m tcp --dport 1109 -m comment --comment "mailseal port 1109" -j ACCEPT\n'
    )
    assert (edit.path, edit.splices[0].new) == ("/etc/iptables/rules.v4", line)
    check = made.ops[made.ops.index(edit) + 1]
    assert check == ops.CheckConfiguration(("iptables-restore", "--test", edit.path), ())


def test_ufw_keeps_its_own_rules_and_both_families():
    said = {"iptables -S": LIST, "ip6tables -S": LIST, "ufw status": "Status: active\n"}
    made = planned(host(said))
    assert opened(made) == [OpenPort(Firewall.UFW, 1109, "")]
    assert told(made).count("1109") == told(made).count("ufw") + 1
    assert (
        opened(planned(host({**said, "ufw status": "Status: inactive\n"})))[0].where == "iptables"
    )


def test_firewalld_by_the_zone_of_the_interface():
    rules = ruleset(accept(109)).replace('"filter"', '"firewalld"')
    said = {
        " ".join(NFT): rules,
        "firewall-cmd --state": "running\n",
        "firewall-cmd --get-default-zone": "public\n",
        "firewall-cmd --get-active-zones": "dmz (active)\n  interfaces: eth1 eth0\n",
    }
    assert opened(planned(host(said))) == [OpenPort(Firewall.FIREWALLD, 1109, "dmz")]
    said["firewall-cmd --get-active-zones"] = "\n"
    assert opened(planned(host(said))) == [OpenPort(Firewall.FIREWALLD, 1109, "public")]
    said["firewall-cmd --get-default-zone"] = "x --reload\n"
    assert "could not be read" in told(planned(host(said)))


def test_a_service_that_is_turned_off_leaves_rules_that_are_told():
    of = host({" ".join(NFT): ruleset(accept(109)), "iptables -S": LIST})
    made = planned(of, Options(strategy="retire"))
    (risk,) = made.risks
    assert "no longer needed in the firewall: iptables -A INPUT" in risk
    assert risk.endswith("; nft: inet filter input, handle 7")
    assert not_needed(fenced(ruleset(accept(22))), 109) == ()
    assert not_needed(fenced("garbage"), 109) == ()


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("manager", Firewall)
def test_no_command_can_lock_anybody_out(manager: Firewall, last: bool):
    """Each adds an accept for its own port, takes that away, or looks."""
    op = OpenPort(manager, 995, "inet filter input" if manager is Firewall.NFTABLES else "x", last)
    for rule in firewall.rules(op):
        for argv in (rule.look, rule.add, rule.take):
            said = " ".join(argv)
            assert not {"flush", "-F", "-P", "-X", "policy", "destroy", "-f", "reset"} & {*argv}
            assert "reload" not in said
            assert not {"drop", "deny", "reject", "DROP", "disable"} & {*argv}
        assert any("995" in word for word in rule.add)
        assert any("995" in word for word in rule.take) or rule.sign.count("995")
