"""What the host's firewalls say of themselves: the questions, and when they may be asked.

Strategy: a question must change nothing. Asking iptables loads its module where nothing has used it
yet, ufw asks iptables, and firewalld can be started by being asked; so each is asked only where
something shows that it is in use. The answers are kept as they are, and judged when a plan is made.
"""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence, Tuple

from mailseal.model import firewall
from mailseal.model.host import UnitFact
from mailseal.system.base import System

SECONDS = 10.0
MAX_ANSWER = 2 * 1024 * 1024
"""Bytes."""

NFT = ("nft", "-j", "-s", "-t", "list", "ruleset")
"""As JSON, without counters and without the elements of sets: those change by the second."""

UNITS = tuple(unit for units in firewall.UNITS.values() for unit in units)
UFW = "/etc/ufw/ufw.conf"
FILES = (
    *("/etc/nftables.conf", "/etc/sysconfig/nftables.conf", UFW),
    *("/etc/iptables/rules.v4", "/etc/iptables/rules.v6"),
    *("/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables"),
)
"""What is loaded at a boot, and whether ufw is on."""

_FIREWALLD = (
    ("firewall-cmd", "--state"),
    ("firewall-cmd", "--get-default-zone"),
    ("firewall-cmd", "--get-active-zones"),
)


def answers(system: System, units: Sequence[UnitFact]) -> Tuple[Dict[str, str], List[str]]:
    """Command line to what it prints, and the complaints of those that do not answer. A program
    that is not there has nothing to say.
    """
    asking = _Asking(system)
    if system.uid() != 0:
        return {}, ["the rules are for root to read; run as root"]
    rules = asking.ask(NFT)
    for program, names in (("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")):
        old = b"filter" in asking.read("/proc/net/" + names).split()
        new = rules is not None and '"name": "INPUT"' in rules
        if old or new or (rules is None and asking.on_nftables(program)):
            asking.ask((program, "-S"))
        if old and asking.on_nftables(program):
            asking.ask((program + "-legacy", "-S"))
    if re.search(rb"(?mi)^ENABLED=[\"']?yes", asking.read(UFW)):
        asking.ask(("ufw", "status"))
    if any(each.name == "firewalld.service" and each.active == "active" for each in units):
        for argv in _FIREWALLD:
            asking.ask(argv)
    return asking.said, asking.complaints


class _Asking:
    """One round of questions."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.said: Dict[str, str] = {}
        self.complaints: List[str] = []

    def ask(self, argv: Tuple[str, ...]) -> Optional[str]:
        try:
            done = self.system.run(argv, timeout=SECONDS)
        except OSError as error:
            self.complaints.append("%s: %s" % (argv[0], error.strerror or error))
            return None
        if done.code == 127:
            return None
        if not done.ok:
            self.complaints.append(done.words())
            return None
        if len(done.out) > MAX_ANSWER:
            words = "%s answers with more than %d bytes"
            self.complaints.append(words % (" ".join(argv), MAX_ANSWER))
            return None
        self.said[" ".join(argv)] = done.out.decode("utf-8", "replace")
        return self.said[" ".join(argv)]

    def on_nftables(self, program: str) -> bool:
        """Whether that iptables writes rules of nftables: asking it then loads nothing."""
        try:
            done = self.system.run((program, "--version"), timeout=SECONDS)
        except OSError:
            return False
        return done.ok and b"nf_tables" in done.out

    def read(self, path: str) -> bytes:
        try:
            return self.system.read(path)
        except OSError:
            return b""
