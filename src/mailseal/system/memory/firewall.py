"""nft(8) of a simulated host: one base chain that drops, and accepts of TCP ports in it; further
tables as names with their text.

Strategy: the rules are lines of a file of the disk, so that a snapshot holds them; where there is
no such file there is no chain. They outlive a boot, as where a service loads the same ones. The
tables lie below /run, and do not.
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
_TABLE = "/run/table-%s"
_RULE = re.compile(r'tcp dport (\d+) accept(?: comment "(.*)")?')


def nft(machine: MemorySystem, argv: Tuple[str, ...], data: bytes) -> Completed:
    """`list`, `add rule`, `insert rule` and `delete rule`; what is read by `-f` defines tables, and
    nothing is found wrong in a file.
    """
    found = machine.nodes.get(RULES)
    if found is None and "nftables" not in machine.packages:
        return Completed(argv, 127, b"", b"no such program")
    lines = found.data.decode().splitlines() if found else []
    words = [word for word in argv[1:] if not re.fullmatch("-[a-z]", word)]
    if words == ["list", "ruleset"]:
        items = _items(lines) if found else []
        return Completed(argv, 0, json.dumps({"nftables": items}).encode(), b"")
    if words[:2] == ["list", "table"]:
        return Completed(argv, 0 if _TABLE % words[-1] in machine.nodes else 1, b"", b"")
    if "-f" in argv:
        _read(machine, data)
        return Completed(argv, 0, b"", b"")
    if found is None or tuple(words[2:5]) != CHAIN:
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


def _read(machine: MemorySystem, data: bytes) -> None:
    for verb, name, text in re.findall(rb"(?m)^(delete )?table inet (\w+)(.*(?:\n .*)*)", data):
        place = _TABLE % name.decode()
        machine.nodes.pop(place, None)
        if not verb:
            machine.place(place, Node("file", machine.timed(Meta(0o600, 0, 0)), text))


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
