"""Exceptions from a daemon that has one value for all clients of a port: it has another port
beside, where its list of networks counts, and their connections are taken there.

Strategy: what fails shuts out, and exposes nobody. The port itself enforces, and the other one lets
log in whom the list names and nobody else: that is the daemon's own doing. A table of nftables of
our own, made of the same list, rewrites the port of what comes from the networks (`dnat` in
nft(8)); the daemon sees its clients' own addresses. Whoever calls the other port himself is turned
away. Without the table these clients meet TLS as all others do.

A rule of that kind resets sessions that conntrack did not see begin, so it is for first packets
alone; and a table that goes resets those that it took there, so a new list leaves chains in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailseal.daemons.base import Enforcement
from mailseal.model.excepted import Door
from mailseal.model.look import Endpoint
from mailseal.model.ops import CheckConfiguration, Listening, Op, UnitAction, WriteFile
from mailseal.model.plan import Claim, ClaimKind
from mailseal.plan import excepted, opening
from mailseal.plan.base import Cannot, Request, claims
from mailseal.starters.base import content, listeners_at
from mailseal.terminators import relay


@dataclass(frozen=True)
class Way:
    """The way to the port beside, around the edit of the daemon's files and its reload: `check`
    before anything, `files` with the list, `undone` behind them on the way back, `opens` before
    the reload and `begin` after it. The reload leaves `listening` there, its undo not.
    """

    check: tuple[Op, ...] = ()
    files: tuple[WriteFile, ...] = ()
    undone: tuple[Op, ...] = ()
    opens: tuple[Op, ...] = ()
    begin: tuple[Op, ...] = ()
    listening: tuple[Listening, ...] = ()
    claims: tuple[Claim, ...] = ()
    risks: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()

    @property
    def gone(self) -> tuple[Listening, ...]:
        """What is listening no more after the undo."""
        return tuple(replace(each, present=False) for each in self.listening)


NONE = Way()


def door(request: Request, needed: Enforcement) -> Door | None:
    """The daemon's list, which the table is made of as well."""
    if needed.door is None or not needed.side:
        return needed.door
    units = (relay.names(request.port).steering, request.start.unit)
    return replace(needed.door, unit=" ".join(units))


def way(request: Request, needed: Enforcement, addresses: Sequence[str]) -> Way:
    """What it takes for clients that reach the port at `addresses`. Raises Cannot."""
    facts, port, side = request.facts, request.port, needed.side
    if needed.door is None or not side:
        return NONE
    path = needed.door.path
    excepted.check_families(port, addresses, request.options.excepted)
    always = Way(
        files=_files(request, path, addresses, side),
        claims=claims((ClaimKind.CLOSED,), addresses, side, {}),
        ports=(side,),
    )
    unit = relay.names(port).steering
    if content(facts, path) is not None:
        again = UnitAction(unit, "reload", "")
        return replace(always, undone=(UnitAction(unit, "", "reload"),), begin=(again,))
    if not facts.packages.get(relay.PACKAGE):
        words = "no network can be excepted: there is no nft to take them to port %d beside"
        raise Cannot((words + ": install the package %s") % (side, relay.PACKAGE))
    opens = opening.opened(facts, addresses, port, (side,))
    listening = tuple(Listening(each.address, side, True) for each in listeners_at(facts, port))
    return replace(
        always,
        check=(_check(addresses, side),),
        opens=opens.ops,
        begin=relay.steer(port),
        listening=listening,
        risks=(_TOLD % (port, side), *opens.told),
        paths=opens.paths,
    )


_TOLD = (
    "While exceptions are in place, nftables takes what comes from their networks to port %d on to "
    "port %d. That is opened beside: logins are taken there from these networks alone, and who "
    "calls it himself is turned away. Without the rules these clients meet TLS as all others do. "
    "A rollback cuts the sessions that they have then."
)


# -- the table -------------------------------------------------------------------------------------

_FIRST = "tcp flags & (fin | syn | rst | ack) == syn"
_CHAIN = "{ type nat hook prerouting priority -110; }"
_SCRIPT = r"""#!/bin/sh
# Made by mailseal; `mailseal rollback` removes it.
# Takes clients of the networks in the list to port %(side)d, which serves them beside.
set -eu
{
    cat <<'END'
table %(own)s {
    chain beside {}
    chain steering %(chain)s
    chain guard { type filter hook input priority -10; }
}
flush table %(own)s
%(rules)sadd rule %(own)s guard tcp dport %(side)d ct status & dnat == 0 reject with tcp reset
END
    sed -n -e 's#^\([0-9][0-9./]*\) .*#add rule %(own)s steering ip saddr \1 jump beside#p' \
        -e 's#^\([0-9a-f]*:[0-9a-f:./]*\) .*#add rule %(own)s steering ip6 saddr \1 jump beside#p' \
        %(list)s
} | nft -f -
"""


def _files(
    request: Request, path: str, addresses: Sequence[str], side: int
) -> tuple[WriteFile, ...]:
    port = request.port
    script, table = "%s/steering-%d.sh" % (excepted.DIRECTORY, port), relay.table_of(port)
    rules = ["add rule %s beside %s\n" % (table, _rule(each, port, side)) for each in addresses]
    known = {"side": side, "own": table, "chain": _CHAIN, "list": path, "rules": "".join(rules)}
    return (
        WriteFile(script, (_SCRIPT % known).encode(), "root", "root", 0o755),
        relay.steering(port, "/bin/sh " + script, request.start.unit),
    )


def _rule(address: str, port: int, side: int) -> str:
    """A first packet to an address and port goes to the other port of the same address."""
    family = "ip6" if ":" in address else "ip"
    here = "%s daddr %s tcp dport %d" % (family, address, port)
    return "%s %s dnat %s to %s" % (here, _FIRST, family, Endpoint(address, side))


def _check(addresses: Sequence[str], side: int) -> CheckConfiguration:
    """That this kernel knows such rules, before anything is changed."""
    table = "inet mailseal_except_trial"
    words = (
        "add table " + table,
        "add chain %s steering %s" % (table, _CHAIN),
        *("add rule %s steering %s" % (table, _rule(each, side, side)) for each in addresses),
        "add rule %s steering ct status & dnat == 0 accept" % table,
    )
    return CheckConfiguration(("nft", "-c", "; ".join(words)), ())
