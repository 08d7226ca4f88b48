"""Facts of hosts that serve POP2, one for each kind of starter, taken from simulated hosts."""

from dataclasses import replace

from mailseal.facts.gather import gather
from mailseal.model.host import AddressFact, HostFacts, Listener
from mailseal.system.memory import Bind, MemorySystem

INETD = (
    b"#:MAIL: old things\n"
    b"109\tstream\ttcp\tnowait\troot\t/usr/sbin/ipop2d\tipop2d\n"
    b"109\tstream\ttcp6\tnowait\troot\t/usr/sbin/ipop2d\tipop2d\n"
)
XINETD = (
    b"service pop2\n{\n\ttype = UNLISTED\n\tport = 109\n\tsocket_type = stream\n\tprotocol = tcp\n"
    b"\tflags = IPv6\n\twait = no\n\tuser = mail\n\tserver = /usr/sbin/ipop2d\n"
    b"\tserver_args = -d $x 100%\n\tenv = LANG=C\n\tonly_from = 192.0.2.0/24\n\tdisable = no\n}\n"
)
UNIT = (
    b"[Unit]\nDescription=POP2\n[Service]\nType=notify\n"
    b"ExecStart=/usr/sbin/ipop2d --listen 0.0.0.0:109 --listen [::]:109 --quiet\n"
    b"[Install]\nWantedBy=multi-user.target\n"
)
NAME = "pop2d.service"
SOCKET = (
    b"[Unit]\nDescription=POP2\n[Socket]\nListenStream=109\nAccept=yes\n"
    b"[Install]\nWantedBy=sockets.target\n"
)
EACH = b"[Service]\nUser=mail\nExecStart=-/usr/sbin/ipop2d\nStandardInput=socket\n"
LINK = AddressFact("fe80::1", "eth0", "link")


def inetd(conf: bytes = INETD, stunnel: bool = True) -> MemorySystem:
    system = MemorySystem()
    system.install("openbsd-inetd")
    if stunnel:
        system.install("stunnel4")
    system.put("/etc/inetd.conf", conf)
    system.manager.boot()
    return system


def xinetd(conf: bytes = XINETD) -> MemorySystem:
    system = MemorySystem()
    system.install("xinetd")
    system.install("stunnel4")
    system.put("/etc/xinetd.d/pop2", conf)
    system.manager.boot()
    return system


def standalone(unit: bytes = UNIT) -> MemorySystem:
    system = MemorySystem()
    system.install("stunnel4")
    system.put("/usr/sbin/ipop2d", b"\x7fELF", 0o755)
    system.put("/lib/systemd/system/" + NAME, unit)
    system.listens[NAME] = (Bind("0.0.0.0", 109), Bind("::", 109))
    system.manager.reload_files()
    system.manager.enable(NAME)
    system.manager.boot()
    return system


def socket(unit: bytes = SOCKET, each: bytes = EACH) -> MemorySystem:
    system = MemorySystem()
    system.install("stunnel4")
    system.put("/usr/sbin/ipop2d", b"\x7fELF", 0o755)
    system.put("/lib/systemd/system/pop2.socket", unit)
    system.put("/lib/systemd/system/pop2@.service", each)
    system.manager.reload_files()
    system.manager.enable("pop2.socket")
    system.manager.boot()
    return system


SYSTEMS = {"inetd": inetd, "xinetd": xinetd, "systemd": standalone, "socket": socket}


def facts(starter: str) -> HostFacts:
    """The facts of a host by the word that the plan has for its starter."""
    return gather(SYSTEMS[starter]())


def listening(base: HostFacts, *where: Listener) -> HostFacts:
    """The same host with these listeners alone, and a link-local address."""
    return replace(base, listeners=where, addresses=(*base.addresses, LINK))


def listener(address: str, port: int = 109, **more: object) -> Listener:
    found = Listener(address, port, 7, "inetd", "/usr/sbin/inetd", "inetd.service")
    return replace(found, **more)  # type: ignore[arg-type]
