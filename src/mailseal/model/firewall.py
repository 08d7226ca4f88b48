"""The commands by which a firewall lets a port in, and no longer: what OpenPort means.

Strategy: a table of managers, read by who runs them (`apply`), who writes them down (`export`) and
who shows them. A rule of ours carries a comment with our name and the port, where the firewall has
comments; so what is taken away is ours, and what was there before is left. Sources: nft(8),
iptables(8), ufw(8), firewall-cmd(1).
"""

from __future__ import annotations

from shlex import quote
from typing import Callable, Dict, NamedTuple, Tuple

from mailseal.model.ops import Firewall, OpenPort

Argv = Tuple[str, ...]

UNITS: Dict[Firewall, Argv] = {
    Firewall.NFTABLES: ("nftables.service",),
    Firewall.IPTABLES: ("netfilter-persistent.service", "iptables.service", "ip6tables.service"),
    Firewall.UFW: ("ufw.service",),
    Firewall.FIREWALLD: ("firewalld.service",),
}
"""What loads the rules at a boot."""

HANDLE = "HANDLE"
"""Stands in `take` for the number behind `sign`."""


class Rule(NamedTuple):
    """One rule. `look` tells whether it is there: by what it prints, where there is a `sign` to
    look for, else by its exit status (0: yes, 1: no).
    """

    look: Argv
    add: Argv
    take: Argv
    sign: str = ""


def comment(port: int) -> str:
    """What a rule of ours says of itself."""
    return "mailseal port %d" % port


def rules(op: OpenPort) -> Tuple[Rule, ...]:
    """The rules that make the op."""
    return _MANAGERS[op.manager](op)


def named(op: OpenPort) -> str:
    """The firewall in words."""
    return " ".join(filter(None, (op.manager.value, op.where)))


def typed(op: OpenPort) -> str:
    """What an administrator types to add them."""
    return " && ".join(" ".join(map(quote, rule.add)) for rule in rules(op))


def line(op: OpenPort) -> Argv:
    """What follows `nft` and stands in a file for `nft -f`; or iptables' rule, with -A or -I."""
    if op.manager is Firewall.NFTABLES:
        head = ("add" if op.last else "insert", "rule", *op.where.split(" "))
        said = '"%s"' % comment(op.port)
        return (*head, "tcp", "dport", str(op.port), "accept", "comment", said)
    return ("-A" if op.last else "-I", *_matched(op))


def _matched(op: OpenPort) -> Argv:
    port = ("INPUT", "-p", "tcp", "-m", "tcp", "--dport", str(op.port))
    return (*port, "-m", "comment", "--comment", comment(op.port), "-j", "ACCEPT")


def _nftables(op: OpenPort) -> Tuple[Rule, ...]:
    chain = op.where.split(" ")
    return (
        Rule(
            look=("nft", "-a", "list", "chain", *chain),
            sign='comment "%s" # handle ' % comment(op.port),
            add=("nft", *line(op)),
            take=("nft", "delete", "rule", *chain, "handle", HANDLE),
        ),
    )


def _iptables(op: OpenPort) -> Tuple[Rule, ...]:
    program = (op.where, "--wait", "10")
    return (
        Rule(
            look=(*program, "-C", *_matched(op)),
            add=(*program, *line(op)),
            take=(*program, "-D", *_matched(op)),
        ),
    )


def _ufw(op: OpenPort) -> Tuple[Rule, ...]:
    port = "%d/tcp" % op.port
    return (
        Rule(
            look=("ufw", "show", "added"),
            sign="ufw allow %s comment '%s'" % (port, comment(op.port)),
            add=("ufw", "allow", port, "comment", comment(op.port)),
            take=("ufw", "delete", "allow", port),
        ),
    )


def _firewalld(op: OpenPort) -> Tuple[Rule, ...]:
    def rule(*permanent: str) -> Rule:
        program = ("firewall-cmd", "--quiet", *permanent, "--zone=" + op.where)
        words = ["--%s-port=%d/tcp" % (word, op.port) for word in ("query", "add", "remove")]
        look, add, take = ((*program, word) for word in words)
        return Rule(look, add, take)

    return rule("--permanent"), rule()


_MANAGERS: Dict[Firewall, Callable[[OpenPort], Tuple[Rule, ...]]] = {
    Firewall.NFTABLES: _nftables,
    Firewall.IPTABLES: _iptables,
    Firewall.UFW: _ufw,
    Firewall.FIREWALLD: _firewalld,
}
