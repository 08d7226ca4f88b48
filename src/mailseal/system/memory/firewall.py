"""nft(8) of a simulated host: one base chain that drops, and accepts of TCP ports in it.

Strategy: the rules are lines of a file of the disk, so that a snapshot holds them. Where there is
no such file there is no nft. They outlive a boot, as where a service loads the same ones.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Dict, List, Tuple

from mailseal.system.base import Completed, Meta
from mailseal.system.memory.files import Node

if TYPE_CHECKING:
    from mailseal.system.memory.machine import MemorySystem

RULES = "/sys/nftables"
CHAIN = ("inet", "filter", "input")
_RULE = re.compile(r'tcp dport (\d+) accept(?: comment "(.*)")?')


def nft(machine: MemorySystem, argv: Tuple[str, ...], data: bytes) -> Completed:
    """`list`, `add rule`, `insert rule` and `delete rule`; `-c -f` finds nothing wrong."""
    found = machine.nodes.get(RULES)
    if found is None:
        return Completed(argv, 127, b"", b"no such program")
    lines = found.data.decode().splitlines()
    words = [word for word in argv[1:] if not re.fullmatch("-[a-z]", word)]
    if words == ["list", "ruleset"]:
        return Completed(argv, 0, json.dumps({"nftables": _items(lines)}).encode(), b"")
    if "-c" in argv:
        return Completed(argv, 0, b"", b"")
    if tuple(words[2:5]) != CHAIN:
        return Completed(argv, 1, b"", b"Error: No such file or directory")
    if words[0] == "list":
        out = "".join("\t\t%s # handle %d\n" % (line, at) for at, line in enumerate(lines, 1))
        return Completed(argv, 0, out.encode(), b"")
    if words[0] == "delete":
        del lines[int(words[-1]) - 1]
    else:
        lines.insert(len(lines) if words[0] == "add" else 0, " ".join(words[5:]))
    text = "".join(line + "\n" for line in lines).encode()
    machine.nodes[RULES] = Node("file", Meta(0o600, 0, 0), text)
    return Completed(argv, 0, b"", b"")


def _items(lines: List[str]) -> List[Dict[str, object]]:
    """libnftables-json(5)."""
    family, table, name = CHAIN
    chain = {"family": family, "table": table, "name": name, "hook": "input", "policy": "drop"}
    items: List[Dict[str, object]] = [{"chain": chain}]
    for line in lines:
        match = _RULE.fullmatch(line)
        port = int(match.group(1)) if match else 0
        left = {"payload": {"protocol": "tcp", "field": "dport"}}
        expr = [{"match": {"op": "==", "left": left, "right": port}}, {"accept": None}]
        rule = {"family": family, "table": table, "chain": name, "expr": expr}
        items.append({"rule": rule})
    return items
