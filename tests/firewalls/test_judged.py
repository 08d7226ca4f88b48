"""What becomes of a new connection in rules as the firewalls tell them: let in, dropped by the last
word or by a rule that means the port, or not to be told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.firewalls import iptables, nftables, walk
from mailseal.firewalls.nftables import Base, Ruleset
from mailseal.firewalls.walk import ACCEPT, DROP, END, NEXT, REFUSED, Packet, Rule

RECORDED = Path(__file__).with_name("recorded")
UNTOLD = "untold"


def recorded(name: str) -> Ruleset:
    """What nft 1.0.6 answers of the file beside it."""
    return Ruleset((RECORDED / f"{name}.json").read_text())


def packet(port: int, family: str = "ipv4", interface: str = "eth0") -> Packet:
    return Packet(family, interface, port)


def word(fate: walk.Fate | None) -> str:
    """The one end there is."""
    if fate is None:
        return "not seen"
    return next(iter(fate.ends)) if len(fate.ends) == 1 else UNTOLD


@pytest.mark.parametrize(
    ("port", "ipv4", "ipv6"),
    [
        (22, ACCEPT, ACCEPT),
        (110, ACCEPT, ACCEPT),
        (2050, ACCEPT, ACCEPT),
        (995, END, END),
        (113, REFUSED, REFUSED),
        (443, ACCEPT, ACCEPT),
        (8000, REFUSED, REFUSED),
        (587, ACCEPT, ACCEPT),
        (143, UNTOLD, UNTOLD),
        (4190, ACCEPT, ACCEPT),
        (24, ACCEPT, END),
        (25, UNTOLD, UNTOLD),
        (26, END, END),
    ],
)
def test_a_chain_of_nftables(port: int, ipv4: str, ipv6: str):
    rules = recorded("usual")
    (base,) = [each for each in rules.bases if each.family == "inet"]
    assert (base.where, base.drops, base.plain) == ("inet filter input", True, True)
    ends = [word(rules.fate(base, packet(port, family))) for family in ("ipv4", "ipv6")]
    assert ends == [ipv4, ipv6]


def test_an_interface_counts_and_loopback_is_another():
    rules = recorded("usual")
    base = rules.bases[0]
    assert word(rules.fate(base, packet(4190, interface="wlan0"))) == END
    assert word(rules.fate(base, packet(4190, interface="lo"))) == ACCEPT


def test_a_chain_of_one_family_does_not_see_the_other():
    rules = recorded("usual")
    (base,) = [each for each in rules.bases if each.family == "ip"]
    assert word(rules.fate(base, packet(995))) == ACCEPT
    assert word(rules.fate(base, packet(119))) == REFUSED
    assert word(rules.fate(base, packet(119, "ipv6"))) == "not seen"


def test_who_is_kept_out_by_source_is_told_apart():
    rules = recorded("usual")
    fates = {port: rules.fate(rules.bases[0], packet(port)) for port in (110, 995, 587)}
    bans = {port: fate.bans for port, fate in fates.items() if fate}
    assert len(bans[110]) == 1
    assert bans[110] == bans[995] < bans[587]


def test_a_last_rule_that_rejects_is_no_policy():
    rules = recorded("rejecting")
    assert word(rules.fate(rules.bases[0], packet(110))) == ACCEPT
    assert word(rules.fate(rules.bases[0], packet(995))) == DROP


def test_the_rules_that_name_a_port():
    rules = recorded("usual")
    assert len(rules.naming(rules.bases[0], 110)) == 1
    assert rules.naming(rules.bases[0], 995) == []


def test_whether_a_file_makes_the_chain():
    base = recorded("usual").bases[0]
    file = (RECORDED / "usual.nft").read_bytes()
    assert nftables.defines(file, base)
    assert nftables.defines(b"#!/usr/sbin/nft -f\nflush ruleset\n" + file, base)
    assert not nftables.defines(file, Base("inet", "filter", "output", True))
    assert not nftables.defines(file, Base("ip", "filter", "input", True))
    assert nftables.defines(file.replace(b"inet ", b""), Base("ip", "filter", "input", True))
    assert not nftables.defines(b"# " + file.replace(b"\n", b"\n# "), base)
    assert not nftables.defines(b'include "/etc/nftables.d/*.nft"\n', base)


# -- iptables ------------------------------------------------------------------------------------

TOLD = """\
-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-N f2b
-N user
-A INPUT -p tcp -m multiport --dports 110,143,995 -j f2b
-A INPUT -i lo -j ACCEPT
-A INPUT -m rt --rt-type 0 -j DROP
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -m limit --limit 3/min -j LOG --log-prefix "[BLOCK] "
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A INPUT -p tcp ! --syn -m conntrack --ctstate NEW -j DROP
-A INPUT -m addrtype --dst-type BROADCAST -j DROP
-A INPUT -p tcp -m tcp --dport 25 -m limit --limit 5/sec -j ACCEPT
-A INPUT -p tcp -m tcp --dport 113 -j REJECT --reject-with tcp-reset
-A INPUT ! -i eth0 -p tcp -m tcp --dport 4190 -j DROP
-A INPUT -j user
-A f2b -s 198.51.100.7/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b -j RETURN
-A user -p tcp -m tcp --dport 22 -m comment --comment "it's ssh" -j ACCEPT
-A user -p tcp -m tcp --dport 109:110 -j ACCEPT
-A user -s 192.0.2.0/24 -p tcp -m tcp --dport 143 -j ACCEPT
-A user -p tcp -m tcp --dport 4190 -g user
"""


@pytest.mark.parametrize(
    ("port", "end"),
    [
        (22, ACCEPT),
        (109, ACCEPT),
        (110, ACCEPT),
        (995, END),
        (113, REFUSED),
        (25, UNTOLD),
        (143, UNTOLD),
    ],
)
def test_a_list_of_iptables(port: int, end: str):
    assert word(iptables.fate(TOLD, packet(port))) == end


@pytest.mark.parametrize("family", ["4", "6"])
def test_the_rules_that_ufw_makes(family: str):
    """ufw 0.36.2 that allows ssh and port 109."""
    rules = (RECORDED / f"ufw{family}.txt").read_text()
    ends = {port: word(iptables.fate(rules, packet(port))) for port in (109, 995, 445)}
    assert ends == {109: ACCEPT, 995: END, 445: REFUSED}


def test_a_ban_of_iptables_counts_for_its_ports():
    assert iptables.fate(TOLD, packet(110)).bans == iptables.fate(TOLD, packet(995)).bans != set()
    assert not iptables.fate(TOLD, packet(109)).bans


def test_the_rules_of_iptables_that_name_a_port():
    assert iptables.naming(TOLD, 109) == ["-A user -p tcp -m tcp --dport 109:110 -j ACCEPT"]


SAVED = b"*nat\n:INPUT ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT DROP [3:4]\n-A INPUT -j X\nCOMMIT\n"


def test_where_a_rule_goes_in_a_file_of_iptables():
    before, behind = iptables.place(SAVED, False), iptables.place(SAVED, True)
    assert SAVED[before:].startswith(b"-A INPUT -j X\n")
    assert SAVED[behind:] == b"COMMIT\n"
    empty = SAVED.replace(b"-A INPUT -j X\n", b"")
    assert empty[iptables.place(empty, False) :] == b"COMMIT\n"
    for other in (
        b"",
        b"*nat\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
        SAVED.replace(b":INPUT D", b":IN D"),
    ):
        assert iptables.place(other, True) is None


# -- what is no ruleset ----------------------------------------------------------------------------


def test_chains_that_jump_in_circles_or_to_nowhere_cannot_be_told():
    there = Rule(True, "a", jump=True)
    assert word(walk.fate({"a": [there, there]}, "a", True)) == walk.UNKNOWN
    assert word(walk.fate({"a": [Rule(True, "b", jump=True)]}, "a", True)) == walk.UNKNOWN
    deep = {str(each): [Rule(True, str(each + 1), jump=True)] for each in range(5000)}
    assert word(walk.fate(deep, "0", True)) == walk.UNKNOWN
    assert word(walk.fate({"a": [Rule(None, NEXT)]}, "a", False)) == ACCEPT


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["match", "left", "right", "op", "vmap", "set", "range", "key", "jump"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.integers(0, 65535))
def test_any_rule_is_judged_or_cannot_be_told(expressions: Any, port: int):
    assert nftables._rule(expressions, packet(port)).holds in (True, False, None)


@given(st.text(max_size=200) | JSON.map(str))
def test_any_text_is_a_ruleset_or_refused(text: str):
    for read in (Ruleset, lambda each: iptables.fate(each, packet(995))):
        try:
            read(text)
        except ValueError:
            continue


@given(st.lists(st.text(max_size=40), max_size=6), st.binary(max_size=200))
def test_any_line_of_iptables_is_judged(lines: list[str], file: bytes):
    text = "-P INPUT DROP\n" + "\n".join("-A INPUT " + line for line in lines)
    assert iptables.fate(text, packet(995)).ends
    iptables.naming(text, 995)
    iptables.place(file, True)
    nftables.defines(file, Base("ip", "filter", "input", True))
