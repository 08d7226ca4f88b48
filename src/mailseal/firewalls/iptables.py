"""The rules of iptables, from `iptables -S`, and the file that keeps them (iptables-save(8)).

Strategy: as for nftables. An option that is not in the tables here makes its rule one that cannot
be told; what it says is never guessed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence

from mailseal.firewalls import walk
from mailseal.firewalls.walk import Packet, Rule

_ENDS = {
    "ACCEPT": walk.ACCEPT,
    "DROP": walk.DROP,
    "REJECT": walk.DROP,
    "RETURN": walk.RETURN,
    **dict.fromkeys(("LOG", "NFLOG", "MARK", "CONNMARK", "SET", "TRACE"), walk.NEXT),
}
_SOURCE = ("-s", "--source", "--match-set", "--src-range")


def fate(text: str, packet: Packet) -> walk.Fate:
    """What becomes of a packet in INPUT. Raises ValueError where the text is no list of rules."""
    chains: dict[str, list[Rule]] = {}
    drops = None
    for words in map(_words, text.splitlines()):
        if words[:2] == ["-P", "INPUT"] and len(words) > 2:
            drops = words[2] != "ACCEPT"
        if words[:1] in (["-P"], ["-N"]) and len(words) > 1:
            chains.setdefault(words[1], [])
        if words[:1] == ["-A"] and len(words) > 1:
            chains.setdefault(words[1], []).append(_rule(words[2:], packet))
    if drops is None:
        raise ValueError("iptables answers what is no list of rules")
    return walk.fate(chains, "INPUT", drops)


def naming(text: str, port: int) -> list[str]:
    """The rules that accept TCP to that port, and name it."""
    packet = Packet("", "", port)
    found = []
    for line in text.splitlines():
        words = _words(line)
        if words[:1] == ["-A"]:
            rule = _rule(words[2:], packet)
            if rule.named and rule.then == walk.ACCEPT and rule.holds is not False:
                found.append(line)
    return found


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []


def _rule(words: Sequence[str], packet: Packet) -> Rule:
    holds: bool | None = True
    banning, named = False, False
    source = " ".join(words)
    for option, values, negated in _options(words):
        if option in ("-j", "-g", "--jump", "--goto"):
            target = values[0] if values else ""
            end = _ENDS.get(target)
            jump = end is None
            goto = option in ("-g", "--goto")
            return Rule(holds, end or target, named, banning, goto, jump, source)
        named = named or "dport" in option
        judge = _JUDGES.get(option)
        one = judge(values, packet) if judge else None
        if one is not None and negated:
            one = not one
        if one is False:
            return Rule(False, walk.NEXT, named, source=source)
        if one is None:
            banning = (holds is True or banning) and option in _SOURCE
            holds = None
    return Rule(holds, walk.NEXT, named, source=source)


def _options(words: Sequence[str]) -> Iterator[tuple[str, list[str], bool]]:
    """Each option with its values, and whether it is negated."""
    at = 0
    while at < len(words):
        negated = words[at] == "!"
        at += negated
        option = words[at] if at < len(words) else ""
        at += 1
        values = []
        while at < len(words) and words[at] != "!" and not re.match(r"--?[A-Za-z]", words[at]):
            values.append(words[at])
            at += 1
        yield option, values, negated


_Judge = Callable[[Sequence[str], Packet], "bool | None"]


def _yes(values: Sequence[str], packet: Packet) -> bool | None:
    return True


def _no(values: Sequence[str], packet: Packet) -> bool | None:
    """A routing header, which no client sends."""
    return False


def _protocol(values: Sequence[str], packet: Packet) -> bool | None:
    return values[:1] in (["tcp"], ["6"], ["all"])


def _interface(values: Sequence[str], packet: Packet) -> bool | None:
    name = values[0] if values else ""
    return packet.interface.startswith(name[:-1]) if name[-1:] == "+" else packet.interface == name


def _port(values: Sequence[str], packet: Packet) -> bool | None:
    """One port, or a list of ports and ranges."""
    found = False
    for each in (values[0] if values else "").split(","):
        low, mark, high = each.partition(":")
        first, last = low or "0", high or "65535" if mark else low
        if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            return None
        found = found or int(first) <= packet.port <= int(last)
    return found


def _state(values: Sequence[str], packet: Packet) -> bool | None:
    return "NEW" in (values[0] if values else "").split(",")


def _local(values: Sequence[str], packet: Packet) -> bool | None:
    return values[:1] == ["LOCAL"]


def _flags(values: Sequence[str], packet: Packet) -> bool | None:
    return True if [*values] == ["FIN,SYN,RST,ACK", "SYN"] else None


_JUDGES: dict[str, _Judge] = {
    **dict.fromkeys(("-m", "--comment", "--syn"), _yes),
    **dict.fromkeys(("-p", "--protocol"), _protocol),
    **dict.fromkeys(("-i", "--in-interface"), _interface),
    **dict.fromkeys(("--dport", "--dports"), _port),
    **dict.fromkeys(("--ctstate", "--state"), _state),
    "--dst-type": _local,
    "--tcp-flags": _flags,
    "--rt-type": _no,
}


# -- the file that is loaded at a boot -----------------------------------------------------------


def saved(words: Sequence[str]) -> str:
    """A rule (-A or -I, the chain, options) as iptables-save(8) writes it: iptables-restore takes
    double quotes alone.
    """
    return " ".join(["-A", *('"%s"' % word if " " in word else word for word in words[1:])])


def place(content: bytes, end: bool) -> int | None:
    """Where a rule of INPUT goes in what iptables-save(8) wrote: behind the others, or before them.
    None where there is no such place.
    """
    table = re.search(rb"(?ms)^\*filter[ \t]*\n(.*?)^COMMIT[ \t]*$", content)
    if table is None or not re.search(rb"(?m)^:INPUT ", table.group(1)):
        return None
    first = re.search(rb"(?m)^(?:\[\d+:\d+\] )?-[AI] ", table.group(1))
    return table.end(1) if end or first is None else table.start(1) + first.start()
