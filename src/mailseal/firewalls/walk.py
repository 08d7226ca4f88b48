"""What becomes of a new connection that meets the rules of a packet filter.

Strategy: each firewall's own parser writes its rules as chains of these values, every condition
judged for one packet already: holds, does not, or cannot be told. Then one walk gathers every end
that the packet may come to. A packet that may be let in and may be dropped is judged neither way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

ACCEPT, DROP, REFUSED, END, NEXT, RETURN, UNKNOWN = (
    *("accept", "drop", "refused", "end", "next", "return", "unknown"),
)
"""How a rule or a chain ends. REFUSED is a drop by a rule that names ports, so that somebody meant
it; END is the end of a chain that drops what comes there; NEXT goes on with the next rule."""

MAX_DEPTH = 16
"""Jumps within jumps; the kernel allows no more (NFT_JUMP_STACK_SIZE)."""


@dataclass(frozen=True)
class Packet:
    """The first of a TCP connection, from another host: `family` is ipv4 or ipv6."""

    family: str
    interface: str
    port: int


class Rule(NamedTuple):
    """`holds`: True, False, None (cannot be told). `named`: it names ports. `banning`: all that
    cannot be told of it is the source's address. `then`: one of the words, or a chain's name to
    jump to (`goto`: without coming back). `source`: the rule in words, the same for every packet.
    """

    holds: bool | None
    then: str
    named: bool = False
    banning: bool = False
    goto: bool = False
    jump: bool = False
    source: str = ""


Chains = Mapping[str, Sequence[Rule]]


@dataclass(frozen=True)
class Fate:
    """The ends a packet may come to, and the rules that keep out some sources on the way."""

    ends: frozenset[str]
    bans: frozenset[str] = frozenset()


def fate(chains: Chains, start: str, drops: bool) -> Fate:
    """The ends of a packet that comes to the chain `start`; `drops` is that chain's policy."""
    walk = _Walk(chains)
    last = END if drops else ACCEPT
    ends = walk.chain(start, 0)
    return Fate(
        frozenset(last if end in (NEXT, RETURN) else end for end in ends), frozenset(walk.bans)
    )


class _Walk:
    """One packet's way; every chain is walked once."""

    def __init__(self, chains: Chains) -> None:
        self.chains = chains
        self.known: dict[str, frozenset[str]] = {}
        self.bans: set[str] = set()

    def chain(self, name: str, depth: int) -> frozenset[str]:
        if name not in self.known:
            # What comes back to itself is no ruleset: the kernel takes none.
            self.known[name] = frozenset((UNKNOWN,))
            self.known[name] = self._chain(name, depth)
        return self.known[name]

    def _chain(self, name: str, depth: int) -> frozenset[str]:
        if depth > MAX_DEPTH or name not in self.chains:
            return frozenset((UNKNOWN,))
        ends: set[str] = set()
        for rule in self.chains[name]:
            if rule.holds is False:
                continue
            came = self._rule(rule, depth)
            if rule.banning and came <= {DROP, REFUSED}:
                self.bans.add("%s: %s" % (name, rule.source))
                continue
            ends |= came - {NEXT}
            if rule.holds and NEXT not in came:
                return frozenset(ends)
        return frozenset((*ends, NEXT))

    def _rule(self, rule: Rule, depth: int) -> frozenset[str]:
        came = frozenset((rule.then,))
        if rule.jump:
            back = RETURN if rule.goto else NEXT
            inner = self.chain(rule.then, depth + 1)
            came = frozenset(back if end in (NEXT, RETURN) else end for end in inner)
        if rule.named:
            came = frozenset(REFUSED if end == DROP else end for end in came)
        return came
