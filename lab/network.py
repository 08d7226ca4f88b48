"""Networks of a lab: bridges with both address families, and clients on them.

Strategy: every member is a network namespace with one interface ``eth0``, joined by a veth pair
to a bridge in the enclosure's own namespace, where a capture sees every frame.  Addresses are
from the documentation ranges and need no duplicate address detection, so they work at once.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from lab.enclosure import Enclosure, popen, run
from lab.images import LabError

# RFC 5737 and RFC 3849; a lab has as many networks as there are rows.
_RANGES = tuple(
    (IPv4Network(ipv4), IPv6Network(ipv6))
    for ipv4, ipv6 in (
        ("192.0.2.0/24", "2001:db8:1::/64"),
        ("198.51.100.0/24", "2001:db8:2::/64"),
        ("203.0.113.0/24", "2001:db8:3::/64"),
    )
)
_FIRST_MEMBER = 10


@dataclass
class Network:
    """One bridge; members get the next free address of either family."""

    enclosure: Enclosure
    bridge: str
    ipv4: IPv4Network
    ipv6: IPv6Network
    members: list[str] = field(default_factory=list)

    @classmethod
    def create(cls, enclosure: Enclosure, number: int) -> Network:
        """The lab's network ``number`` (from 0)."""
        if number >= len(_RANGES):
            raise LabError(f"a lab has at most {len(_RANGES)} networks")
        bridge = f"br{number}"
        # Without snooping IPv6 neighbour discovery reaches every member from the first frame.
        enclosure.run(
            ["ip", "-batch", "-"],
            f"link add {bridge} type bridge forward_delay 0 mcast_snooping 0\n"
            f"link set {bridge} up\n",
        )
        return cls(enclosure, bridge, *_RANGES[number])

    def join(self, name: str) -> tuple[str, str]:
        """Make the network namespace ``name`` a member; its IPv4 and IPv6 address."""
        number = _FIRST_MEMBER + len(self.members)
        self.members.append(name)
        ipv4, ipv6 = str(self.ipv4[number]), str(self.ipv6[number])
        port = f"{self.bridge}-{number}"
        self.enclosure.run(
            ["ip", "-batch", "-"],
            f"netns add {name}\n"
            f"link add {port} type veth peer name eth0 netns {name}\n"
            f"link set {port} master {self.bridge} up\n",
        )
        self.enclosure.run(
            ["ip", "-netns", name, "-batch", "-"],
            "link set lo up\n"
            "link set eth0 up\n"
            f"address add {ipv4}/{self.ipv4.prefixlen} dev eth0\n"
            f"address add {ipv6}/{self.ipv6.prefixlen} dev eth0 nodad\n",
        )
        return ipv4, ipv6


@dataclass(frozen=True)
class Client:
    """A place on a network to look from: a network namespace with this machine's own programs."""

    enclosure: Enclosure
    name: str
    ipv4: str
    ipv6: str

    def run(
        self,
        command: Sequence[str],
        check: bool = True,
        input: bytes | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program from there, its output captured as bytes.

        Raises CalledProcessError (with ``check``) and TimeoutExpired like ``subprocess.run``.
        """
        done = run(self.enclosure.argv(command, self.name), input, timeout)
        if check:
            done.check_returncode()
        return done

    def popen(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a program there, with pipes; ``lab.end`` stops it, or the end of the lab."""
        pipe = subprocess.PIPE
        return popen(self.enclosure.argv(command, self.name), stdin=pipe, stdout=pipe, stderr=pipe)
