"""The lines by which a backend's firewall admits a gateway to some ports, and nobody else.

Strategy: one table of firewalls. Each line stands before the rules that are there, concerns these
ports alone (nobody's ssh is cut), and leaves loopback, where the host talks to itself. The gateway
comes with addresses of one family: the other is closed to everybody.
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


def lines(addresses: Sequence[str], ports: Sequence[int]) -> tuple[tuple[str, str], ...]:
    """The firewalls, and what to type for each."""
    admitted = Admitted(tuple(addresses), tuple(ports))
    return tuple((name, write(admitted)) for name, write in _FIREWALLS)


def _nftables(to: Admitted) -> str:
    family, other = ("ip6", "ipv4") if to.six else ("ip", "ipv6")
    rule = "nft add rule inet mailseal_only input"
    ports = 'iifname != "lo" tcp dport { %s }' % to.joined(", ")
    return " && ".join(
        (
            "nft add table inet mailseal_only",
            "nft 'add chain inet mailseal_only input "
            "{ type filter hook input priority -5; policy accept; }'",
            "%s '%s %s saddr != { %s } drop'" % (rule, ports, family, ", ".join(to.addresses)),
            "%s '%s meta nfproto %s drop'" % (rule, ports, other),
            "nft list table inet mailseal_only >>/etc/nftables.conf",
        )
    )


def _iptables(to: Admitted) -> str:
    own, other = ("ip6tables", "iptables") if to.six else ("iptables", "ip6tables")
    ports = "-p tcp -m multiport --dports " + to.joined(",")
    return " && ".join(
        (
            # Each goes before the one above it.
            "%s -I INPUT ! -i lo %s -j DROP" % (own, ports),
            "%s -I INPUT -s %s %s -j ACCEPT" % (own, ",".join(to.addresses), ports),
            "%s -I INPUT ! -i lo %s -j DROP" % (other, ports),
            "netfilter-persistent save",
        )
    )


def _ufw(to: Admitted) -> str:
    commands = ["ufw prepend deny proto tcp to any port " + to.joined(",")]
    commands += [
        "ufw prepend allow proto tcp from %s to any port %s" % (address, to.joined(","))
        for address in to.addresses
    ]
    return " && ".join(commands)


def _firewalld(to: Admitted) -> str:
    rich = "firewall-cmd --permanent --add-rich-rule='rule priority=\"%d\" %s'"
    family = 'family="%s" ' % ("ipv6" if to.six else "ipv4")
    commands = []
    for port in to.ports:
        at = 'port port="%d" protocol="tcp"' % port
        commands += [
            rich % (-20, '%ssource address="%s" %s accept' % (family, address, at))
            for address in to.addresses
        ]
        commands.append(rich % (-10, at + " drop"))
    return " && ".join((*commands, "firewall-cmd --reload"))


def _pf(to: Admitted) -> str:
    family = "inet6" if to.six else "inet"
    ports = "to any port { %s }" % to.joined(", ")
    words = (
        "before the other filter rules of /etc/pf.conf: `pass in quick %s proto tcp from { %s } %s`"
        " and then `block in quick proto tcp from any %s`; `pfctl -f /etc/pf.conf`"
    )
    return words % (family, ", ".join(to.addresses), ports, ports)


def _router(to: Admitted) -> str:
    words = (
        "permit TCP from %s to the backend's port %s, then deny TCP from any to any address of the "
        "backend at port %s, for IPv4 and IPv6. It keeps out nobody who is on the backend's own "
        "network"
    )
    ports = to.joined(", ")
    return words % (", ".join(to.addresses), ports, ports)


_FIREWALLS: tuple[tuple[str, Callable[[Admitted], str]], ...] = (
    ("nftables", _nftables),
    ("iptables", _iptables),
    ("ufw", _ufw),
    ("firewalld (the default zone)", _firewalld),
    ("pf", _pf),
    ("a router's access list", _router),
)
