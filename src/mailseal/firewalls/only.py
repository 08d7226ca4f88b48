"""The lines by which a backend's firewall admits a gateway to some ports, and nobody else.

Strategy: one table of firewalls. What a line adds stands before the rules that are there, at once
and at every boot, concerns these ports alone (nobody's ssh is cut), and leaves loopback, where the
host talks to itself. Nothing is loaded anew: rules that are in no file stay. The gateway comes with
addresses of one family: the other is closed to everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Admitted(NamedTuple):
    """Who may reach what: source addresses of one family, and TCP ports."""

    addresses: tuple[str, ...]
    ports: tuple[int, ...]

    @property
    def six(self) -> bool:
        return ":" in self.addresses[0]

    def joined(self, mark: str) -> str:
        """The ports with a mark between them."""
        return mark.join(map(str, self.ports))


class Lines(NamedTuple):
    """What an administrator types: to close the ports, and to open them again."""

    close: str
    open: str


def lines(addresses: Sequence[str], ports: Sequence[int]) -> tuple[tuple[str, Lines], ...]:
    """The firewalls, and what to type for each."""
    admitted = Admitted(tuple(addresses), tuple(ports))
    return tuple((name, write(admitted)) for name, write in _FIREWALLS)


def _typed(close: Sequence[str], again: Sequence[str]) -> Lines:
    return Lines(" && ".join(close), " && ".join(again))


def _nftables(to: Admitted) -> Lines:
    family, other = ("ip6", "ipv4") if to.six else ("ip", "ipv6")
    rule = "nft add rule inet mailseal_only input"
    ports = 'iifname != "lo" tcp dport { %s }' % to.joined(", ")
    return _typed(
        (
            "nft add table inet mailseal_only",
            "nft 'add chain inet mailseal_only input "
            "{ type filter hook input priority -5; policy accept; }'",
            "%s '%s %s saddr != { %s } drop'" % (rule, ports, family, ", ".join(to.addresses)),
            "%s '%s meta nfproto %s drop'" % (rule, ports, other),
            "nft list table inet mailseal_only >>/etc/nftables.conf",
            "systemctl enable nftables",
        ),
        (
            "nft delete table inet mailseal_only",
            "sed -i '/^table inet mailseal_only {$/,/^}$/d' /etc/nftables.conf",
        ),
    )


def _iptables(to: Admitted) -> Lines:
    own, other = ("ip6tables", "iptables") if to.six else ("iptables", "ip6tables")
    ports = "-p tcp -m multiport --dports " + to.joined(",")
    rules = (
        # Each goes before the one above it.
        (own, "INPUT ! -i lo %s -j DROP" % ports),
        (own, "INPUT -s %s %s -j ACCEPT" % (",".join(to.addresses), ports)),
        (other, "INPUT ! -i lo %s -j DROP" % ports),
    )
    close, again = (
        [*("%s %s %s" % (program, word, rule) for program, rule in rules), _SAVE]
        for word in ("-I", "-D")
    )
    return _typed(close, again)


_SAVE = "netfilter-persistent save"


def _ufw(to: Admitted) -> Lines:
    port = "to any port " + to.joined(",")
    # Where there is a rule for everybody, ufw skips another for everybody, whatever it says.
    halves = (("0.0.0.0/1", "128.0.0.0/1"), ("::/1", "8000::/1"))
    own, other = reversed(halves) if to.six else halves
    rules = [
        *("deny proto tcp from %s %s" % (each, port) for each in own),
        *("allow proto tcp from %s %s" % (each, port) for each in to.addresses),
        *("deny proto tcp from %s %s" % (each, port) for each in other),
    ]
    return _typed(
        ["ufw prepend " + rule for rule in rules], ["ufw delete " + rule for rule in rules]
    )


def _firewalld(to: Admitted) -> Lines:
    family = 'family="%s" ' % ("ipv6" if to.six else "ipv4")
    rules = []
    for port in to.ports:
        at = 'port port="%d" protocol="tcp"' % port
        rules += [
            'rule priority="-20" %ssource address="%s" %s accept' % (family, address, at)
            for address in to.addresses
        ]
        rules.append('rule priority="-10" %s drop' % at)
    close, again = (
        [
            "firewall-cmd %s--%s-rich-rule='%s'" % (permanent, word, rule)
            for permanent in ("--permanent ", "")
            for rule in rules
        ]
        for word in ("add", "remove")
    )
    return _typed(close, again)


def _pf(to: Admitted) -> Lines:
    family = "inet6" if to.six else "inet"
    ports = "to any port { %s }" % to.joined(", ")
    words = (
        "before the other filter rules of /etc/pf.conf: `pass in quick %s proto tcp from { %s } %s`"
        " and then `block in quick proto tcp from any %s`; `pfctl -f /etc/pf.conf`"
    )
    close = words % (family, ", ".join(to.addresses), ports, ports)
    return Lines(close, "take both rules out of /etc/pf.conf; `pfctl -f /etc/pf.conf`")


def _router(to: Admitted) -> Lines:
    words = (
        "permit TCP from %s to the backend's port %s, then deny TCP from any to any address of the "
        "backend at port %s, for IPv4 and IPv6. It keeps out nobody who is on the backend's own "
        "network"
    )
    ports = to.joined(", ")
    close = words % (", ".join(to.addresses), ports, ports)
    return Lines(close, "take both entries out")


_FIREWALLS: tuple[tuple[str, Callable[[Admitted], Lines]], ...] = (
    ("nftables", _nftables),
    ("iptables", _iptables),
    ("ufw", _ufw),
    ("firewalld (the default zone)", _firewalld),
    ("pf", _pf),
    ("a router's access list", _router),
)
