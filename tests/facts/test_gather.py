"""Facts of a simulated host in full, of this machine without a fault, and for who is not root."""

import hashlib
import json
import os
import socket

import pytest

from mailseal.facts.firewall import MAX_ANSWER, NFT, UFW
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.model.host import AddressFact, UnitFact
from mailseal.system.base import Completed
from mailseal.system.live import LiveSystem
from mailseal.system.memory import MemorySystem
from tests.plan import hosts

INETD = b"109 stream tcp nowait root /usr/sbin/ipop2d ipop2d\n"
KEY = b"-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n"


@pytest.fixture
def system() -> MemorySystem:
    host = MemorySystem()
    host.install("openbsd-inetd")
    host.put("/etc/inetd.conf", INETD, 0o640)
    host.put("/etc/xinetd.d/echo", b"service echo\n{\n}\n")
    host.put("/etc/systemd/system/inetd.service.d/limit.conf", b"[Service]\nLimitNOFILE=9\n")
    host.put("/etc/systemd/system/mailseal-pop2.service", b"[Service]\nExecStart=/bin/kill\n")
    host.put("/etc/systemd/system/mailseal-pop2.service.d/a.conf", b"[Service]\nNice=1\n")
    host.put("/etc/mailseal/pop2/pop2.key", KEY, 0o640)
    host.put("/etc/mailseal/pop2/pop2.conf", b"[pop2]\n")
    host.manager.boot()
    return host


def test_everything_planning_asks_for(system: MemorySystem):
    facts = gather(system)
    assert (facts.host, facts.machine) == ("mail", "0123456789abcdef0123456789abcdef")
    assert facts.system == "Debian GNU/Linux 12 (bookworm)"
    assert (facts.privileged, facts.init) == (True, "systemd")
    conf = facts.file("/etc/inetd.conf")
    assert conf
    assert (conf.content, conf.mode, conf.sha256) == (
        INETD,
        0o640,
        hashlib.sha256(INETD).hexdigest(),
    )
    paths = {fact.path for fact in facts.files}
    assert paths >= {
        "/etc/services",
        "/etc/xinetd.d/echo",
        "/lib/systemd/system/inetd.service",
        "/etc/systemd/system/inetd.service.d/limit.conf",
        "/etc/systemd/system/mailseal-pop2.service",
        "/etc/systemd/system/mailseal-pop2.service.d/a.conf",
        "/etc/mailseal",
        "/etc/mailseal/pop2/pop2.conf",
    }
    assert "/etc/hosts.allow" not in paths
    (listener,) = facts.listeners
    assert (listener.address, listener.port, listener.unit) == ("0.0.0.0", 109, "inetd.service")
    assert UnitFact("inetd.service", "loaded", "active", "enabled") in facts.units
    assert UnitFact("mailseal-pop2.service", "loaded", "inactive", "static") in facts.units
    assert "xinetd.service" not in {unit.name for unit in facts.units}
    assert AddressFact("192.0.2.10", "eth0", "global") in facts.addresses
    assert AddressFact("2001:db8:1::10", "eth0", "global") in facts.addresses
    candidates = {"stunnel4": "", "xinetd": "", "nftables": ""}
    assert facts.packages == {"openbsd-inetd": "0.20221205-1", **candidates}
    assert set(facts.tools) == {"openssl", "systemctl", "python3"}
    assert facts.unread == {}


def test_gathering_changes_nothing(system: MemorySystem):
    before, points = system.snapshot(times=True), system.points
    gather(system)
    assert (system.snapshot(times=True), system.points) == (before, points)


def test_a_private_key_never_leaves(system: MemorySystem):
    facts = gather(system, paths=["/etc/mailseal/pop2/pop2.key"])
    key = facts.file("/etc/mailseal/pop2/pop2.key")
    assert key
    assert key.content is None
    assert key.sha256
    assert "MHcCAQEE" not in json.dumps(codec.encode(facts))


def test_what_was_asked_for_besides(system: MemorySystem):
    system.put("/etc/pop2d.conf", b"listen 109\n")
    assert gather(system).file("/etc/pop2d.conf") is None
    found = gather(system, paths=["/etc/pop2d.conf", "/etc/inetd.conf"])
    assert found.file("/etc/pop2d.conf")
    assert len([fact for fact in found.files if fact.path == "/etc/inetd.conf"]) == 1


def test_without_root_it_says_what_it_could_not_see(system: MemorySystem):
    system.user = 1000
    facts = gather(system)
    assert not facts.privileged
    assert facts.unread["/etc/inetd.conf"] == "permission denied; run as root"
    assert "run as root" in facts.unread["listener 0.0.0.0 port 109"]
    conf = facts.file("/etc/inetd.conf")
    assert conf
    assert conf.content is None
    assert conf.sha256 == ""


def test_a_socket_unit_brings_its_service():
    system = MemorySystem()
    system.put("/etc/systemd/system/pop2.socket", b"[Socket]\nListenStream=109\n")
    system.put("/etc/systemd/system/pop2.service", b"[Service]\nExecStart=/bin/kill\n")
    system.manager.boot()
    system.run(["systemctl", "start", "pop2.socket"])
    facts = gather(system)
    assert {"pop2.socket", "pop2.service"} <= {unit.name for unit in facts.units}
    assert facts.file("/etc/systemd/system/pop2.service")


def test_a_host_without_systemd(system: MemorySystem):
    system.remove("/run/systemd/system")
    facts = gather(system)
    assert (facts.init, facts.units) == ("other", ())
    assert facts.file("/etc/inetd.conf")


def test_the_firewall_is_bounded_and_a_refusal_told(system: MemorySystem):
    system.programs["nft"] = lambda argv, data: Completed(argv, 0, b"x" * (MAX_ANSWER + 1), b"")
    facts = gather(system)
    assert facts.firewall == {}
    assert f"more than {MAX_ANSWER} bytes" in facts.unread["firewall"]
    system.programs["nft"] = lambda argv, data: Completed(argv, 1, b"", b"Operation not permitted")
    assert "not permitted" in gather(system).unread["firewall"]
    system.user = 1000
    assert "run as root" in gather(system).unread["firewall"]


def test_a_firewall_is_asked_only_where_it_is_in_use(system: MemorySystem):
    """A question loads the module of iptables, and ufw asks iptables."""
    asked: list[tuple[str, ...]] = []

    def answer(argv: tuple[str, ...], data: bytes) -> Completed:
        asked.append(argv)
        return Completed(argv, 0, b"iptables v1.8.9 (legacy)\n", b"")

    for name in ("iptables", "ip6tables", "ufw", "firewall-cmd"):
        system.programs[name] = answer
    system.put(UFW, b"ENABLED=no\n")
    gather(system)
    assert asked == [("iptables", "--version"), ("ip6tables", "--version")]

    system.put("/proc/net/ip_tables_names", b"filter\n")
    system.put(UFW, b"# on\nENABLED=yes\n")
    assert gather(system).firewall.keys() == {"iptables -S", "ufw status"}

    rules = b'{"nftables": [{"chain": {"family": "ip", "table": "filter", "name": "INPUT"}}]}'
    system.programs["nft"] = lambda argv, data: Completed(argv, 0, rules, b"")
    assert {"iptables -S", "ip6tables -S", " ".join(NFT)} <= gather(system).firewall.keys()


def test_the_version_of_stunnel_behind_its_log_lines(system: MemorySystem):
    said = (
        b"2026.01.02 03:04:05 LOG5[ui]: Initializing inetd mode configuration\n"
        b"2026.01.02 03:04:05 LOG5[ui]: stunnel 5.68 on x86_64-pc-linux-gnu platform\n"
    )
    system.programs["stunnel4"] = lambda argv, data: Completed(argv, 0, b"", said)
    assert gather(system).tools["stunnel4"] == "stunnel 5.68 on x86_64-pc-linux-gnu platform"


def test_this_machine():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        facts = gather(LiveSystem(), ports=(port,))
    (ours,) = [each for each in facts.listeners if each.port == port]
    assert (ours.address, ours.pid) == ("127.0.0.1", os.getpid())
    assert facts.system
    assert bool(facts.file("/etc/services")) == os.path.exists("/etc/services")
    assert "127.0.0.1" in {each.address for each in facts.addresses}
    assert codec.decode(type(facts), codec.encode(facts), lenient=False) == facts


def test_what_counts_behind_a_terminator_is_taken():
    unit = hosts.UNIT.replace(b"/usr/sbin/ipop2d", b"/usr/sbin/couriertcpd")
    system = hosts.standalone(unit)
    system.put("/usr/sbin/couriertcpd", b"\x7fELF", 0o755)
    for path in ("/etc/courier/pop3d", "/etc/fail2ban/jail.conf", "/etc/fail2ban/jail.d/a.local"):
        system.put(path, b"# " + path.encode())
    system.manager.boot()
    of = gather(system)
    for path in ("/etc/courier/pop3d", "/etc/fail2ban/jail.conf", "/etc/fail2ban/jail.d/a.local"):
        fact = of.file(path)
        assert fact is not None, path
        assert fact.content == b"# " + path.encode()
    assert not gather(hosts.standalone()).file("/etc/courier/pop3d")
