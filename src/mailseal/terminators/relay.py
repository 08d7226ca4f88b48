"""The way past stunnel for excepted networks: their connections to a port are taken to a relay on
loopback, and by it to the backend's Unix socket. Everybody else meets stunnel.

Strategy: what fails shuts out, and exposes nobody. The port is stunnel's in any case. A table of
nftables of our own hands to the relay what comes from the networks (`tproxy` in nft(8)): nothing of
the packet is changed, and the host's own rules count for it as before. Where the table is gone
(`flush ruleset`) these clients meet stunnel too. The relay listens on loopback, where nothing from
outside is let in (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3), and takes what was not sent to its address
(Transparent= in systemd.socket(5)).
"""

from __future__ import annotations

import re
from typing import NamedTuple, Sequence, Tuple

from mailseal.configs import systemd
from mailseal.model.excepted import Door, side
from mailseal.model.ops import CheckConfiguration, Listening, MakeLink, Op, UnitAction, WriteFile
from mailseal.terminators import stunnel

PACKAGE = "nftables"
_NFT = "/usr/sbin/nft"
_UNITS = "/etc/systemd/system/"
_HEAD = b"# Made by mailseal; `mailseal rollback` removes it.\n"
_FAMILIES = (("ip", ".", "127.0.0.1"), ("ip6", ":", "[::1]"))
"""nft's name of each, what its addresses have, and where the relay listens."""


class Names(NamedTuple):
    """What is called how for a port: the relay's port, the units, and the list."""

    port: int
    socket: str
    relay: str
    steering: str
    list: str


def names(port: int) -> Names:
    """Those of the service at `port`."""
    relay = "mailseal-relay-%d" % port
    steering = "mailseal-steering-%d.service" % port
    path = "%s/except-%d.nft" % (stunnel.DIRECTORY, port)
    return Names(side(port), relay + ".socket", relay + ".service", steering, path)


def table_of(port: int) -> str:
    """The table of nftables, with its family."""
    return "inet mailseal_except_%d" % port


def door(port: int, addresses: Sequence[str]) -> Door:
    """The list: a table that nft(8) loads, in place of an older one. `addresses` are those where
    the port is served.
    """
    table, there = table_of(port), names(port).port
    rules = []
    for family, mark, loopback in _FAMILIES:
        here = ", ".join(sorted(each for each in addresses if mark in each))
        match = "%s saddr %%s %s daddr { %s } tcp dport %d" % (family, family, here, port)
        rules.append("%s tproxy %s to %s:%d accept\n" % (match, family, loopback, there))
    # Where route_localnet is set (ip-sysctl), loopback of IPv4 is reached from outside.
    guard = 'iifname != "lo" ip daddr 127.0.0.0/8 tcp dport %d drop\n' % there
    return Door(
        path=names(port).list,
        head="# Made by mailseal: who may log in without TLS, each to the end of its day.\n"
        "table %s\ndelete table %s\ntable %s {\nchain steering {\n"
        "type filter hook prerouting priority mangle; policy accept;\n%s"
        % (table, table, table, guard),
        each=rules[0],
        each6=rules[1],
        tail="}\n}\n",
        unit=names(port).steering,
    )


def listed(data: bytes) -> Tuple[str, ...]:
    """The networks that stand in a list of ours."""
    return tuple(re.findall(r"(?m)^ip6? saddr (\S+) ", data.decode("utf-8", "replace")))


def check(port: int) -> CheckConfiguration:
    """That this kernel knows such a rule, before anything is changed."""
    words = (
        "add table inet mailseal_except_trial",
        "add chain inet mailseal_except_trial steering "
        "{ type filter hook prerouting priority mangle; }",
        *(
            "add rule inet mailseal_except_trial steering tcp dport %d tproxy %s to %s:%d"
            % (port, family, loopback, names(port).port)
            for family, _, loopback in _FAMILIES
        ),
    )
    return CheckConfiguration(("nft", "-c", "; ".join(words)), ())


def _inside(addresses: Sequence[str]) -> Tuple[str, ...]:
    """Where the relay listens for clients of these addresses' families."""
    return tuple(
        loopback for _, mark, loopback in _FAMILIES if any(mark in each for each in addresses)
    )


def files(port: int, addresses: Sequence[str]) -> Tuple[WriteFile, ...]:
    """The units, but for the list."""
    known = names(port)
    about = ("Description", "mailseal: clients of port %d without TLS" % port)
    socket = (
        *(("ListenStream", "%s:%d" % (each, known.port)) for each in _inside(addresses)),
        ("Transparent", "yes"),
        # systemd would close the socket for good after 200 connections in two seconds.
        ("TriggerLimitIntervalSec", "0"),
    )
    relay = (
        ("ExecStart", "%s %s" % (stunnel.PROXY, stunnel.backend_socket(port))),
        ("User", stunnel.GROUP),
        ("Group", stunnel.GROUP),
        ("PrivateNetwork", "yes"),
        ("CapabilityBoundingSet", ""),
        ("Slice", "system.slice"),
        *stunnel.HARDENING,
    )
    with_socket = (about, ("Requires", known.socket), ("After", known.socket))
    units = (
        (known.socket, (("Unit", (about,)), ("Socket", socket))),
        (known.relay, (("Unit", with_socket), ("Service", relay))),
    )
    return (
        *(_unit(name, sections) for name, sections in units),
        steering(port, "%s -f %s" % (_NFT, known.list)),
    )


def _unit(name: str, sections: Sequence[Tuple[str, Sequence[Tuple[str, str]]]]) -> WriteFile:
    return WriteFile(_UNITS + name, _HEAD + systemd.compose(sections), "root", "root", 0o644)


def steering(port: int, load: str, before: str = "") -> WriteFile:
    """The unit that has the table as long as it runs: by the command `load`, and before a unit."""
    # The host's own rules may begin with `flush ruleset`: ours follow them.
    host = "nftables.service"
    behind = (
        ("Description", "mailseal: clients of port %d without TLS" % port),
        ("After", host),
        ("PartOf", host),
        ("ReloadPropagatedFrom", host),
        *((("Before", before),) if before else ()),
    )
    service = (
        ("Type", "oneshot"),
        ("RemainAfterExit", "yes"),
        ("ExecStart", load),
        ("ExecReload", load),
        ("ExecStop", "-%s delete table %s" % (_NFT, table_of(port))),
    )
    return _unit(names(port).steering, (("Unit", behind), ("Service", service)))


def begin(port: int, addresses: Sequence[str]) -> Tuple[Op, ...]:
    """The start, now and at every boot."""
    known = names(port)
    here = tuple(Listening(each.strip("[]"), known.port, True) for each in _inside(addresses))
    return (
        UnitAction(known.socket, "start", "stop", after_do=here),
        MakeLink(_UNITS + "sockets.target.wants/" + known.socket, _UNITS + known.socket),
        *steer(port),
    )


def steer(port: int) -> Tuple[Op, ...]:
    """The start of the unit that has the table, now and at every boot."""
    unit = names(port).steering
    return (
        UnitAction(unit, "start", "stop"),
        MakeLink(_UNITS + "multi-user.target.wants/" + unit, _UNITS + unit),
    )
