"""How a service is started, told from facts alone, and what it takes to change that."""

from dataclasses import replace

import pytest

from mailseal import starters
from mailseal.configs import systemd
from mailseal.configs import xinetd as xinetd_config
from mailseal.configs.text import apply_splices
from mailseal.facts.gather import gather
from mailseal.model.excepted import Excepted
from mailseal.model.host import HostFacts, Server
from mailseal.model.ops import EditFile, MakeDirectory, WriteFile
from mailseal.starters.base import Admission, Start
from mailseal.system.memory import MemorySystem
from tests.plan import hosts
from tests.plan.hosts import INETD, UNIT, XINETD, facts, inetd, xinetd


def found(starter: str, config: bytes) -> Start:
    start = starters.find(gather(hosts.SYSTEMS[starter](config)), 109)
    assert start is not None
    return start


def edited(start: Start) -> str:
    """What the one edit of a file makes of it, told by its new words."""
    (edit,) = [op for op in start.off.edit if isinstance(op, EditFile)]
    return b"|".join(splice.new for splice in edit.splices).decode()


@pytest.mark.parametrize(
    ("starter", "unit"),
    [
        ("inetd", "inetd.service"),
        ("xinetd", "xinetd.service"),
        ("systemd", "pop2d.service"),
        ("socket", "pop2.socket"),
    ],
)
def test_each_starter_is_told_from_the_others(starter: str, unit: str):
    start = starters.find(facts(starter), 109)
    assert start is not None
    assert (start.starter, start.unit) == ({"socket": "systemd"}.get(starter, starter), unit)
    assert start.problems == start.fixed == ()
    assert starters.find(facts(starter), 110) is None


def test_a_line_that_another_program_serves_is_not_inetds():
    """`xinetd` ends in `inetd`, and an old inetd.conf lies about."""
    system = hosts.xinetd()
    system.put("/etc/inetd.conf", INETD)
    start = starters.find(gather(system), 109)
    assert start is not None
    assert start.starter == "xinetd"


def test_listeners_of_two_programs_are_nobodys():
    base = facts("inetd")
    other = hosts.listener("192.0.2.99", process="nginx", unit="")
    assert starters.find(replace(base, listeners=(*base.listeners, other)), 109) is None


def test_inetd_serves_the_same_program_from_a_socket():
    start = found("inetd", INETD.replace(b"root\t/usr/sbin/ipop2d", b"mail.daemon\t/usr/sbin/tcpd"))
    assert start.server == Server("/usr/sbin/ipop2d", ("ipop2d",), "mail", "daemon")
    assert edited(start).count("# mailseal: ") == 2


def test_xinetd_serves_the_same_program_and_tells_what_is_lost():
    start = found("xinetd", XINETD)
    argv = ("ipop2d", "-d", "$x", "100%")
    assert start.server == Server("/usr/sbin/ipop2d", argv, "mail", "", ("LANG=C",))
    assert any("only_from = 192.0.2.0/24" in words for words in start.lost)
    assert edited(start) == "\tdisable = yes\n"
    assert "/etc/xinetd.conf" in start.files


@pytest.mark.parametrize(
    ("starter", "config", "says"),
    [
        ("inetd", INETD.replace(b"\tnowait", b"\twait"), "marked `wait`"),
        (
            "inetd",
            INETD.replace(b"tcp6\tnowait\troot", b"tcp6\tnowait\tmail"),
            "different programs",
        ),
        ("inetd", INETD.replace(b"/usr/sbin/ipop2d\tipop2d", b"internal"), "by itself"),
        ("xinetd", XINETD.replace(b"wait = no", b"wait = yes"), "marked `wait`"),
        ("xinetd", XINETD.replace(b"\tenv", b"\tredirect = 192.0.2.9 109\n\tenv"), "redirects"),
    ],
)
def test_what_cannot_stand_behind_a_terminator_can_still_be_turned_off(
    starter: str, config: bytes, says: str
):
    start = found(starter, config)
    assert start.problems == ()
    assert says in "; ".join(start.fixed)
    assert start.off.edit


@pytest.mark.parametrize("starter", ["inetd", "xinetd"])
def test_a_starter_that_no_unit_runs_is_left_alone(starter: str):
    base = facts(starter)
    start = starters.find(replace(base, units=()), 109)
    assert start is not None
    assert "no active unit" in start.problems[0]


FINGER = b"finger\tstream\ttcp\tnowait\tnobody\t/usr/sbin/fingerd\tfingerd\n"


def linked(system: MemorySystem, path: str) -> MemorySystem:
    """The same host with that file elsewhere and a link in its place."""
    data = system.read(path)
    system.remove(path)
    system.put("/srv/elsewhere", data)
    system.symlink(path, "/srv/elsewhere")
    return system


def elsewhere(system: MemorySystem) -> MemorySystem:
    """The same host with an inetd that reads another file."""
    system.put("/etc/inetd-mail.conf", system.read("/etc/inetd.conf"))
    system.put("/etc/inetd.conf", FINGER)
    drop_in = b"[Service]\nExecStart=\nExecStart=/usr/sbin/inetd -i /etc/inetd-mail.conf\n"
    system.put("/etc/systemd/system/inetd.service.d/a.conf", drop_in)
    return system


def unread(system: MemorySystem, path: str) -> HostFacts:
    base = gather(system)
    files = [replace(each, content=None) if each.path == path else each for each in base.files]
    return replace(base, files=tuple(files), unread={path: "Input/output error"})


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (gather(linked(inetd(), "/etc/inetd.conf")), "/etc/inetd.conf is a link and no plain file"),
        (gather(linked(inetd(INETD + FINGER), "/etc/inetd.conf")), "is a link and no plain file"),
        (gather(linked(xinetd(), "/etc/xinetd.d/pop2")), "/etc/xinetd.d/pop2 is a link"),
        (replace(gather(linked(inetd(), "/etc/inetd.conf")), init="other"), "is a link"),
        (gather(elsewhere(inetd())), "starts it with /etc/inetd-mail.conf"),
        (unread(inetd(), "/etc/inetd.conf"), "/etc/inetd.conf could not be read: Input/output"),
        (unread(xinetd(), "/etc/xinetd.d/pop2"), "could not be read: Input/output error"),
    ],
)
def test_a_super_server_whose_line_is_not_found_is_never_taken_for_the_daemon(
    of: HostFacts, says: str
):
    """Its other services, those of UDP as well, would go with it."""
    start = starters.find(of, 109)
    assert start is not None
    assert start.starter in ("inetd", "xinetd")
    assert start.isolated is None
    assert start.off.edit == ()
    assert says in "; ".join(start.problems)
    assert "by hand" in start.problems[-1]


def test_a_line_that_inetd_does_not_read_is_not_edited():
    """One that is there by accident: inetd reads another file."""
    system = elsewhere(inetd())
    system.put("/etc/inetd.conf", INETD)
    start = starters.find(gather(system), 109)
    assert start is not None
    assert "reads /etc/inetd-mail.conf" in start.problems[0]


def isolated(start: Start) -> WriteFile:
    assert start.isolated is not None
    drop_in = start.isolated.edit[-1]
    assert isinstance(drop_in, WriteFile)
    return drop_in


def test_a_daemon_gets_a_network_of_its_own_by_a_drop_in():
    start = found("systemd", UNIT)
    assert start.isolated is not None
    assert isinstance(start.isolated.edit[0], MakeDirectory)
    drop_in = isolated(start)
    effective = systemd.effective([systemd.parse(UNIT), systemd.parse(drop_in.content)])
    assert effective["Service"]["PrivateNetwork"] == ("yes",)
    # Its sockets are wildcards, so its command line stays: it may as well stand in a file.
    assert b"ExecStart" not in drop_in.content
    assert effective["Unit"]["JoinsNamespaceOf"] == (start.companion,)
    assert (start.inside, start.fixed) == ("0.0.0.0", ())


def with_listeners(start_at: HostFacts, *addresses: str) -> HostFacts:
    own = start_at.listeners[0]
    return replace(
        start_at, listeners=tuple(replace(own, address=each, dual=False) for each in addresses)
    )


@pytest.mark.parametrize(
    ("addresses", "inside"),
    [
        (("::", "0.0.0.0"), "0.0.0.0"),
        (("::",), "::"),
        (("127.0.0.1",), "127.0.0.1"),
        (("192.0.2.10",), "127.0.0.1"),
        (("0.0.0.0", "2001:db8::1"), "127.0.0.1"),
    ],
)
def test_where_it_listens_inside(addresses: tuple[str, ...], inside: str):
    start = starters.find(with_listeners(facts("systemd"), *addresses), 109)
    assert start is not None
    assert start.inside == inside


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("--listen 192.0.2.10:109 --listen [::]:109", "--listen 127.0.0.1:109"),
        ("--listen=192.0.2.10:109 --listen=[::]:109", "--listen=127.0.0.1:109"),
        ("192.0.2.10:109 [::]:109", "127.0.0.1:109"),
        ("-l 192.0.2.10:109 -v -l [::]:109", "-l 127.0.0.1:109 -v"),
        ("--bind 192.0.2.10,109 -v", "--bind 127.0.0.1:109 -v"),
    ],
)
def test_an_address_that_is_not_in_its_network_becomes_loopback(before: str, after: str):
    unit = UNIT.replace(b"--listen 0.0.0.0:109 --listen [::]:109", before.encode())
    of = with_listeners(gather(hosts.standalone(unit)), "192.0.2.10")
    start = starters.find(of, 109)
    assert start is not None
    lines = systemd.effective([systemd.parse(unit), systemd.parse(isolated(start).content)])
    assert lines["Service"]["ExecStart"] == ("/usr/sbin/ipop2d %s --quiet" % after,)


@pytest.mark.parametrize(
    ("unit", "says"),
    [
        (UNIT.replace(b" --listen 0.0.0.0:109 --listen [::]:109", b""), "does not name port 109"),
        (UNIT.replace(b"--listen [::]", b"-6 [::]"), "names port 109 in several ways"),
        (UNIT.replace(b"--listen 0.0.0.0:109 --listen", b":109 -q"), "in several ways"),
        (UNIT.replace(b"ExecStart=", b"ExecStart=/bin/a\nExecStart="), "exactly one command"),
    ],
)
def test_an_address_that_cannot_be_replaced_is_told(unit: bytes, says: str):
    of = with_listeners(gather(hosts.standalone(unit)), "192.0.2.10")
    start = starters.find(of, 109)
    assert start is not None
    assert start.problems == ()
    assert says in "; ".join(start.fixed)
    assert start.off.edit


def test_the_drop_in_counts_behind_those_of_the_administrator():
    system = hosts.standalone()
    path = "/etc/systemd/system/pop2d.service.d/override.conf"
    system.put(path, b"[Service]\nPrivateNetwork=no\n")
    system.manager.reload_files()
    start = starters.find(gather(system), 109)
    assert start is not None
    assert path in start.files
    assert isolated(start).path > path


def test_a_daemon_that_needs_the_network_is_not_isolated():
    base = facts("systemd")
    own = base.listeners[0]
    start = starters.find(replace(base, listeners=(*base.listeners, replace(own, port=110))), 109)
    assert start is not None
    assert "also serves port 110, which would go with it" in start.tied[0]
    system = hosts.standalone()
    system.put("/etc/nsswitch.conf", b"passwd: files # nis\nshadow:\tfiles nis\nhosts: hesiod\n")
    start = starters.find(gather(system), 109)
    assert start is not None
    assert "takes accounts from nis, which pop2d.service could not ask" in start.fixed[0]


TCPD = b"/usr/sbin/tcpd"
DENY = b"ipop2d: ALL EXCEPT 192.0.2.\n"


@pytest.mark.parametrize(
    ("starter", "config", "drop_in", "deny", "name"),
    [
        ("inetd", INETD.replace(b"/usr/sbin/ipop2d", TCPD), b"", DENY, "ipop2d"),
        ("inetd", INETD.replace(b"/usr/sbin/ipop2d", TCPD), b"", b"# none\n\n", ""),
        ("inetd", INETD, b"", DENY, ""),
        ("inetd", INETD, b"[Service]\nExecStart=\nExecStart=/usr/sbin/inetd -El\n", DENY, "ipop2d"),
        ("inetd", INETD, b"[Service]\nExecStart=\nExecStart=/usr/sbin/inetd -R9\n", DENY, ""),
        ("xinetd", XINETD, b"", DENY, "ipop2d"),
        ("xinetd", XINETD.replace(b"IPv6", b"IPv6 NOLIBWRAP"), b"", DENY, ""),
        (
            "xinetd",
            XINETD.replace(b"/usr/sbin/ipop2d", TCPD)
            .replace(b"IPv6", b"IPv6 NAMEINARGS NOLIBWRAP")
            .replace(b"-d $x", b"/opt/in.pop2d -d $x"),
            b"",
            DENY,
            "in.pop2d",
        ),
        ("systemd", UNIT, b"", DENY, ""),
    ],
)
def test_the_name_by_which_access_rules_know_the_service(
    starter: str, config: bytes, drop_in: bytes, deny: bytes, name: str
):
    system = hosts.SYSTEMS[starter](config)
    system.put("/etc/systemd/system/inetd.service.d/a.conf", drop_in)
    system.put("/etc/hosts.deny", deny)
    start = starters.find(gather(system), 109)
    assert start is not None
    assert start.guarded == name


def admitted(system: MemorySystem) -> Admission:
    start = starters.find(gather(system), 109)
    assert start is not None
    assert start.admission is not None
    return start.admission


def test_xinetd_lets_networks_in_by_a_block_of_our_own():
    conf = XINETD.replace(b"\tonly_from = 192.0.2.0/24\n", b"")
    system = xinetd(conf)
    admission = admitted(system)
    assert admission.problems == ()
    network = Excepted("2001:db8::7/128", "2027-03-31", "alice", "scanners")
    text = admission.door.listing([network]).decode()
    block = xinetd_config.parse(text.encode()).services[0]
    values = xinetd_config.effective(block, None)
    assert values["only_from"] == ("127.0.0.0/8", "::1", "2001:db8::7")
    assert values["server"] == ("/usr/sbin/ipop2d",)
    system.put("/etc/xinetd.d/pop2", conf.replace(b"disable = no", b"disable = yes"))
    system.put(admission.door.path, text.encode())
    again = admitted(system)
    assert again.edit == ()
    assert again.door == admission.door


def test_what_keeps_a_super_server_from_a_list_of_networks():
    asked = admitted(xinetd()).problems
    assert any("only_from says already" in each for each in asked)
    start = starters.find(gather(inetd()), 109)
    assert start is not None
    assert start.admission is None  # it does not ask hosts_access(5)


def test_inetd_lets_networks_in_by_hosts_allow():
    conf = INETD.replace(b"/usr/sbin/ipop2d\tipop2d", b"/usr/sbin/tcpd\t/usr/sbin/ipop2d")
    system = inetd(conf)
    system.put("/etc/hosts.allow", b"# rules\n")
    admission = admitted(system)
    assert admission.problems == ()
    (change,) = admission.edit
    assert isinstance(change, EditFile)
    changed = apply_splices(b"# rules\n", change.splices)
    assert changed.splitlines()[1:3] == [
        b"ipop2d: 127.0.0.0/255.0.0.0 [::1]/128 /etc/hosts.mailseal-109",
        b"ipop2d: ALL: DENY",
    ]
    system.put("/etc/hosts.allow", changed)
    assert admitted(system).edit == ()
    system.put("/etc/hosts.allow", b"ipop2d: .example\n")
    problems = admitted(system).problems
    assert any("have rules already" in each for each in problems)


@pytest.mark.parametrize(
    ("starter", "path", "name"),
    [("inetd", "/etc/inetd.conf", "109"), ("xinetd", "/etc/xinetd.d/pop2", "pop2")],
)
def test_what_a_super_server_has_is_told_whoever_serves_it(starter: str, path: str, name: str):
    rooms = {"inetd": starters.inetd, "xinetd": starters.xinetd}
    nobody = replace(facts(starter), listeners=())
    declared = rooms[starter].declared(nobody)
    told = {(each.path, each.name, each.port, each.program) for each in declared}
    assert told == {(path, name, 109, "/usr/sbin/ipop2d")}
    assert starters.find(nobody, 109) is None
    off = starters.find(facts(starter), 109)
    assert off is not None
    (edit,) = (op for op in off.off.edit if isinstance(op, EditFile))
    files = tuple(
        replace(each, content=apply_splices(each.content or b"", edit.splices))
        if each.path == path
        else each
        for each in nobody.files
    )
    assert rooms[starter].declared(replace(nobody, files=files)) == ()


# -- socket units ----------------------------------------------------------------------------------


def at_socket(unit: bytes = hosts.SOCKET, each: bytes = hosts.EACH) -> Start:
    start = starters.find(gather(hosts.socket(unit, each)), 109)
    assert start is not None
    return start


def unit_of(start: Start) -> bytes:
    """What the unit is told to listen at a Unix socket by."""
    assert start.moved is not None
    (write,) = [op for op in start.moved("/run/x.sock", "alice").edit if isinstance(op, WriteFile)]
    return write.content.partition(b"[Socket]\n")[2]


NO_LIMIT = (
    b"ListenStream=\nListenStream=/run/x.sock\nSocketUser=root\nSocketGroup=alice\nSocketMode=0660\n"
    b"TriggerLimitIntervalSec=0\nRemoveOnStop=yes\n"
)


def test_a_socket_unit_tells_its_program_and_its_limits():
    start = at_socket()
    assert start.server == Server("/usr/sbin/ipop2d", ("/usr/sbin/ipop2d",), "mail", "")
    assert (unit_of(start), start.tied) == (NO_LIMIT, ())
    assert "64 sessions at a time" in start.told[0]
    assert {"/lib/systemd/system/pop2.socket", "/lib/systemd/system/pop2@.service"} <= {
        *start.files
    }
    assert "12 sessions" in at_socket(hosts.SOCKET + b"[Socket]\nMaxConnections=12\n").told[0]


def test_what_counts_by_address_is_told_and_the_limit_for_one_source_is_lifted():
    """From systemd 256 on that counts the clients of a Unix socket as well, as one."""
    more = b"[Socket]\nMaxConnectionsPerSource=4\nIPAddressDeny=any\n"
    start = at_socket(hosts.SOCKET + more, hosts.EACH + b"IPAddressAllow=192.0.2.0/24\n")
    lost = "; ".join(start.lost)
    assert "pop2.socket's `MaxConnectionsPerSource = 4` no longer counts" in lost
    assert "pop2.socket's `IPAddressDeny = any`" in lost
    assert "pop2@.service's `IPAddressAllow = 192.0.2.0/24`" in lost
    assert unit_of(start) == NO_LIMIT + b"MaxConnectionsPerSource=0\n"


@pytest.mark.parametrize(
    ("unit", "says"),
    [
        (hosts.SOCKET.replace(b"Accept=yes", b"Accept=no"), "Accept=no"),
        (hosts.SOCKET.replace(b"Accept=yes\n", b""), "Accept=no"),
        (hosts.SOCKET.replace(b"=109", b"=109\nListenStream=0.0.0.0:110"), "0.0.0.0:110"),
        (hosts.SOCKET.replace(b"=109", b"=109\nListenStream=/run/a:109"), "/run/a:109"),
        (hosts.SOCKET.replace(b"=109", b"=109\nListenStream=vsock:2:109"), "vsock:2:109"),
        (hosts.SOCKET.replace(b"=109", b"=109\nListenDatagram=109"), "ListenDatagram=109"),
    ],
)
def test_what_a_socket_unit_cannot_be_taken_for(unit: bytes, says: str):
    assert says in "; ".join(at_socket(unit).tied)


@pytest.mark.parametrize(
    "value", ["109", "0.0.0.0:109\nListenStream=[::]:109", "[2001:db8:1::10]:109"]
)
def test_ways_to_write_the_port_of_a_socket_unit(value: str):
    assert at_socket(hosts.SOCKET.replace(b"109", value.encode())).tied == ()


@pytest.mark.parametrize(
    ("each", "says"),
    [
        (b"[Service]\n", "pop2@.service was not found, or does not start exactly one"),
        (hosts.EACH.replace(b"-/usr/sbin/ipop2d", b"/usr/sbin/tcpd /usr/sbin/ipop2d"), "tcpd"),
    ],
)
def test_what_a_template_cannot_do_behind_a_terminator(each: bytes, says: str):
    start = at_socket(each=each)
    assert says in "; ".join(start.fixed)
    assert start.tied == ()


@pytest.mark.parametrize("name", ["pop2.socket", "pop2.socket.d/a.conf"])
def test_a_linked_file_of_a_socket_unit_is_not_guessed_at(name: str):
    system = hosts.socket()
    system.put("/etc/systemd/system/pop2.socket.d/a.conf", b"[Socket]\nMaxConnections=3\n")
    system.put("/etc/systemd/system/pop2.socket", hosts.SOCKET)
    start = starters.find(gather(linked(system, "/etc/systemd/system/" + name)), 109)
    assert start is not None
    assert "no plain file that could be read" in "; ".join(start.tied)


def test_sessions_of_the_moment_are_no_facts():
    system = hosts.socket()
    system.manager.start("pop2@0-192.0.2.7:1025.service")
    assert not any("@" in unit.name for unit in gather(system).units)
