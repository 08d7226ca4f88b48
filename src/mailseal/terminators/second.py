"""A second stunnel with the options of the first, for the seconds in which a port changes hands.

Strategy: it listens on loopback alone, at sockets that systemd opens for it and gives the right to
take connections that were meant for another address and port (Transparent= in systemd.socket(5)).
stunnel takes such sockets in the order of its sections, whatever `accept` says (tried with 5.56 and
5.68). A connection that is led there keeps both its addresses: the firewall, hosts_access(5) and
the log see it as it is, and it lives on when nothing is led there any more.
"""

from __future__ import annotations

from typing import Sequence

from mailseal.configs import systemd
from mailseal.model.ops import Steer
from mailseal.terminators.stunnel import GROUP, HARDENING, Rules, accept, config

_PORT = Steer.PORT.decode("ascii")
_HEAD = b"# Made by mailseal for the time of one change.\n"


def hosts(addresses: Sequence[str]) -> Sequence[str]:
    """Where it listens for clients of these addresses: loopback of the same families."""
    six = [":" in each for each in addresses]
    return ["127.0.0.1"] * (False in six) + ["::1"] * (True in six)


def configuration(
    protocol: str, listens: Sequence[str], connect: str, certificate: str, key: str, rules: Rules
) -> bytes:
    """The options of the first, at other addresses."""
    accepts = [accept(each, _PORT) for each in listens]
    return config(protocol, accepts, connect, certificate, key, rules)


def socket(listens: Sequence[str]) -> bytes:
    """The text of its socket unit."""
    streams = [
        "[%s]:%s" % (each, _PORT) if ":" in each else accept(each, _PORT) for each in listens
    ]
    options = (
        *(("ListenStream", each) for each in streams),
        ("Transparent", "yes"),
        ("BindIPv6Only", "ipv6-only"),
        # systemd would close the sockets for good after some starts of the service.
        ("TriggerLimitIntervalSec", "0"),
    )
    return _HEAD + systemd.compose((("Unit", _ABOUT), ("Socket", options)))


def service(program: str, name: str) -> bytes:
    """The text of its service unit, which runs `program` (Steer.path has the configuration)."""
    options = (
        ("Type", "simple"),
        ("ExecStart", "%s /run/mailseal-second-%s.conf" % (program, name)),
        ("User", GROUP),
        ("Group", GROUP),
        ("CapabilityBoundingSet", ""),
        ("Slice", "system.slice"),
        ("LimitNOFILE", "65536"),
        ("UMask", "0077"),
        *HARDENING,
    )
    return _HEAD + systemd.compose((("Unit", _ABOUT), ("Service", options)))


_ABOUT = (("Description", "mailseal: TLS while a port changes hands (stunnel)"),)
