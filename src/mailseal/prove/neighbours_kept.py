"""The services beside the one that was changed are as they were: each listens at its address, and
nobody took the occasion to open another way in.

Strategy: the plan says what was there, what it opens itself, and which units it asks something of.
A host lives, so not every new socket is a failure: it is one on a port of cleartext logins, whoever
opened it, or anywhere, if a unit that the plan touched did. Left out are the ports that the kernel
gives to who asks for any (a daemon draws another with each start), those of implicit TLS (a daemon
that is told to enforce TLS may open its own), and units of ours, which listen where the plan says.
"""

from __future__ import annotations

from typing import Dict, Iterator, Sequence, Set

from mailseal.model.host import Listener
from mailseal.model.look import Endpoint
from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence
from mailseal.system import datagrams
from mailseal.system.base import System

CLEARTEXT = (25, 109, 110, 143, 587, 4190)
"""Where logins begin in cleartext: SMTP, POP2, POP3, IMAP, submission, ManageSieve."""
IN_TLS = (465, 993, 995)
"""RFC 8314: implicit TLS."""
RANDOM = 32768
"""The least port that Linux gives to who asks for any (ip_local_port_range in its ip-sysctl)."""
OURS = "mailseal"


def check(claim: Claim, system: System) -> Evidence:
    """`expected`, words parted by blanks: `listening` the addresses with their ports, and `units`
    who listens there, in the same order; `allowed` every address where anything listened, and those
    that the plan opens; `touched` the units that it asks something of; `udp` their UDP sockets, as
    `unit=address`. All but the first may be left out.
    """
    said = {name: words.split() for name, words in claim.expected.items()}
    there = system.listeners()
    wanted = said["listening"]
    problems = list(_gone(wanted, said.get("units", ()), there))
    if "allowed" in said:
        problems += _new(set(said["allowed"]), set(said.get("touched", ())), there)
    if said.get("udp"):
        problems += _silent(said["udp"], system)
    if problems:
        return Evidence(Result.FAIL, tuple(problems))
    return Evidence(Result.PASS, ("%d other sockets listen" % len(wanted),))


def _at(each: Listener) -> str:
    # A socket may be bound to a zone (`fe80::1%eth0`); an Endpoint writes either the same way.
    return str(Endpoint(each.address, each.port))


def _gone(wanted: Sequence[str], units: Sequence[str], there: Sequence[Listener]) -> Iterator[str]:
    """What no longer listens, and what another unit listens for."""
    now: Dict[str, Set[str]] = {}
    for each in there:
        now.setdefault(_at(each), set()).add(each.unit)
    gone = [each for each in wanted if each not in now]
    if gone:
        yield "nothing listens at %s any more" % ", ".join(gone)
    for where, unit in zip(wanted, units):
        # Without a unit it belongs to a process that ended as it was looked at.
        found = now.get(where, {unit}) - {""}
        if found and unit not in found:
            yield "%s listens at %s, which was %s" % (", ".join(sorted(found)), where, unit)


def _new(allowed: Set[str], touched: Set[str], there: Sequence[Listener]) -> Iterator[str]:
    """What listens now that nobody promised."""
    for each in there:
        if _at(each) in allowed or each.unit.startswith(OURS):
            continue
        theirs = each.unit in touched and each.port < RANDOM and each.port not in IN_TLS
        if each.port in CLEARTEXT or theirs:
            who = each.unit or each.process or "an unseen process"
            yield "%s listens at %s, where nothing did before" % (who, _at(each))


def _silent(wanted: Sequence[str], system: System) -> Iterator[str]:
    """What no longer takes datagrams."""
    there = {"%s=%s" % (each.unit, _at(each)) for each in datagrams.bound(system)}
    for each in wanted:
        unit, _, where = each.rpartition("=")
        if each not in there and int(where.rpartition(":")[2]) < RANDOM:
            yield "%s takes no datagrams at %s any more" % (unit, where)
