"""Real hosts on a real network for tests, on one machine and without leaving a trace.

Strategy: a ``Lab`` is one enclosure of namespaces; networks, hosts, clients and captures are made
in it and go with it.  Hosts boot real Debian systems from images that are built once (``python3
-m lab build``).  Needs root and the Debian packages of ``packages.txt``.

    with Lab() as lab:
        net = lab.network()
        mail = lab.host("mailhost", system="bookworm", network=net)
        account = install_pop2d(mail, "inetd", lab.account)
        client = lab.client(net, "client")
        with lab.capture(net) as capture:
            client.run(["some", "command"])
        assert b"..." in capture.payload()
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from lab.capture import Capture
from lab.enclosure import CGROUPS, PREFIX, RUN, Enclosure, end
from lab.hosts import Host
from lab.images import LabError, System, image
from lab.network import Client, Network
from lab.pop2 import STARTERS, Account
from lab.scripted import ScriptedHost

__all__ = [
    "STARTERS",
    "TOOLS",
    "Account",
    "Capture",
    "Client",
    "Host",
    "Lab",
    "LabError",
    "Network",
    "System",
    "end",
    "missing",
]

TOOLS: Mapping[str, str] = {
    "debootstrap": "debootstrap",
    "e2fsck": "e2fsprogs",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "tcpdump": "tcpdump",
    "unshare": "util-linux",
}
"""Program to the Debian package that brings it."""


def missing() -> list[str]:
    """What keeps the lab from working here, as sentences; empty when all is there."""
    reasons = [] if os.geteuid() == 0 else ["the lab needs root"]
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            reasons.append(f"{tool} is missing: install the Debian package {package}")
    return reasons


class Lab:
    """A private world of networks and hosts; all of it is gone when the ``with`` block ends."""

    def __init__(self) -> None:
        self.account = Account()
        self._networks: list[Network] = []
        self._hosts: list[Host] = []
        self._captures = 0
        self._enclosure = Enclosure()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def network(self) -> Network:
        """A new network: a bridge with 192.0.2.0/24 and 2001:db8:1::/64 (the next with others)."""
        network = Network.create(self._enclosure, len(self._networks))
        self._networks.append(network)
        return network

    def host(
        self,
        name: str,
        system: str,
        network: Network,
        durable: bool = False,
        binds: Mapping[Path, str] | None = None,
    ) -> Host:
        """A host of a ``lab.images.SYSTEMS`` kind, booted.

        ``durable`` gives it a disk that can lose power; ``binds`` shows folders of this machine,
        read-only, at paths of the host.
        """
        addresses = network.join(name)
        kind = ScriptedHost if system == "sysvinit" else Host
        host = kind(self._enclosure, name, image(system), addresses, self.account, durable, binds)
        self._hosts.append(host)
        return host

    def client(self, network: Network, name: str) -> Client:
        """A place to look from, with this machine's own programs and files."""
        return Client(self._enclosure, name, *network.join(name))

    def capture(self, network: Network) -> Capture:
        """A packet capture of the network, to be used in a ``with`` block."""
        self._captures += 1
        return Capture(network, self._enclosure.path(f"{RUN}/{self._captures}.pcap"))

    @property
    def cgroup(self) -> str:
        """The name of the one thing the machine sees of this lab: the cgroup of its hosts."""
        return self._enclosure.cgroup

    def cgroups(self) -> list[str]:
        """The cgroups of all labs on this machine, this one's included."""
        return sorted(path.name for path in self._enclosure.path(CGROUPS).glob(f"{PREFIX}*"))

    def close(self) -> None:
        """End everything; returns when it is gone.  May be called twice."""
        self._enclosure.close()
        for host in self._hosts:
            host.reap()
