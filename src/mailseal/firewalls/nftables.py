"""The rules of nftables, from `nft -j -s -t list ruleset` (libnftables-json(5)).

Strategy: the base chains on hook input are what decides, and those before it; a drop in any of them
is final, an accept ends that chain alone. Conditions are a table of what a first packet from
another host looks like. What is not in it cannot be told, and neither can a rule that iptables left
here (`xt`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mailseal.firewalls import walk
from mailseal.firewalls.walk import Packet, Rule

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,60}")
"""Names of tables and chains that need no quotes, and so can stand in a command."""

_HOOKS = ("ingress", "prerouting", "input")
_BOTH = ("inet", "netdev")
_FAMILIES = {"ipv4": ("ip", *_BOTH), "ipv6": ("ip6", *_BOTH)}
"""Whose tables see a packet of a family."""

_ENDS = {"accept": walk.ACCEPT, "drop": walk.DROP, "reject": walk.DROP, "return": walk.RETURN}
_HARMLESS = ("counter", "log", "mangle", "ct helper", "notrack")
"""Statements that decide nothing and hold for every packet."""


@dataclass(frozen=True)
class Base:
    """A chain that sees what comes in: `where` is its family, table and name. `early`: not on hook
    input but before it, where an accept of ours has no place.
    """

    family: str
    table: str
    name: str
    drops: bool
    early: bool = False

    @property
    def where(self) -> str:
        return "%s %s %s" % (self.family, self.table, self.name)

    @property
    def plain(self) -> bool:
        """Whether its names can stand in a command as they are."""
        return all(_NAME.fullmatch(name) for name in (self.table, self.name))


class Ruleset:
    """A ruleset. Raises ValueError where the text is none."""

    def __init__(self, text: str) -> None:
        try:
            items = json.loads(text)["nftables"]
            self._rules: dict[tuple[str, str, str], list[Any]] = {}
            self.bases: list[Base] = []
            for item in items:
                self._take(item)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("nft answers what is no ruleset: %r" % error) from None

    def _take(self, item: Any) -> None:
        if "chain" in item:
            chain = item["chain"]
            where = (str(chain["family"]), str(chain["table"]), str(chain["name"]))
            self._rules.setdefault(where, [])
            hook, kind = chain.get("hook"), chain.get("type", "filter")
            if hook in _HOOKS and kind == "filter" and where[0] in ("ip", "ip6", *_BOTH):
                self.bases.append(Base(*where, chain.get("policy") == "drop", hook != "input"))
        elif "rule" in item:
            rule = dict(item["rule"])
            where = (str(rule["family"]), str(rule["table"]), str(rule["chain"]))
            self._rules.setdefault(where, []).append(rule)

    def fate(self, base: Base, packet: Packet) -> walk.Fate | None:
        """What becomes of a packet in a base chain; None where the chain does not see it."""
        if base.family not in _FAMILIES[packet.family]:
            return None
        chains = {
            where[2]: [_rule(each.get("expr"), packet) for each in rules]
            for where, rules in self._rules.items()
            if where[:2] == (base.family, base.table)
        }
        return walk.fate(chains, base.name, base.drops)

    def naming(self, base: Base, port: int) -> list[object]:
        """The handles of the rules of a base chain that accept TCP to that port, and name it."""
        packet = Packet("", "", port)
        found = []
        for each in self._rules[base.family, base.table, base.name]:
            rule = _rule(each.get("expr"), packet)
            if rule.named and rule.then == walk.ACCEPT and rule.holds is not False:
                found.append(each.get("handle"))
        return found


def _rule(expressions: Any, packet: Packet) -> Rule:
    try:
        return _judged(expressions, packet)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return Rule(None, walk.UNKNOWN)


def _judged(expressions: Sequence[Any], packet: Packet) -> Rule:
    holds: bool | None = True
    banning, named = False, False
    source = json.dumps(expressions, sort_keys=True)
    for each in expressions:
        key, value = _only(each)
        if key == "match":
            name, one = _match(value, packet)
            named = named or name.endswith("port")
            if one is False:
                return Rule(False, walk.NEXT, named, source=source)
            if one is None:
                banning = holds is True or banning
                banning = banning and name in ("ip saddr", "ip6 saddr")
                holds = None
        elif key in _ENDS:
            return Rule(holds, _ENDS[key], named, banning, source=source)
        elif key in ("jump", "goto"):
            target = str(value["target"])
            return Rule(holds, target, named, banning, key == "goto", True, source)
        elif key == "vmap":
            return _mapped(value, packet, holds, source)
        elif key not in _HARMLESS:
            holds, banning = None, False
    return Rule(holds, walk.NEXT, named, source=source)


def _only(each: Any) -> tuple[str, Any]:
    """Key and value of an object that has one; an empty key for anything else."""
    if isinstance(each, dict) and len(each) == 1:
        ((key, value),) = each.items()
        return str(key), value
    return "", None


def _match(value: Any, packet: Packet) -> tuple[str, bool | None]:
    """What is looked at, and whether the condition holds."""
    name = _left(value["left"])
    fact = _FACTS.get(name)
    if fact is None:
        return name, None
    seen = fact(packet)
    if seen is None:
        return name, False
    holds = _within(seen, value["right"])
    if holds is None or value["op"] in ("==", "in"):
        return name, holds
    return name, not holds if value["op"] == "!=" else None


def _left(left: Any) -> str:
    """The left side in the words of nft(8); empty where it is no plain word."""
    kind, value = _only(left)
    if kind == "payload" and "field" in value:
        return "%s %s" % (value["protocol"], value["field"])
    if kind == "&" and value == [
        {"payload": {"protocol": "tcp", "field": "flags"}},
        ["fin", "syn", "rst", "ack"],
    ]:
        return "tcp flags"
    if kind == "fib" and value == {"result": "type", "flags": ["daddr"]}:
        return "fib daddr type"
    if kind == "exthdr" and value["name"] == "rt":
        return "rt"
    if kind == "fib" and value["result"] == "oif" and "saddr" in value["flags"]:
        return "fib saddr oif"
    return "%s %s" % (kind, value["key"]) if kind in ("meta", "ct") and "key" in value else ""


Seen = frozenset[object] | None
"""The words that a packet's field may be written as; None: it has no such field, and never
matches."""


def _seen(*words: object) -> Callable[[Packet], Seen]:
    return lambda packet: frozenset(words)


def _nexthdr(family: str) -> Callable[[Packet], Seen]:
    return lambda packet: frozenset(("tcp", 6)) if packet.family in (family, "") else None


_FACTS: dict[str, Callable[[Packet], Seen]] = {
    "tcp dport": lambda packet: frozenset((packet.port,)),
    "th dport": lambda packet: frozenset((packet.port,)),
    # A routing header, which no client sends.
    "rt": lambda packet: None,
    "udp dport": lambda packet: None,
    "udp sport": lambda packet: None,
    "icmp type": lambda packet: None,
    "icmp code": lambda packet: None,
    "icmpv6 type": lambda packet: None,
    "icmpv6 code": lambda packet: None,
    "meta l4proto": _seen("tcp", 6),
    "meta protocol": lambda packet: frozenset(({"ipv4": "ip", "ipv6": "ip6"}.get(packet.family),)),
    "meta nfproto": lambda packet: frozenset((packet.family,)),
    "meta iif": lambda packet: frozenset((packet.interface,)),
    "meta iifname": lambda packet: frozenset((packet.interface,)),
    "meta pkttype": _seen("host", "unicast"),
    "ip protocol": _nexthdr("ipv4"),
    "ip6 nexthdr": _nexthdr("ipv6"),
    "ct state": _seen("new"),
    "ct status": _seen(),
    "tcp flags": _seen("syn"),
    "fib daddr type": _seen("local"),
    # That there is a way back to the client (a filter on the reverse path).
    "fib saddr oif": _seen(True),
}
"""What is known of a first packet from another host, by the words of nft(8)."""


def _within(seen: frozenset[object], right: Any) -> bool | None:
    """Whether one of the words is the right side, or in it; None where that cannot be told."""
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    if isinstance(right, dict) and "range" in right:
        low, high = right["range"]
        numbers = [each for each in seen if isinstance(each, int)]
        if not (isinstance(low, int) and isinstance(high, int) and numbers):
            return None
        return any(low <= each <= high for each in numbers)
    if isinstance(right, list):
        each_one = [_within(seen, each) for each in right]
        return True if True in each_one else None if None in each_one else False
    if isinstance(right, str) and right.startswith("@"):
        return None
    if isinstance(right, str) and right.endswith("*"):
        return any(str(each).startswith(right[:-1]) for each in seen)
    return right in seen if isinstance(right, (str, int)) else None


def _mapped(value: Any, packet: Packet, holds: bool | None, source: str) -> Rule:
    """A verdict map: the verdict of the one key that holds, if they can all be told."""
    data = value["data"]
    name = _left(value["key"])
    fact = _FACTS.get(name)
    unknown = Rule(None, walk.UNKNOWN, source=source)
    if fact is None or not isinstance(data, dict) or "set" not in data:
        return unknown
    seen = fact(packet) or frozenset()
    for key, verdict in data["set"]:
        one = _within(seen, key)
        if one is None:
            return unknown
        if one:
            found = _rule([verdict], packet)
            return found._replace(holds=holds, named=name.endswith("port"), source=source)
    return Rule(False, walk.NEXT, source=source)


# -- the file that is loaded at a boot -----------------------------------------------------------


_COMMENT = re.compile(r"(?m)(?:^|(?<=\s))#.*$")


def defines(content: bytes, base: Base) -> bool:
    """Whether a file for `nft -f` itself makes that chain, written as a block."""
    text = _COMMENT.sub("", content.decode("utf-8", "replace"))
    family = r"(?:ip\s+)?" if base.family == "ip" else base.family + r"\s+"
    table = r"(?m)^\s*(?:add\s+)?table\s+%s%s\s*\{" % (family, re.escape(base.table))
    chain = r"chain\s+%s\s*\{" % re.escape(base.name)
    return any(
        re.search(r"(?:^|[\s{;])" + chain, _block(text, found.end()))
        for found in re.finditer(table, text)
    )


def _block(text: str, start: int) -> str:
    """From behind a brace to the one that closes it."""
    depth = 1
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if not depth:
            return text[start:at]
    return ""
