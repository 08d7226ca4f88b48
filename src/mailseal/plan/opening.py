"""What a host's firewall says to a port that a plan makes listen, and the steps that open it.

Strategy: the new port is given what the old one has, and nothing more. A first packet to either is
walked through every chain that the firewall has for what comes in, for each family and interface at
which the service is reached. Where the old port is open to everybody and the new one falls to the
firewall's last word, the plan adds an accept. In every other case nothing is guessed: the plan says
that the port may be shut, and gives the line to type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from shlex import quote

from mailseal.facts.firewall import NFT
from mailseal.firewalls import iptables, nftables, walk
from mailseal.firewalls.nftables import Base, Ruleset
from mailseal.firewalls.walk import Packet
from mailseal.model import firewall
from mailseal.model.host import HostFacts
from mailseal.model.ops import CheckConfiguration, Firewall, Op, OpenPort, Splice
from mailseal.plan.base import link_local, loopback
from mailseal.starters.base import edit

_LOADED = (
    ("nftables.service", "nft", "/etc/nftables.conf"),
    ("nftables.service", "nft", "/etc/sysconfig/nftables.conf"),
    ("netfilter-persistent.service", "iptables", "/etc/iptables/rules.v4"),
    ("netfilter-persistent.service", "ip6tables", "/etc/iptables/rules.v6"),
    ("iptables.service", "iptables", "/etc/sysconfig/iptables"),
    ("ip6tables.service", "ip6tables", "/etc/sysconfig/ip6tables"),
)
"""The unit that loads a file at a boot, for which program. ufw and firewalld need no file."""

_UNREAD = (
    "What the firewall lets in could not be read (%s): it may keep clients from port %s. Only a "
    "look from another host shows it."
)
_MAYBE = (
    "The firewall (%s) may keep clients from port %d, and stays as it is: %s. Only a look from "
    "another host shows it. To open it: %s"
)
_OPENS = (
    "The firewall (%s) lets everybody in to port %d and nobody to port %d: the plan opens %d too"
)
_NOT_KEPT = "; a boot shuts it again, unless this is added to what loads the rules then: %s"
_NOT_NEEDED = "What lets clients in to port %d is no longer needed in the firewall: %s"


@dataclass(frozen=True)
class Opened:
    """The steps, the files they rest on, and what is told of them."""

    ops: tuple[Op, ...] = ()
    paths: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Filter:
    """Something that may drop what comes in: its name in words; what becomes of a packet there
    (None where it does not come by); the ops that open a port, behind its rules or before them.
    """

    name: str
    fate: Callable[[Packet], walk.Fate | None]
    opening: Callable[[int, bool], tuple[OpenPort, ...]]
    base: Base | None = None


class _Unsure(Exception):
    """It cannot be told whether the port is let in; `str()` says why."""


def opened(facts: HostFacts, addresses: Sequence[str], old: int, ports: Sequence[int]) -> Opened:
    """The steps by which clients at `addresses`, who reach the port `old`, reach `ports` too."""
    outside = _packets(facts, addresses)
    if not outside or not ports:
        return Opened()
    work = _Work(facts)
    unread = facts.unread.get("firewall", "")
    try:
        filters = list(_filters(facts, outside))
    except ValueError as error:
        filters, unread = [], str(error)
    if unread:
        work.told.append(_UNREAD % (unread, " and ".join(map(str, ports))))
    for port in ports:
        # One filter that keeps some from the old port counts for all: another's accept would let
        # these in to the new one.
        limited = any(_limited(each, packet, old, port) for each in filters for packet in outside)
        for each in filters:
            try:
                last = _shut(each, outside, port)
                if last is not None:
                    work.add(each, old, port, last, limited)
            except _Unsure as why:
                lines = [firewall.typed(op) for op in each.opening(port, False)]
                typed = " && ".join(lines) or "by a rule of your own"
                work.told.append(_MAYBE % (each.name, port, why, typed))
    return work.done()


def not_needed(facts: HostFacts, port: int) -> tuple[str, ...]:
    """What lets clients in to a port that is no longer served."""
    try:
        found = [rule for each in _naming(facts, port) for rule in each]
    except ValueError:
        return ()
    return (_NOT_NEEDED % (port, "; ".join(found)),) if found else ()


# -- what may drop ---------------------------------------------------------------------------------


def _packets(facts: HostFacts, addresses: Sequence[str]) -> list[Packet]:
    """A client's first packet, by every family and interface."""
    found = {
        Packet("ipv6" if ":" in each.address else "ipv4", each.interface, 0): None
        for each in facts.addresses
        if each.address in addresses and not (loopback(each.address) or link_local(each.address))
    }
    return list(found)


def _filters(facts: HostFacts, outside: Sequence[Packet]) -> Iterator[_Filter]:
    """Everything that sees what comes in. Raises ValueError for an answer that is none."""
    firewalld = facts.firewall.get("firewall-cmd --state", "").strip() == "running"
    zones = _zones(facts, outside) if firewalld else ()
    for program, text in _tables(facts):
        fate = _of_family(program, text)
        if zones:
            yield _Filter("firewalld", fate, _zoned(zones))
        elif "Status: active" in facts.firewall.get("ufw status", ""):
            yield _Filter("ufw", fate, lambda port, last: (OpenPort(Firewall.UFW, port, ""),))
        else:
            yield _Filter(program, fate, _placed(Firewall.IPTABLES, program))
    rules = _ruleset(facts)
    for base in rules.bases if rules else ():
        if zones and base.table == "firewalld" and not base.early:
            yield _Filter("firewalld", _in_base(rules, base), _zoned(zones))
        elif base.early or not base.plain:
            yield _Filter("nftables, another chain", _in_base(rules, base), lambda port, last: ())
        elif not _is_iptables(facts, base):
            fate = _in_base(rules, base)
            words = "nftables, chain %s" % base.where
            yield _Filter(words, fate, _placed(Firewall.NFTABLES, base.where), base)


def _tables(facts: HostFacts) -> Iterator[tuple[str, str]]:
    """The programs of iptables that have rules, and these."""
    for argv, text in facts.firewall.items():
        program, _, rest = argv.partition(" ")
        if rest == "-S":
            yield program, text


def _ruleset(facts: HostFacts) -> Ruleset | None:
    text = facts.firewall.get(" ".join(NFT))
    return None if text is None else Ruleset(text)


def _is_iptables(facts: HostFacts, base: Base) -> bool:
    """Whether iptables has that chain for its own, and has told it."""
    program = {"ip": "iptables", "ip6": "ip6tables"}.get(base.family)
    ours = (base.table, base.name) == ("filter", "INPUT")
    return ours and "%s -S" % program in facts.firewall


def _of_family(program: str, text: str) -> Callable[[Packet], walk.Fate | None]:
    family = "ipv6" if program.startswith("ip6") else "ipv4"
    return lambda packet: iptables.fate(text, packet) if packet.family == family else None


def _in_base(rules: Ruleset | None, base: Base) -> Callable[[Packet], walk.Fate | None]:
    return lambda packet: rules.fate(base, packet) if rules else None


def _placed(manager: Firewall, where: str) -> Callable[[int, bool], tuple[OpenPort, ...]]:
    return lambda port, last: (OpenPort(manager, port, where, last),)


def _zoned(zones: Sequence[str]) -> Callable[[int, bool], tuple[OpenPort, ...]]:
    return lambda port, last: tuple(OpenPort(Firewall.FIREWALLD, port, zone) for zone in zones)


def _zones(facts: HostFacts, outside: Sequence[Packet]) -> tuple[str, ...]:
    """firewalld's zones of these interfaces: the default one, where none is told."""
    default = facts.firewall.get("firewall-cmd --get-default-zone", "").strip()
    zone, zone_of = "", {}
    for line in facts.firewall.get("firewall-cmd --get-active-zones", "").splitlines():
        word, *names = line.split() or [""]
        if line[:1].strip():
            zone = word
        elif word == "interfaces:":
            zone_of.update(dict.fromkeys(names, zone))
    found = {zone_of.get(packet.interface, default): None for packet in outside}
    if not all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,30}", each) for each in found):
        raise ValueError("firewalld tells no zone")
    return tuple(found)


# -- what becomes of the port ----------------------------------------------------------------------


def _limited(each: _Filter, packet: Packet, old: int, new: int) -> bool:
    """Whether some are kept from the old port, or may be, and not from the new one as well."""
    was = each.fate(replace(packet, port=old))
    now = each.fate(replace(packet, port=new))
    if was is None or now is None:
        return False
    return was.ends != {walk.ACCEPT} or not was.bans <= now.bans


def _shut(each: _Filter, outside: Sequence[Packet], port: int) -> bool | None:
    """None where the port is let in; else whether an accept goes behind the rules, or before them.
    Raises _Unsure.
    """
    places = {_place(each.fate(replace(packet, port=port))) for packet in outside} - {None}
    if len(places) > 1:
        raise _Unsure("it ends in one way for some interface or family, and otherwise for another")
    return places.pop() if places else None


def _place(now: walk.Fate | None) -> bool | None:
    if now is None or now.ends == {walk.ACCEPT}:
        return None
    if walk.REFUSED in now.ends:
        raise _Unsure("a rule that names ports drops it")
    if now.ends == {walk.END}:
        return True
    # Before all rules it would also let in those whom the rules keep out.
    if now.ends == {walk.DROP} and not now.bans:
        return False
    raise _Unsure("what its rules do with it cannot be told for certain")


# -- the steps -------------------------------------------------------------------------------------


class _Work:
    """The plan's part as it grows; `edits` has for a file where the text goes in, and the text."""

    def __init__(self, facts: HostFacts) -> None:
        self.facts = facts
        self.opens: dict[OpenPort, None] = {}
        self.told: list[str] = []
        self.edits: dict[str, tuple[int, str]] = {}
        self.checks: dict[str, CheckConfiguration] = {}

    def add(self, each: _Filter, old: int, port: int, last: bool, limited: bool) -> None:
        if limited:
            raise _Unsure(
                "that everybody reaches port %d today cannot be told from the rules" % old
            )
        ops = each.opening(port, last)
        if not ops:
            raise _Unsure("no rule of a plan has a place in that chain")
        lost = [op for op in ops if op not in self.opens and not self._keep(op, each.base)]
        self.opens.update(dict.fromkeys(ops))
        line = _OPENS % (each.name, old, port, port)
        for op in lost:
            line += _NOT_KEPT % " ".join(map(quote, firewall.line(op)))
        self.told.append(line + ("." if not lost else ""))

    def _keep(self, op: OpenPort, base: Base | None) -> bool:
        """Puts the rule where it is loaded at a boot. False where that is not known."""
        if op.manager in (Firewall.UFW, Firewall.FIREWALLD):
            return True
        program = "nft" if base else op.where
        enabled = {unit.name for unit in self.facts.units if unit.enabled == "enabled"}
        for unit, its, path in _LOADED:
            fact = self.facts.file(path)
            content = fact.content if fact and its == program and unit in enabled else None
            at = None if content is None else _end_of(content, op, base)
            if content is None or at is None:
                continue
            at, before = self.edits.get(path, (at, ""))
            cut = at == 0 or bool(before) or content[:at].endswith(b"\n")
            words = firewall.line(op)
            line = " ".join(words) if base else iptables.saved(words)
            self.edits[path] = (at, before + "\n" * (not cut) + line + "\n")
            check = ("nft", "-c", "-f") if base else (program + "-restore", "--test")
            self.checks[path] = CheckConfiguration((*check, path), ())
            return True
        return False

    def done(self) -> Opened:
        ops: list[Op] = []
        for path, (at, text) in self.edits.items():
            fact = self.facts.file(path)
            assert fact is not None
            assert fact.content is not None
            ops.append(edit(path, fact.content, [Splice(at, b"", text.encode("ascii"))]))
            ops.append(self.checks[path])
        told = tuple(dict.fromkeys(self.told))
        return Opened((*ops, *self.opens), tuple(self.edits), told)


def _end_of(content: bytes, op: OpenPort, base: Base | None) -> int | None:
    """Where the rule goes in a file that a boot loads; None where that file is not the place."""
    if base is None:
        return iptables.place(content, op.last)
    return len(content) if nftables.defines(content, base) else None


# -- a port that is given up -----------------------------------------------------------------------


def _naming(facts: HostFacts, port: int) -> Iterator[Sequence[str]]:
    """The rules that accept it by its number, in the words of each firewall."""
    for program, text in _tables(facts):
        yield ["%s %s" % (program, rule) for rule in iptables.naming(text, port)]
    rules = _ruleset(facts)
    for base in rules.bases if rules else ():
        if rules and base.plain and not base.early and not _is_iptables(facts, base):
            yield ["nft: %s, handle %s" % (base.where, each) for each in rules.naming(base, port)]
